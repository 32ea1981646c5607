// @ts-check
// Of the live page: asks the server how far the run is, and puts what has changed in its place. In a file it does nothing.

/** @typedef {{name: string, says: string, points: [number, number][]}} LossCurve */
/** @typedef {{revision: number, says: string, done: number, total: number, parts: string[], trouble: string, losses: LossCurve[]}} State */

(() => {
  const body = document.body;
  if (body.dataset.live === undefined) return;
  const EVERY = 2000, HIDDEN = 20000, LONGEST = 30000;
  const SVG = "http://www.w3.org/2000/svg";
  let failures = 0;
  /** @type {number | undefined} */
  let timer;

  /** @param {string} id */
  const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

  async function poll() {
    clearTimeout(timer);
    try {
      const answer = await fetch("/state", { cache: "no-store" });
      if (answer.status === 403) throw new Error("Another server answers here. Open the address that `traitscope view` printed last.");
      if (!answer.ok) throw new Error("The server cannot say how far the run is.");
      /** @type {State} */
      const state = await answer.json();
      failures = 0;
      show(state);
      if (String(state.revision) !== body.dataset.live) await refresh();
    } catch (error) {
      failures += 1;
      const told = error instanceof TypeError ? "The server was ended; the page shows what was there." : String(/** @type {Error} */ (error).message);
      if (element("live-says").textContent !== told) element("live-says").textContent = told;
    }
    const wait = document.hidden ? HIDDEN : Math.min(LONGEST, EVERY * 2 ** failures);
    timer = setTimeout(poll, wait);
  }

  /** @param {State} state */
  function show(state) {
    // A status that says the same again would be read out again.
    if (element("live-says").textContent !== state.says) element("live-says").textContent = state.says;
    const bar = /** @type {HTMLProgressElement} */ (element("live-bar"));
    bar.hidden = state.done >= state.total;
    bar.max = Math.max(1, state.total);
    bar.value = state.done;
    const trouble = state.trouble ? [`The page could not be made anew: ${state.trouble}`] : [];
    element("live-parts").replaceChildren(...[...state.parts, ...trouble].map((part) => {
      const line = document.createElement("span");
      line.textContent = part;
      return line;
    }));
    const place = element("live-losses");
    place.hidden = state.losses.length === 0;
    place.replaceChildren(...state.losses.map(curve));
  }

  /** One adapter's loss as a small line, from the lowest to the highest value of its own.
   * @param {LossCurve} loss */
  function curve(loss) {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = `${loss.name}: ${loss.says}`;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 100 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Training loss of ${loss.name}: ${loss.says}`);
    const steps = loss.points.map(([step]) => step), values = loss.points.map(([, value]) => value);
    const [first, last, low, high] = [steps[0], steps[steps.length - 1], Math.min(...values), Math.max(...values)];
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", loss.points.map(([step, value]) =>
      `${(100 * (step - first) / Math.max(1, last - first)).toFixed(1)},${(96 - 92 * (value - low) / Math.max(1e-9, high - low)).toFixed(1)}`).join(" "));
    svg.append(line);
    figure.append(caption, svg);
    return figure;
  }

  async function refresh() {
    const answer = await fetch("/", { cache: "no-store" });
    if (!answer.ok) throw new Error("The server cannot give the page.");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const anchor = anchored();
    const old = partsOf(document), now = partsOf(fresh);
    if (old.length === now.length && now.every((part, i) => part.dataset.part === old[i].dataset.part)) {
      now.forEach((part, i) => { if (part.dataset.hash !== old[i].dataset.hash) swap(old[i], part); });
    } else {
      // Other parts than before, as with the first cell: all of the page, except for what says how far the run is.
      for (const name of ["header", "nav", "main"]) {
        const was = document.querySelector(name), is = fresh.querySelector(name);
        if (!is) continue;
        const bar = is.querySelector("#live"), kept = document.getElementById("live");
        if (bar && kept) bar.replaceWith(kept);
        if (was) swap(/** @type {HTMLElement} */ (was), /** @type {HTMLElement} */ (is));
        else document.querySelector("main")?.before(document.adoptNode(is));
      }
    }
    document.title = fresh.title;
    body.dataset.live = fresh.body.dataset.live;
    anchor();
  }

  /** @param {Document} page @returns {HTMLElement[]} */
  const partsOf = (page) => Array.from(page.querySelectorAll("[data-part]"));

  /** Remembers which part is at the top of the window; what is given puts it there again. */
  function anchored() {
    const part = partsOf(document).find((one) => one.getBoundingClientRect().bottom > 0);
    const name = part?.dataset.part, top = part?.getBoundingClientRect().top ?? 0;
    return () => {
      const now = partsOf(document).find((one) => one.dataset.part === name);
      const moved = now ? now.getBoundingClientRect().top - top : 0;
      if (Math.abs(moved) > 1) window.scrollBy({ top: moved, behavior: "instant" });
    };
  }

  /** Puts a part in the place of an old one, as the reader had that: opened, sorted, filtered, scrolled, focused.
   * @param {HTMLElement} old @param {HTMLElement} fresh */
  function swap(old, fresh) {
    const restore = remembered(old);
    const now = document.adoptNode(fresh);
    old.replaceWith(now);
    // Scripts that give parts their behaviour listen for this.
    now.dispatchEvent(new CustomEvent("traitscope:part", { bubbles: true }));
    restore(now);
  }

  /** @param {HTMLElement} old @returns {(now: HTMLElement) => void} */
  function remembered(old) {
    const opened = Array.from(old.querySelectorAll("details"), (one) => one.open);
    /** @type {[string, string, boolean][]} */
    const given = Array.from(old.querySelectorAll("input[id], select[id]"), (one) => {
      const input = /** @type {HTMLInputElement} */ (one);
      return [input.id, input.value, input.checked];
    });
    const sorted = Array.from(old.querySelectorAll("table"), (table) => {
      const head = table.querySelector("th[aria-sort='ascending'], th[aria-sort='descending']");
      return head ? /** @type {const} */ ([head.textContent, head.getAttribute("aria-sort")]) : null;
    });
    const pressed = Array.from(old.querySelectorAll("button[aria-pressed='true']"), (one) => addressOf(old, one));
    const chosen = Array.from(old.querySelectorAll("input[type='radio']:checked"), (one) => {
      const { name, value } = /** @type {HTMLInputElement} */ (one);
      return `input[type='radio'][name="${CSS.escape(name)}"][value="${CSS.escape(value)}"]`;
    });
    const scrolled = [old, ...old.querySelectorAll("*")].filter((one) => one.scrollTop || one.scrollLeft)
      .map((one) => /** @type {const} */ ([pathOf(old, one), one.scrollTop, one.scrollLeft]));
    const focused = document.activeElement && old.contains(document.activeElement) ? addressOf(old, document.activeElement) : null;
    return (now) => {
      now.querySelectorAll("details").forEach((one, i) => { if (i < opened.length) one.open = opened[i]; });
      for (const [id, value, checked] of given) {
        const input = /** @type {HTMLInputElement | null} */ (document.getElementById(id));
        if (!input || (input.value === value && input.checked === checked)) continue;
        input.value = value;
        input.checked = checked;
        for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
      }
      for (const choice of chosen) {
        const input = /** @type {HTMLInputElement | null} */ (now.querySelector(choice));
        if (input && !input.checked) input.click();
      }
      for (const button of pressed) button(now)?.click();
      now.querySelectorAll("table").forEach((table, i) => {
        const [text, way] = sorted[i] ?? [null, null];
        const head = text === null ? undefined : Array.from(table.querySelectorAll("th")).find((one) => one.textContent === text);
        for (let click = 0; head && click < 2 && head.getAttribute("aria-sort") !== way; click++) head.querySelector("button")?.click();
      });
      for (const [path, top, left] of scrolled) {
        const one = at(now, path);
        if (one) { one.scrollTop = top; one.scrollLeft = left; }
      }
      if (focused !== null) focused(now)?.focus({ preventScroll: true });
    };
  }

  /** @param {Element} root @param {Element} one @returns {number[]} */
  function pathOf(root, one) {
    const path = [];
    for (let node = one; node !== root && node.parentElement; node = node.parentElement) path.unshift(Array.from(node.parentElement.children).indexOf(node));
    return path;
  }

  /** @param {Element} root @param {number[]} path @returns {HTMLElement | undefined} */
  const at = (root, path) => /** @type {HTMLElement | undefined} */ (path.reduce((/** @type {Element | undefined} */ node, i) => node?.children[i], root));

  /** How an element is found again: by its id, by its cell, by its flag, or by its place.
   * @param {Element} root @param {Element} one @returns {(now: HTMLElement) => HTMLElement | null | undefined} */
  function addressOf(root, one) {
    const { model, task, flag } = /** @type {HTMLElement} */ (one).dataset;
    if (one.id) return () => document.getElementById(one.id);
    if (model !== undefined && task !== undefined) {
      return (now) => now.querySelector(`[data-model="${CSS.escape(model)}"][data-task="${CSS.escape(task)}"]`);
    }
    if (flag !== undefined) return (now) => now.querySelector(`[data-flag="${CSS.escape(flag)}"]`);
    const path = pathOf(root, one);
    return (now) => at(now, path);
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  poll();
})();
