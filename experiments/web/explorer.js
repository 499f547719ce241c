// The latent spaces, live: the plane of a model with two latents or a slider for each, and the image of the code.
"use strict";

(() => {
  const root = document.getElementById("explorer");
  const spaces = Object.values(page.latent);
  if (!root || !spaces.length) return;

  // Okabe and Ito's colours and two greys, told apart by the colour-blind; black lies on white canvases in both themes.
  const COLOURS = ["#000000", "#e69f00", "#56b4e9", "#009e73", "#8f7f00", "#0072b2", "#d55e00", "#cc79a7", "#777777", "#5b2a86"];
  const SIZE = 420;
  const STEPS = 12;

  const element = (name, attributes = {}, ...children) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...children);
    return made;
  };
  const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

  /** Numbers in [0, 1], [height, width, channels], onto a canvas at x: grey ones dark on white, three channels in colour. */
  function paint(canvas, values, [height, width, channels], x = 0) {
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let p = 0; p < height * width; p++) {
      for (let c = 0; c < 3; c++) {
        const value = channels === 3 ? values[3 * p + c] : 1 - values[p * channels];
        image.data[4 * p + c] = 255 * value;
      }
      image.data[4 * p + 3] = 255;
    }
    context.putImageData(image, x, 0);
  }

  const choice = element("select", { id: "space" });
  spaces.forEach((space, s) =>
    space.models.forEach((model, m) => choice.append(element("option", { value: `${s} ${m}` }, `${space.title} ${model.name}`)))
  );
  const stage = element("div", { className: "panels" });
  const told = element("p", { className: "caption" });
  told.setAttribute("aria-live", "polite");
  const walk = element("div");
  root.append(element("div", { className: "controls" }, element("label", { htmlFor: "space" }, "Model"), choice), stage, told, walk);

  const state = { code: [], ends: [null, null], hovered: -1 };
  let space, decoder, picture, redraw, scheduled = false;

  /** At most one drawing a frame. */
  function draw() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      paint(picture, decoder.decode(state.code), decoder.image);
      redraw();
    });
  }

  function move(code) {
    state.code = code;
    told.textContent = `Code ${code.map((x) => x.toFixed(2)).join(", ")}`;
    draw();
  }

  function canvasFor([height, width], name, columns = 1) {
    const canvas = element("canvas", { width: width * columns, height });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name);
    return canvas;
  }

  // ---- two latents: a plane -------------------------------------------------------------------------------------

  function plane() {
    const [[left, right], [bottom, top]] = space.range;
    const toPixel = ([x, y]) => [((x - left) / (right - left)) * SIZE, (1 - (y - bottom) / (top - bottom)) * SIZE];
    const toCode = (x, y) => [left + (x / SIZE) * (right - left), bottom + (1 - y / SIZE) * (top - bottom)];
    const canvas = element("canvas", { width: SIZE, height: SIZE, className: "plane", tabIndex: 0 });
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Latent plane: arrow keys move the point, A and B mark the ends of a walk");
    const seen = canvasFor(space.shape || decoder.image, "The test image under the pointer");
    seen.className = "image";
    const pixels = space.images ? bytes(space.images) : null;
    const points = (space.codes || []).map(toPixel);

    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      const scale = SIZE / box.width;
      return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale].map((x) => Math.min(SIZE, Math.max(0, x)));
    };
    const nearest = ([x, y]) => {
      let best = -1, least = 64; // within eight pixels
      points.forEach(([px, py], i) => {
        const distance = (px - x) ** 2 + (py - y) ** 2;
        if (distance < least) [best, least] = [i, distance];
      });
      return best;
    };
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      const at = point(event);
      const hit = nearest(at);
      if (hit !== state.hovered) {
        state.hovered = hit;
        if (hit >= 0 && pixels) {
          const size = space.shape.reduce((a, b) => a * b);
          paint(seen, Float32Array.from(pixels.subarray(hit * size, (hit + 1) * size), (x) => x / 255), space.shape);
        }
      }
      move(toCode(...at));
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (step) {
        event.preventDefault();
        const [x, y] = state.code;
        move([x + (step[0] * (right - left)) / 60, y + (step[1] * (top - bottom)) / 60]);
      } else if (event.key.toLowerCase() === "a") mark(0);
      else if (event.key.toLowerCase() === "b") mark(1);
    });

    redraw = () => {
      const context = canvas.getContext("2d");
      context.clearRect(0, 0, SIZE, SIZE);
      points.forEach(([x, y], i) => {
        context.fillStyle = COLOURS[space.labels[i] % COLOURS.length];
        context.globalAlpha = i === state.hovered ? 1 : 0.55;
        context.beginPath();
        context.arc(x, y, i === state.hovered ? 6 : 3, 0, 2 * Math.PI);
        context.fill();
      });
      context.globalAlpha = 1;
      const ends = state.ends.map((end) => end && toPixel(end));
      if (ends[0] && ends[1]) {
        context.strokeStyle = "#000";
        context.setLineDash([5, 4]);
        context.beginPath();
        context.moveTo(...ends[0]);
        context.lineTo(...ends[1]);
        context.stroke();
        context.setLineDash([]);
      }
      context.fillStyle = "#000";
      context.font = "bold 15px sans-serif";
      ends.forEach((end, i) => end && context.fillText("AB"[i], end[0] + 5, end[1] - 5));
      const [x, y] = toPixel(state.code);
      context.strokeStyle = "#d00000";
      context.lineWidth = 2;
      context.strokeRect(x - 6, y - 6, 12, 12);
      context.lineWidth = 1;
    };

    const labels = [...new Set(space.labels || [])].sort((a, b) => a - b);
    const legend = element("ul", { className: "legend" }, ...labels.map((label) => {
      const dot = element("i");
      dot.style.background = COLOURS[label % COLOURS.length];
      return element("li", {}, dot, String(label));
    }));
    const panels = [element("div", {}, canvas, legend), element("div", {}, picture, element("p", { className: "caption" }, "decoded"))];
    if (pixels) panels.push(element("div", {}, seen, element("p", { className: "caption" }, "test image under the pointer")));
    stage.replaceChildren(...panels);
    move([(left + right) / 2, (bottom + top) / 2]);
  }

  // ---- more latents: sliders ------------------------------------------------------------------------------------

  function sliders() {
    const grid = element("div", { className: "sliders" });
    const values = [];
    for (let i = 0; i < decoder.latent; i++) {
      const [low, high] = space.range ? space.range[i] : [-3, 3];
      const slider = element("input", { type: "range", id: `z${i}`, min: low, max: high, step: (high - low) / 200, value: state.code[i] ?? 0 });
      const value = element("output", { htmlFor: slider.id });
      slider.addEventListener("input", () => move(state.code.map((x, j) => (j === i ? Number(slider.value) : x))));
      grid.append(element("label", { htmlFor: slider.id }, `z${i + 1}`), slider, value);
      values.push([slider, value]);
    }
    redraw = () => values.forEach(([slider, value], i) => {
      slider.value = state.code[i];
      value.textContent = state.code[i].toFixed(2);
    });
    stage.replaceChildren(grid, element("div", {}, picture, element("p", { className: "caption" }, "decoded")));
    move(Array.from({ length: decoder.latent }, (_, i) => state.code[i] ?? 0));
  }

  // ---- a walk between two codes ---------------------------------------------------------------------------------

  const strip = element("div");
  const buttons = ["A", "B"].map((name, end) => {
    const button = element("button", { type: "button" }, `Set ${name} here`);
    button.addEventListener("click", () => mark(end));
    return button;
  });
  walk.append(element("h3", {}, "A walk from A to B"), element("div", { className: "controls" }, ...buttons), strip);

  function mark(end) {
    state.ends[end] = [...state.code];
    draw();
    const [from, to] = state.ends;
    if (!from || !to) return;
    const canvas = canvasFor(decoder.image, "Images decoded along the line from A to B", STEPS);
    canvas.classList.add("strip");
    for (let i = 0; i < STEPS; i++) {
      const t = i / (STEPS - 1);
      paint(canvas, decoder.decode(from.map((x, j) => (1 - t) * x + t * to[j])), decoder.image, i * decoder.image[1]);
    }
    strip.replaceChildren(canvas);
  }

  function choose() {
    const [s, m] = choice.value.split(" ").map(Number);
    const same = space === spaces[s];
    space = spaces[s];
    decoder = new Decoder(bytes(space.models[m].decoder).buffer);
    picture = canvasFor(decoder.image, "The decoded image");
    picture.classList.add("image");
    if (!same) {
      Object.assign(state, { code: [], ends: [null, null], hovered: -1 });
      strip.replaceChildren();
    }
    if (decoder.latent === 2 && !space.range) space.range = [[-3, 3], [-3, 3]];
    if (decoder.latent === 2) plane();
    else sliders();
  }
  choice.addEventListener("change", choose);
  choose();
})();
