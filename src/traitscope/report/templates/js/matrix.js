// @ts-check
// The matrix: what cells show, order, chips, arrow keys and what the pointer tells.
const setUpMatrix = () => {
  const grid = /** @type {HTMLTableElement | null} */ (document.getElementById("gains"));
  if (!grid) return;
  const head = /** @type {HTMLTableRowElement} */ (grid.tHead?.rows[0]);
  const body = grid.tBodies[0];
  const tip = /** @type {HTMLElement} */ (document.getElementById("tip"));
  const stored = document.getElementById("metrics");
  /** Score text, score, gain text, gain; shorter where unknown. @typedef {[string?, number?, string?, number?]} Entry */
  /** @type {Record<string, Entry[][]>} */
  const metrics = stored ? JSON.parse(stored.textContent || "{}") : {};
  /** @type {Map<HTMLElement, {g: string, s: string, gain?: string, score?: string, t: string}>} */
  const first = new Map();
  const note = document.getElementById("unit-note");
  const chosen = /** @type {HTMLSelectElement | null} */ (document.getElementById("metric"));
  /** @returns {HTMLTableCellElement[]} */
  const cells = () => Array.from(body.querySelectorAll("td"));
  /** @returns {HTMLTableCellElement[]} the columns' heads */
  const heads = () => Array.from(head.cells).slice(1);
  /** Tasks whose first metric, which is tested, is another one than is shown. @type {Set<string | undefined>} */
  let untested = new Set();

  // ---- what cells show
  const tellNote = () => {
    const mode = grid.dataset.mode || "", name = chosen?.value;
    if (!note) return;
    const tested = heads().filter((cell) => cell.dataset.metric === name).map((cell) => cell.innerText.trim());
    const where = tested.length ? `tested on ${tested.join(", ")} alone` : "which is not tested here";
    if (!name || mode === "shares") note.textContent = note.dataset[mode] || "";
    else if (mode === "gain") note.textContent = `Gain over the base by ${name}, ${where}; above 0 is better.`;
    else note.textContent = `Scores by ${name}.`;
  };
  for (const input of document.querySelectorAll("input[name=mode]")) {
    input.addEventListener("change", () => {
      grid.dataset.mode = /** @type {HTMLInputElement} */ (input).value;
      tellNote();
      sortRows();
    });
  }
  const own = document.getElementById("hide-own");
  own?.addEventListener("change", () => grid.classList.toggle("hide-own", /** @type {HTMLInputElement} */ (own).checked));

  const numbers = document.getElementById("numbers");
  numbers?.addEventListener("change", () => grid.classList.toggle("plain", !(/** @type {HTMLInputElement} */ (numbers).checked)));

  /** @param {HTMLElement} cell @param {string} name @param {string} text */
  const write = (cell, name, text) => {
    const span = cell.querySelector(name);
    if (span) span.textContent = text;
  };
  /** @param {string} name */
  const showMetric = (name) => {
    const table = metrics[name];
    untested = new Set(heads().filter((cell) => table && cell.dataset.metric !== name).map((cell) => cell.dataset.at));
    grid.classList.toggle("untested", !!table);
    tellNote();
    let most = 0;
    for (const line of table || []) for (const entry of line) most = Math.max(most, Math.abs(entry[3] || 0));
    for (const cell of cells()) {
      const row = Number(/** @type {HTMLElement} */ (cell.parentElement).dataset.at);
      const column = Number(cell.dataset.at);
      if (!first.has(cell)) {
        first.set(cell, {
          g: cell.querySelector(".g")?.textContent || "", s: cell.querySelector(".s")?.textContent || "",
          gain: cell.dataset.gain, score: cell.dataset.score, t: cell.style.getPropertyValue("--t"),
        });
      }
      const kept = /** @type {NonNullable<ReturnType<typeof first.get>>} */ (first.get(cell));
      const other = untested.has(cell.dataset.at);
      /** @type {Entry} */
      const entry = (table && (table[row] || [])[column]) || [];
      write(cell, ".s", other ? entry[0] || "–" : kept.s);
      write(cell, ".g", other ? entry[2] || "" : kept.g);
      const gain = other ? entry[3] : kept.gain === undefined ? undefined : Number(kept.gain);
      const score = other ? entry[1] : kept.score === undefined ? undefined : Number(kept.score);
      cell.classList.toggle("other", other);
      set(cell, "gain", gain);
      set(cell, "score", score);
      cell.classList.toggle("up", (gain || 0) > 0);
      cell.classList.toggle("down", (gain || 0) < 0);
      cell.style.setProperty("--t", table ? String(most ? Math.abs(entry[3] || 0) / most : 0) : kept.t);
    }
    sortRows();
  };
  /** @param {HTMLElement} cell @param {"gain" | "score"} name @param {number | undefined} value */
  const set = (cell, name, value) => {
    if (value === undefined) delete cell.dataset[name];
    else cell.dataset[name] = String(value);
  };
  chosen?.addEventListener("change", () => showMetric(chosen.value));

  // ---- order
  const all = Array.from(body.rows);
  /** @param {((row: HTMLTableRowElement) => number) | null} key null: the study's own order */
  const orderRows = (key) => {
    if (!key) {
      body.append(...all);
      return;
    }
    // Bases, and what chance gives beside them, stay above.
    const pinned = all.filter((row) => row.matches(".base, .chance"));
    const rows = all.filter((row) => !pinned.includes(row));
    rows.sort((a, b) => key(a) - key(b) || Number(a.dataset.at) - Number(b.dataset.at));
    body.append(...pinned, ...rows);
  };
  /** @param {(cell: HTMLElement) => number} key */
  const orderColumns = (key) => {
    const order = heads().sort((a, b) => key(a) - key(b)).map((cell) => cell.dataset.at);
    for (const row of [head, ...body.rows]) {
      const byAt = new Map(Array.from(row.cells).slice(1).map((cell) => [cell.dataset.at, cell]));
      for (const at of order) row.append(/** @type {Node} */ (byAt.get(at)));
    }
  };
  const cluster = document.getElementById("cluster");
  cluster?.addEventListener("click", () => {
    const on = cluster.getAttribute("aria-pressed") !== "true";
    cluster.setAttribute("aria-pressed", String(on));
    const key = (/** @type {HTMLElement} */ part) => Number(on ? part.dataset.cluster : part.dataset.at);
    orderRows(on ? key : null);
    orderColumns(key);
    sorted("");
  });
  /** @param {string} at @param {string} [way] */
  const sorted = (at, way) => {
    for (const cell of head.cells) {
      const here = at !== "" && cell.dataset.at === at;
      if (here && way) cell.setAttribute("aria-sort", way);
      else cell.removeAttribute("aria-sort");
    }
  };
  for (const button of head.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      const at = button.dataset.sort || "";
      const up = at !== "" && button.parentElement?.getAttribute("aria-sort") === "descending";
      sorted(at, up ? "ascending" : "descending");
      if (at === "") orderRows(null);
      else sortRows();
    });
  }
  /** By the column with the arrow, if there is one: whenever it or what cells show has changed. */
  function sortRows() {
    const by = heads().find((cell) => cell.ariaSort);
    if (!by) return;
    const name = grid?.dataset.mode === "gain" ? "gain" : "score", sign = by.ariaSort === "ascending" ? 1 : -1;
    orderRows((row) => {
      const value = /** @type {HTMLElement | null} */ (row.querySelector(`td[data-at="${by.dataset.at}"]`))?.dataset[name];
      return value === undefined ? Infinity : Number(value) * sign;
    });
  }

  // ---- chips
  for (const chip of document.querySelectorAll("button.chip")) {
    chip.addEventListener("click", () => {
      const on = chip.getAttribute("aria-pressed") !== "true";
      for (const other of document.querySelectorAll("button.chip")) other.setAttribute("aria-pressed", "false");
      chip.setAttribute("aria-pressed", String(on));
      grid.classList.toggle("filtered", on);
      const flag = /** @type {HTMLElement} */ (chip).dataset.flag || "";
      for (const cell of cells()) cell.classList.toggle("shown", on && (cell.dataset.flags || "").split(" ").includes(flag));
    });
  }

  // ---- keys and the pointer
  /** @param {HTMLElement} cell */
  const tell = (cell) => {
    if (!cell.dataset.tip) return;
    const name = chosen?.value;
    tip.textContent = cell.dataset.tip + (untested.has(cell.dataset.at) ? `\n(shown: ${name}, which is not tested here)` : "");
    tip.hidden = false;
    const box = cell.getBoundingClientRect();
    const below = box.bottom + 8 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(6, Math.min(box.left, innerWidth - tip.offsetWidth - 6))}px`;
    tip.style.top = `${below ? box.bottom + 6 : Math.max(6, box.top - tip.offsetHeight - 6)}px`;
  };
  const quiet = () => { tip.hidden = true; };
  body.addEventListener("pointerover", (event) => {
    const cell = /** @type {Element} */ (event.target).closest("td");
    if (cell) tell(cell);
    else quiet();
  });
  body.addEventListener("pointerleave", quiet);
  body.addEventListener("focusin", (event) => {
    const cell = /** @type {Element} */ (event.target).closest("td");
    if (cell) tell(cell);
  });
  body.addEventListener("focusout", quiet);
  addEventListener("scroll", quiet, { capture: true, passive: true });
  const start = body.querySelector("td");
  if (start) start.tabIndex = 0;
  body.addEventListener("keydown", (event) => {
    const cell = /** @type {Element} */ (event.target).closest("td");
    if (!cell) return;
    const row = /** @type {HTMLTableRowElement} */ (cell.parentElement);
    const rows = Array.from(body.rows).filter((one) => one.offsetParent !== null);
    const column = Array.from(row.cells).indexOf(cell);
    const at = rows.indexOf(row);
    const last = row.cells.length - 1;
    /** @type {Record<string, [number, number]>} */
    const moves = {
      ArrowUp: [at - 1, column], ArrowDown: [at + 1, column], ArrowLeft: [at, column - 1], ArrowRight: [at, column + 1],
      Home: [at, 1], End: [at, last], PageUp: [Math.max(0, at - 10), column], PageDown: [Math.min(rows.length - 1, at + 10), column],
    };
    const move = moves[event.key];
    if (event.key === "Escape") quiet();
    const next = move && move[1] > 0 ? rows[move[0]]?.cells[move[1]] : undefined;
    if (!next) return;
    event.preventDefault();
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
};
setUpMatrix();
// The live page puts another table in its place.
document.addEventListener("traitscope:part", (event) => {
  if (/** @type {Element} */ (event.target).querySelector("#gains")) setUpMatrix();
});
