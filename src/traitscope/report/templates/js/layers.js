// @ts-check
// Curves of each measure, and hidden states of examples layer by layer, drawn as SVG.
const setUpLayers = () => {
  const SVG = "http://www.w3.org/2000/svg";
  const COLOURS = ["var(--cat1)", "var(--cat2)", "var(--cat3)", "var(--cat4)", "var(--loss)", "var(--muted)"];
  /** @param {string} pair @returns {string} each role has the colour that it has in the figures */
  const tint = (pair) => {
    if (pair.startsWith("base")) return "var(--muted)";
    if (pair.startsWith("mix")) return "var(--cat1)";
    return pair.startsWith("two seeds") ? "var(--cat3)" : "var(--ink)";
  };
  /** @param {string} name @param {Record<string, string | number>} attributes @param {string} [text] */
  const make = (name, attributes, text) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
    if (text !== undefined) element.textContent = text;
    return element;
  };
  /** @param {string} id @returns {any} */
  const read = (id) => {
    const stored = document.getElementById(id);
    return stored ? JSON.parse(stored.textContent || "null") : null;
  };

  // ---- curves
  /** @typedef {{title: string, pairs: Record<string, (number | null)[][]>}} Measure */
  /** @type {Record<string, Measure> | null} */
  const measures = read("measures");
  const chosen = /** @type {HTMLSelectElement | null} */ (document.getElementById("measure"));
  const chart = document.getElementById("measure-chart");
  /** @param {Measure} measure */
  const drawCurves = (measure) => {
    if (!chart) return;
    const pairs = Object.entries(measure.pairs);
    const rows = pairs.flatMap(([, lines]) => lines);
    const values = rows.flatMap((row) => row.slice(1)).filter((value) => value !== null);
    const layers = rows.map((row) => Number(row[0]));
    const span = Math.max(...values, 0) - Math.min(...values, 0) || 1;
    // Steps of 1, 2 or 5 times a power of ten.
    const power = 10 ** Math.floor(Math.log10(span / 4));
    const tick = power * ([1, 2, 5].find((times) => times * power * 5 >= span) || 10);
    const low = Math.min(0, ...values);
    const high = Math.max(...values, low + 1e-9), last = Math.max(...layers, 1);
    const first = Math.min(...layers);
    const [width, height, left, right, top, bottom] = [640, 260, 44, 12, 10, 34];
    const x = (/** @type {number} */ layer) => left + (layer - first) / Math.max(1, last - first) * (width - left - right);
    const y = (/** @type {number} */ value) => top + (high - value) / (high - low) * (height - top - bottom);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${measure.title}, layer by layer` });
    for (let i = Math.ceil(low / tick - 1e-9); i * tick <= high + 1e-9; i += 1) {
      const value = i * tick;
      svg.append(make("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "rule" }));
      svg.append(make("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(Math.max(0, -Math.floor(Math.log10(tick)))).replace("-", "−")));
    }
    const step = Math.max(1, Math.ceil((last - first) / 12));
    for (let layer = first; layer <= last; layer += step) {
      svg.append(make("text", { x: x(layer), y: height - bottom + 16, "text-anchor": "middle" }, String(layer)));
    }
    svg.append(make("text", { x: (left + width - right) / 2, y: height - 2, "text-anchor": "middle" }, "layer"));
    pairs.forEach(([name, lines]) => {
      const colour = tint(name);
      const banded = lines.filter((row) => row[2] !== null && row[3] !== null);
      if (banded.length > 1) {
        const up = banded.map((row) => `${x(Number(row[0]))},${y(Number(row[3]))}`);
        const down = banded.map((row) => `${x(Number(row[0]))},${y(Number(row[2]))}`).reverse();
        svg.append(make("polygon", { points: [...up, ...down].join(" "), fill: colour, opacity: 0.15 }));
      }
      const line = lines.map((row) => `${x(Number(row[0]))},${y(Number(row[1]))}`).join(" ");
      const dash = name === "permutation null" ? "5 4" : "";
      svg.append(make("polyline", { points: line, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dash }));
    });
    const legend = document.createElement("ul");
    legend.className = "legend-list";
    pairs.forEach(([name]) => {
      const item = document.createElement("li");
      const mark = document.createElement("i");
      mark.style.background = tint(name);
      item.append(mark, name);
      legend.append(item);
    });
    chart.replaceChildren(svg, legend);
  };
  if (measures && chosen) {
    chosen.addEventListener("change", () => drawCurves(measures[chosen.value]));
    drawCurves(measures[chosen.value]);
  }

  // ---- hidden states
  /** @typedef {{model: string, x: number[], y: number[], task: number[]}} Panel */
  /** @type {{tasks: string[], clusters: string[], layers: {layer: number, panels: Panel[]}[]} | null} */
  const states = read("points");
  const slider = /** @type {HTMLInputElement | null} */ (document.getElementById("layer"));
  const colour = /** @type {HTMLSelectElement | null} */ (document.getElementById("colour"));
  const place = document.getElementById("points-chart");
  const legend = document.getElementById("points-legend");
  if (!states || !slider || !colour || !place || !legend) return;
  /** @param {number} group @param {number} cx @param {number} cy @returns {SVGElement} colour and shape together tell groups apart */
  const mark = (group, cx, cy) => {
    const fill = COLOURS[group % COLOURS.length];
    const shape = Math.floor(group / COLOURS.length) % 3;
    const size = 9;
    if (shape === 0) return make("circle", { cx, cy, r: size, fill, "fill-opacity": 0.75 });
    if (shape === 1) {
      return make("rect", { x: cx - size, y: cy - size, width: 2 * size, height: 2 * size, fill, "fill-opacity": 0.75 });
    }
    return make("polygon", { points: `${cx},${cy - size - 2} ${cx + size + 2},${cy + size} ${cx - size - 2},${cy + size}`, fill, "fill-opacity": 0.75 });
  };
  const draw = () => {
    const at = states.layers[Number(slider.value)];
    const names = colour.value === "cluster" ? states.clusters.map((name) => name || "no cluster") : states.tasks;
    const groups = [...new Set(names)];
    const told = document.getElementById("layer-told");
    if (told) told.textContent = String(at.layer);
    place.replaceChildren(...at.panels.map((panel) => {
      const svg = make("svg", { viewBox: "-30 -90 1060 1120", role: "img", "aria-label": `${panel.model}, layer ${at.layer}: ${panel.x.length} examples` });
      svg.append(make("text", { x: 0, y: -46, class: "title" }, `${panel.model}, layer ${at.layer}`));
      svg.append(make("rect", { x: -26, y: -26, width: 1052, height: 1052, class: "frame" }));
      panel.x.forEach((x, i) => svg.append(mark(groups.indexOf(names[panel.task[i]]), x, 1000 - panel.y[i])));
      return svg;
    }));
    legend.replaceChildren(...groups.map((name, i) => {
      const item = document.createElement("li");
      const svg = make("svg", { viewBox: "0 0 26 26", width: 13, height: 13, "aria-hidden": "true" });
      svg.append(mark(i, 13, 13));
      item.append(svg, name);
      return item;
    }));
  };
  slider.addEventListener("input", draw);
  colour.addEventListener("change", draw);
  if (new Set(states.clusters).size < 2) /** @type {HTMLElement} */ (colour.parentElement).hidden = true;
  draw();
};
setUpLayers();
document.addEventListener("traitscope:part", (event) => {
  if (/** @type {HTMLElement} */ (event.target).dataset.part === "layers") setUpLayers();
});
