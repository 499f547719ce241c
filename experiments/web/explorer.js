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
  const NEAR = 8; // pixels from a point that still hover over it

  const element = (name, attributes = {}, ...children) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...children);
    return made;
  };
  const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const written = (x) => (Math.round(100 * x) / 100 + 0).toFixed(2); // never -0.00
  const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
  const caption = (text) => element("figcaption", {}, text);

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

  function canvasFor([height, width], name, columns = 1) {
    const canvas = element("canvas", { width: width * columns, height, className: "image" });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name);
    return canvas;
  }

  // A point is a code, and the number of the test image whose code it is, or -1: by that it is followed to other models.
  const state = { point: null, ends: [null, null], hovered: -1 };
  let space, model, decoder, picture, seen, redraw, scheduled = false;

  const codeOf = ({ code, image }) =>
    image >= 0 ? model.codes[image] : model.range.map(([low, high], i) => clamp(code[i] ?? (low + high) / 2, low, high));

  // ---- what is on the page ----------------------------------------------------------------------------------------

  const choice = element("select", { id: "space" }, ...spaces.map((of, s) => element("option", { value: s }, of.title)));
  const models = element("fieldset", { className: "switch" });
  const stage = element("div", { className: "panels" });
  const told = element("p", { className: "caption code" });
  told.setAttribute("aria-live", "polite");
  const strip = element("div");
  const buttons = ["A", "B"].map((name, end) => {
    const button = element("button", { type: "button" }, `Set ${name} here`);
    button.addEventListener("click", () => mark(end));
    return button;
  });
  root.append(
    element("div", { className: "controls" }, element("label", { htmlFor: "space" }, "Study"), choice),
    models, stage, told, element("h3", {}, "A walk from A to B"), element("div", { className: "controls" }, ...buttons), strip
  );

  /** At most one drawing a frame. */
  function draw() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      paint(picture, decoder.decode(state.point.code), decoder.image);
      redraw();
    });
  }

  function move(code, image = -1) {
    state.point = { code, image };
    told.textContent = `Code ${code.map(written).join(", ")}`;
    draw();
  }

  /** A test image from the sheet onto a canvas. */
  function show(image, canvas) {
    const [height, width] = space.shape;
    const [row, column] = [Math.floor(image / space.columns), image % space.columns];
    canvas.getContext("2d").drawImage(space.sheet, column * width, row * height, width, height, 0, 0, width, height);
  }

  // ---- two latents: a plane ---------------------------------------------------------------------------------------

  function plane() {
    const [[left, right], [bottom, top]] = model.range;
    const toPixel = ([x, y]) => [((x - left) / (right - left)) * SIZE, (1 - (y - bottom) / (top - bottom)) * SIZE];
    const toCode = (x, y) => [left + (x / SIZE) * (right - left), bottom + (1 - y / SIZE) * (top - bottom)];
    const canvas = element("canvas", { width: SIZE, height: SIZE, className: "plane", tabIndex: 0 });
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Latent plane: arrow keys move the point, A and B mark the ends of a walk");
    const points = model.codes.map(toPixel);

    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top].map((x) => clamp((x * SIZE) / box.width, 0, SIZE));
    };
    const nearest = ([x, y]) => {
      let best = -1, least = NEAR ** 2;
      points.forEach(([px, py], i) => {
        const distance = (px - x) ** 2 + (py - y) ** 2;
        if (distance < least) [best, least] = [i, distance];
      });
      return best;
    };
    // Hovering looks; a press or a drag stays.
    let kept = null;
    const follow = (event) => {
      const at = place(event), hit = nearest(at);
      if (hit >= 0 && hit !== state.hovered) show(hit, seen);
      state.hovered = hit;
      move(toCode(...at));
      if (event.buttons) kept = state.point;
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      follow(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) kept ??= state.point;
      follow(event);
    });
    canvas.addEventListener("pointerleave", () => {
      state.hovered = -1;
      if (kept) move(kept.code);
      kept = null;
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (step) {
        event.preventDefault();
        const widths = [right - left, top - bottom];
        move(state.point.code.map((x, i) => clamp(x + (step[i] * widths[i]) / 60, ...model.range[i])));
        kept = null;
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
      drawWalk(context, state.ends.map((end) => end && toPixel(end.code)));
      const [x, y] = toPixel(state.point.code);
      context.strokeStyle = "#d00000";
      context.lineWidth = 2;
      context.strokeRect(x - 6, y - 6, 12, 12);
      context.lineWidth = 1;
    };

    const labels = [...new Set(space.labels)].sort((a, b) => a - b);
    const legend = element("ul", { className: "legend" }, ...labels.map((label) => {
      const dot = element("i");
      dot.style.background = COLOURS[label % COLOURS.length];
      return element("li", {}, dot, String(label));
    }));
    seen = canvasFor(space.shape, "The test image under the pointer");
    stage.replaceChildren(
      element("div", {}, canvas, legend),
      element("figure", {}, picture, caption("decoded")),
      element("figure", {}, seen, caption("test image under the pointer"))
    );
  }

  function drawWalk(context, [from, to]) {
    if (from && to) {
      context.strokeStyle = "#000";
      context.setLineDash([5, 4]);
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...to);
      context.stroke();
      context.setLineDash([]);
    }
    context.fillStyle = "#000";
    context.font = "bold 15px sans-serif";
    [from, to].forEach((end, i) => end && context.fillText("AB"[i], end[0] + 5, end[1] - 5));
  }

  // ---- more latents: sliders, from the code of a test image -------------------------------------------------------

  function sliders() {
    const rows = model.range.map(([low, high], i) => {
      const slider = element("input", { type: "range", id: `z${i}`, min: low, max: high, step: (high - low) / 200 });
      const value = element("output", { htmlFor: slider.id });
      slider.addEventListener("input", () => move(state.point.code.map((x, j) => (j === i ? Number(slider.value) : x))));
      return [element("label", { htmlFor: slider.id }, `z${i + 1}`), slider, value];
    });
    const starts = model.codes.map((code, i) => {
      const canvas = canvasFor(space.shape, "");
      show(i, canvas);
      const button = element("button", { type: "button", ariaLabel: `Start from a test image of ${space.labels[i]}` }, canvas);
      button.addEventListener("click", () => {
        show(i, seen);
        move(code, i);
      });
      return button;
    });
    redraw = () => {
      rows.forEach(([, slider, value], i) => {
        slider.value = state.point.code[i];
        value.textContent = written(state.point.code[i]);
      });
      starts.forEach((button, i) => button.setAttribute("aria-pressed", i === state.point.image));
    };
    seen = canvasFor(space.shape, "The test image that the code started from");
    stage.replaceChildren(
      element("div", { className: "starts" }, ...starts),
      element("figure", {}, picture, caption("decoded")),
      element("figure", {}, seen, caption("test image it started from")),
      element("div", { className: "sliders" }, ...rows.map((row) => element("div", {}, ...row)))
    );
  }

  // ---- a walk between two codes -----------------------------------------------------------------------------------

  function mark(end) {
    state.ends[end] = state.point;
    draw();
    drawStrip();
  }

  function drawStrip() {
    const [from, to] = state.ends.map((end) => end?.code);
    if (!from || !to) return strip.replaceChildren();
    const canvas = canvasFor(decoder.image, "Images decoded along the line from A to B", STEPS);
    canvas.className = "strip";
    for (let i = 0; i < STEPS; i++) {
      const t = i / (STEPS - 1);
      paint(canvas, decoder.decode(from.map((x, j) => (1 - t) * x + t * to[j])), decoder.image, i * decoder.image[1]);
    }
    return strip.replaceChildren(canvas);
  }

  // ---- which study, which of its models ---------------------------------------------------------------------------

  /** A model of the space, at the same image or else the same code. */
  function chooseModel(m) {
    model = space.models[m];
    decoder = new Decoder(bytes(model.decoder).buffer);
    picture = canvasFor(decoder.image, "The decoded image");
    state.ends = state.ends.map((end) => end && { ...end, code: codeOf(end) });
    const { image } = state.point;
    if (decoder.latent === 2) plane();
    else sliders();
    if (image >= 0) show(image, seen);
    move(codeOf(state.point), image);
    drawStrip();
  }

  async function chooseSpace() {
    const chosen = spaces[choice.value];
    chosen.sheet ??= Object.assign(new Image(), { src: `data:image/png;base64,${chosen.images}` });
    await chosen.sheet.decode();
    if (chosen !== spaces[choice.value]) return;
    space = chosen;
    const planar = space.models[0].range.length === 2;
    Object.assign(state, { point: { code: [], image: planar ? -1 : 0 }, ends: [null, null], hovered: -1 });
    const radios = space.models.map((of, m) => {
      const radio = element("input", { type: "radio", name: "model", id: `model${m}`, checked: m === 0 });
      radio.addEventListener("change", () => chooseModel(m));
      return element("span", {}, radio, element("label", { htmlFor: radio.id }, of.name));
    });
    models.replaceChildren(...(radios.length > 1 ? [element("legend", {}, "Model"), ...radios] : []));
    chooseModel(0);
  }
  choice.addEventListener("change", chooseSpace);
  chooseSpace();
})();
