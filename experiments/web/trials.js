// The trials of a random search: a scatter for each hyper-parameter, linked; brushing shows curves; a table that sorts.
"use strict";

(() => {
  const root = document.getElementById("trials");
  if (!root) return;
  const WIDTH = 260, HEIGHT = 190, LEFT = 52, BOTTOM = 34, PAD = 8;
  const SVG = "http://www.w3.org/2000/svg";

  const element = (name, attributes = {}, ...children) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...children);
    return made;
  };
  const svg = (name, attributes = {}, text = "") => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const words = (name) => name.replaceAll("_", " ");
  const short = (x) => (x === null ? "–" : Number.isInteger(x) ? String(x) : Math.abs(x) < 1e-3 ? x.toExponential(2) : String(Number(x.toPrecision(4))));

  /** A scale from data to pixels, with ticks a person would choose: powers of ten on a logarithmic one that has two. */
  function scale(values, log, from, to) {
    const at = log ? Math.log10 : (x) => x;
    let low = Math.min(...values), high = Math.max(...values);
    if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 1, high + 1];
    const map = (x) => from + ((at(x) - at(low)) / (at(high) - at(low))) * (to - from);
    const ticks = [];
    if (log) {
      for (const steps of [[1, 2, 5], [1, 3], [1]]) {
        ticks.length = 0;
        for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
          for (const step of steps) {
            const tick = `${step}e${power}`;
            if (Number(tick) >= low && Number(tick) <= high) ticks.push([Number(tick), tick]);
          }
        }
        if (ticks.length <= 5) break;
      }
    }
    if (ticks.length < 2) {
      ticks.length = 0;
      const rough = (high - low) / 4, unit = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= rough);
      for (let x = Math.ceil(low / step) * step; x <= high + step * 1e-9; x += step) ticks.push([x, String(Number(x.toPrecision(3)))]);
    }
    return { map, ticks };
  }

  function frame(label, x, y, yLabel) {
    const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img", "aria-label": `${yLabel} against ${label}`, style: "touch-action:none" });
    const ink = { fill: "currentColor", "font-size": 10 };
    for (const [value, text] of x.ticks) {
      chart.append(svg("line", { x1: x.map(value), x2: x.map(value), y1: PAD, y2: HEIGHT - BOTTOM, stroke: "currentColor", opacity: 0.12 }));
      chart.append(svg("text", { x: x.map(value), y: HEIGHT - BOTTOM + 13, "text-anchor": "middle", ...ink }, text));
    }
    for (const [value, text] of y.ticks) {
      chart.append(svg("line", { x1: LEFT, x2: WIDTH - PAD, y1: y.map(value), y2: y.map(value), stroke: "currentColor", opacity: 0.12 }));
      chart.append(svg("text", { x: LEFT - 5, y: y.map(value) + 3, "text-anchor": "end", ...ink }, text));
    }
    chart.append(svg("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 6, "text-anchor": "middle", ...ink, "font-size": 12 }, label));
    chart.append(svg("text", { transform: `translate(11 ${(HEIGHT - BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle", ...ink, "font-size": 11 }, yLabel));
    return chart;
  }

  function search(name, { caption, columns, log, score, status, curves }) {
    const section = element("section", { className: "search" }, element("h3", {}, name), element("p", { className: "caption" }, caption));
    root.append(section);
    const finite = score.map((x, i) => (x === null ? -1 : i)).filter((i) => i >= 0);
    const y = scale(finite.map((i) => score[i]), false, HEIGHT - BOTTOM, PAD);
    const chosen = new Set();
    const dots = [];
    const charts = element("div", { className: "panels" });

    for (const [column, values] of Object.entries(columns)) {
      const x = scale(values, log.includes(column), LEFT, WIDTH - PAD);
      const chart = frame(words(column), x, y, "validation error");
      const places = finite.map((i) => {
        const dot = svg("circle", { cx: x.map(values[i]), cy: y.map(score[i]), r: 3.5, "data-trial": i });
        chart.append(dot);
        dots.push([dot, i]);
        return [x.map(values[i]), y.map(score[i]), i];
      });
      brush(chart, places);
      charts.append(chart);
    }

    /** Dragging over a chart chooses the trials in the box; a click on nothing chooses none. */
    function brush(chart, places) {
      let start = null;
      const box = svg("rect", { fill: "currentColor", opacity: 0.1, visibility: "hidden" });
      chart.append(box);
      const point = (event) => {
        const place = chart.getBoundingClientRect();
        return [((event.clientX - place.left) * WIDTH) / place.width, ((event.clientY - place.top) * HEIGHT) / place.height];
      };
      chart.addEventListener("pointerdown", (event) => {
        start = point(event);
        chart.setPointerCapture(event.pointerId);
      });
      chart.addEventListener("pointermove", (event) => {
        if (!start) return;
        const end = point(event);
        const [left, right] = [start[0], end[0]].sort((a, b) => a - b);
        const [top, bottom] = [start[1], end[1]].sort((a, b) => a - b);
        for (const [key, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top, visibility: "visible" })) box.setAttribute(key, value);
        choose(places.filter(([x0, y0]) => x0 >= left && x0 <= right && y0 >= top && y0 <= bottom).map(([, , i]) => i));
      });
      for (const kind of ["pointerup", "pointercancel"]) {
        chart.addEventListener(kind, (event) => {
          if (start && kind === "pointerup" && point(event).every((x, axis) => Math.abs(x - start[axis]) < 2)) choose([]);
          start = null;
          box.setAttribute("visibility", "hidden");
        });
      }
    }

    function choose(trials) {
      chosen.clear();
      trials.forEach((i) => chosen.add(i));
      dots.forEach(([dot, i]) => {
        const on = chosen.has(i);
        dot.setAttribute("fill", on ? "#d55e00" : "var(--accent)");
        dot.setAttribute("opacity", on || !chosen.size ? 0.9 : 0.25);
      });
      [...body.children].forEach((row) => row.classList.toggle("chosen", chosen.has(Number(row.dataset.trial))));
      drawCurves();
    }

    const curvePanel = element("div", { className: "curves" });
    function drawCurves() {
      const shown = chosen.size ? [...chosen] : finite;
      const points = shown.flatMap((i) => curves[i].map((value, epoch) => [epoch + 1, value]).filter(([, value]) => value !== null && value > 0));
      if (!points.length) return;
      const x = scale(points.map(([epoch]) => epoch), false, LEFT, WIDTH - PAD);
      const curveY = scale(points.map(([, value]) => value), true, HEIGHT - BOTTOM, PAD);
      const chart = frame("epoch", x, curveY, "validation loss");
      chart.dataset.curves = shown.length;
      for (const i of shown) {
        const line = curves[i].map((value, epoch) => (value > 0 ? `${x.map(epoch + 1)},${curveY.map(value)}` : "")).filter(Boolean).join(" ");
        chart.append(svg("polyline", { points: line, fill: "none", stroke: chosen.size ? "#d55e00" : "var(--accent)", opacity: chosen.size ? 0.8 : 0.35 }));
      }
      curvePanel.replaceChildren(chart, element("p", { className: "caption" }, chosen.size ? `validation loss of ${chosen.size} chosen trials` : "validation loss of all trials"));
    }

    const header = ["trial", ...Object.keys(columns), "score", "status"];
    const cell = (i, column) => (column === "trial" ? i : column === "score" ? score[i] : column === "status" ? status[i] : columns[column][i]);
    const rows = score.map((_, i) => {
      const row = element("tr", {}, ...header.map((column) => {
        const value = cell(i, column);
        return element("td", {}, typeof value === "string" ? value : short(value));
      }));
      row.dataset.trial = i;
      row.addEventListener("click", () => choose([i]));
      return row;
    });
    const body = element("tbody");
    let sorted = { column: "score", down: false };
    function sort(column) {
      sorted = { column, down: sorted.column === column && !sorted.down };
      const key = (row) => cell(Number(row.dataset.trial), column) ?? Infinity;
      const order = (a, b) => (typeof key(a) === "string" ? key(a).localeCompare(key(b)) : key(a) - key(b));
      body.replaceChildren(...rows.sort((a, b) => (sorted.down ? order(b, a) : order(a, b))));
      [...head.children].forEach((th, i) => th.setAttribute("aria-sort", header[i] !== column ? "none" : sorted.down ? "descending" : "ascending"));
    }
    const head = element("tr", {}, ...header.map((column) => {
      const button = element("button", { type: "button" }, words(column));
      button.addEventListener("click", () => sort(column));
      return element("th", { scope: "col" }, button);
    }));
    const list = element("table", { className: "sortable" }, element("thead", {}, head), body);
    const scroll = element("div", { className: "scroll", tabIndex: 0, role: "region", style: "max-height:22rem;overflow:auto" }, list);
    scroll.setAttribute("aria-label", `Trials of ${name}`);
    charts.append(curvePanel);
    section.append(charts, scroll);
    sorted = { column: "score", down: true };
    sort("score");
    choose([]);
  }

  Object.entries(page.trials).forEach(([name, entry]) => search(name, entry));
})();
