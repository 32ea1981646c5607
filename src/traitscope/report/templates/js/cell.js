// @ts-check
// The panel of a cell, #cell/model/task: what the page holds packed of it, or what the live view answers.
(() => {
  "use strict";
  /** @typedef { {text?: string, right?: number, invalid?: boolean, output?: string, cut?: boolean, loss?: number, scores?: (number|null)[], note?: string}} Answer */
  /** @typedef { {id: string, prompt: string, gold: string, options?: string[], base?: Answer, model: Answer}} Shown */
  /** @typedef { {metric: string, primary: boolean, base: string, model: string, gain: string, span: string, sign: number, how: string, q: string, held: boolean, lower: boolean}} Change */
  /** @typedef { {gold: string[], predicted: string[], base: number[][]|null, model: number[][], note: string, shares: Object<string, number[]>}} Confusion */
  /** @typedef { {title: string, edges: number[], marks: number[], whole: boolean, series: {name: string, counts: number[], mean: string}[], note: string}} Density */
  /** @typedef { {key: string, label: string, total: number, command: string}} Tab */
  /** @typedef { {model: string, task: string, base: string|null, facts: string[], notes: string[], changes: Change[], confusion: Confusion|null, density: Density|null, tabs: Tab[]}} Head */
  /** @typedef { {rule: string, questions: any[], cells: Object<string, {head: Head, rows: Object<string, [number, Answer][]>}>}} Pack */
  /** @typedef { {total: number, rows: Shown[], counts?: Object<string, number>}} Page */

  const panel = /** @type {HTMLDialogElement|null} */ (document.getElementById("cell-panel"));
  if (!panel) return;
  const body = /** @type {HTMLElement} */ (document.getElementById("cell-body"));
  const title = /** @type {HTMLElement} */ (document.getElementById("cell-title"));
  const facts = /** @type {HTMLElement} */ (document.getElementById("cell-facts"));
  const live = document.body.dataset.live !== undefined;
  const LONG = 420, PAGE = 20, MANY_OPTIONS = 6;
  /** @type {WeakMap<HTMLElement, Promise<Pack>>} */
  const packs = new WeakMap();
  /** @type { {model: string, task: string}|null} */
  let shown = null;
  /** @type {HTMLElement|null} */
  let opener = null;
  let pushed = false;
  let turn = 0;

  // Names that are read from right to left, so that they move no number beside them (as the page is set, see typeset).
  const RTL = "\\u0590-\\u08ff\\ufb1d-\\ufdff\\ufe70-\\ufefc\\u{10800}-\\u{10cff}\\u{10d00}-\\u{10fff}\\u{1e800}-\\u{1eeff}";
  const NAMES = new RegExp(`([${RTL}]+(?:[ _\\u200c'-]+[${RTL}]+)*)`, "u");

  /** @param {string} text @returns {(string|Node)[]} */
  function apart(text) {
    return text.split(NAMES).map((part, k) => {
      if (k % 2 === 0) return part;
      const name = document.createElement("bdi");
      name.textContent = part;
      return name;
    });
  }

  /**
   * An element with a class, text and children; text is never markup.
   * @param {string} tag @param {string} [kind] @param {...(string|Node|null)} inside @returns {HTMLElement}
   */
  function make(tag, kind, ...inside) {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    for (const one of inside) {
      // A text of its own is read in its own direction.
      if (typeof one === "string") element.append(...(kind === "cell-text" ? [one] : apart(one)));
      else if (one !== null) element.append(one);
    }
    if (kind === "cell-text") element.dir = "auto";
    return element;
  }

  /** A name of reasonable length. @param {string} name */
  const cut = (name) => (name.length > 48 ? `${name.slice(0, 24)}…${name.slice(-23)}` : name);

  /** Rows and columns of the matrix. @returns {{models: string[], tasks: string[]}} */
  function order() {
    return JSON.parse(document.getElementById("cell-order")?.textContent || '{"models":[],"tasks":[]}');
  }

  /** @param {string} task @returns {Promise<Pack>} */
  function unpack(task) {
    const blocks = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('script[type="application/octet-stream"]')]);
    const block = blocks.find((one) => one.dataset.task === task);
    if (!block) return Promise.reject(new Error("This page holds nothing on this cell."));
    let found = packs.get(block);
    if (!found) {
      found = (async () => {
        if (typeof DecompressionStream === "undefined") {
          throw new Error("This browser cannot unpack what the page holds on single cells; one of 2023 or later can.");
        }
        const bytes = Uint8Array.from(atob((block.textContent || "").trim()), (sign) => sign.charCodeAt(0));
        const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
        return new Response(stream).json();
      })();
      packs.set(block, found);
    }
    return found;
  }

  /** @param {string} model @param {string} task @returns {Promise<{head: Head, page: (tab: string, q: string, offset: number) => Promise<Page>, rule: string}>} */
  async function read(model, task) {
    if (live) {
      const ask = async (/** @type {string} */ tab, /** @type {string} */ q, /** @type {number} */ offset) => {
        const asked = new URLSearchParams({ model, task, q, offset: String(offset), limit: String(PAGE) });
        if (tab) asked.set("tab", tab);
        const answer = await fetch(`/examples?${asked}`);
        if (!answer.ok) throw new Error(`The live view gave no answer (${answer.status}): ${await answer.text()}`);
        return answer.json();
      };
      /** @type {{head?: Head, counts: Object<string, number>, tab: string, shown: Shown[]}|null} */
      let first = await ask("", "", 0);
      const counts = first ? first.counts : {};
      const tabs = Object.keys(counts).map((key) => ({ key, label: key.replace("_", " "), total: counts[key], command: "" }));
      const base = first?.shown.some((one) => one.base) ? "base" : null;
      const bare = { model, task, base, facts: [], notes: [], changes: [], confusion: null, density: null, tabs };
      return {
        // A cell that has just landed is not among the findings yet.
        head: first?.head || bare,
        rule: "",
        page: async (tab, q, offset) => {
          const found = first && first.tab === tab && !q && !offset ? first : await ask(tab, q, offset);
          first = null;
          return { total: found.counts[tab], rows: found.shown, counts: found.counts };
        },
      };
    }
    const pack = await unpack(task);
    const cell = pack.cells[model];
    if (!cell) throw new Error("This page holds nothing on this cell.");
    return {
      head: cell.head,
      rule: pack.rule,
      page: async (tab) => {
        const rows = (cell.rows[tab] || []).map(([at, answer]) => {
          const { bases, ...question } = pack.questions[at];
          return { ...question, base: cell.head.base === null ? undefined : bases[cell.head.base], model: answer };
        });
        return { total: rows.length, rows };
      },
    };
  }

  /** @param {Change[]} changes @param {boolean} compared */
  function scores(changes, compared) {
    const table = make("table", "cell-scores");
    const heads = compared ? ["metric", "base", "model", "gain", "95 % interval"] : ["metric", "score"];
    table.append(make("thead", "", make("tr", "", ...heads.map((head, k) => make("th", k ? "number" : "", head)))));
    const rows = changes.map((change) => {
      const told = [change.q, change.held ? (change.sign > 0 ? "gain holds" : "loss holds") : ""].filter(Boolean);
      const name = make("th", "", change.metric, change.primary ? " (primary)" : "", change.lower ? make("small", "", "lower is better") : null, told.length ? make("small", "", told.join(", ")) : null);
      name.setAttribute("scope", "row");
      if (!compared) return make("tr", "", name, make("td", "number", change.model));
      const kind = !change.span || !change.sign || !change.held ? "" : change.sign > 0 ? " cell-up" : " cell-down";
      return make("tr", change.primary ? "" : "minor", name, make("td", "number", change.base), make("td", "number", change.model),
        make("td", `number${kind}`, change.gain), make("td", "number", change.span || (change.gain ? "not known" : "")));
    });
    table.append(make("tbody", "", ...rows));
    const ways = [...new Set(changes.map((change) => change.how).filter(Boolean))];
    const told = ways.map((way) => `${changes.filter((change) => change.how === way).map((change) => change.metric).join(", ")}: ${way}`);
    const gains = changes.some((change) => change.gain) ? "Above 0 the model is better." : "";
    const note = gains ? make("p", "note", gains + (told.length ? ` Intervals of ${told.join("; ")}.` : "")) : null;
    return make("div", "", make("div", "cell-wide", table), note);
  }

  /** @param {string} name @param {number[][]} counts @param {Confusion} found */
  function confusion(name, counts, found) {
    const corner = make("th", "", "right \\ said");
    const head = make("tr", "", corner, ...found.predicted.map((one) => {
      const cell = make("th", "", one);
      cell.setAttribute("scope", "col");
      return cell;
    }));
    const rows = counts.map((row, r) => {
      const sum = row.reduce((a, b) => a + b, 0) || 1;
      const label = make("th", "", found.gold[r]);
      label.setAttribute("scope", "row");
      return make("tr", "", label, ...row.map((count, c) => {
        const cell = make("td", c === r ? "cell-hit" : "", String(count));
        cell.style.setProperty("--share", String(count / sum));
        return cell;
      }));
    });
    const table = make("table", "cell-confusion", make("caption", "", name), make("thead", "", head), make("tbody", "", ...rows));
    return make("div", "cell-wide", table);
  }

  /** @param {Confusion} found */
  function classes(found) {
    const list = make("dl", "cell-shares");
    const kinds = ["gold", "base", "model"].filter((kind) => found.shares[kind]);
    found.predicted.forEach((name, c) => {
      const bars = kinds.map((kind) => {
        const bar = make("i", `cell-of-${kind}`);
        const share = found.shares[kind][c] || 0;
        bar.style.setProperty("--share", String(share));
        return make("div", "cell-bar", bar, `${(100 * share).toFixed(0)} % ${kind === "gold" ? "true" : kind}`);
      });
      list.append(make("dt", "", name), make("dd", "", ...bars));
    });
    return list;
  }

  /** @param {Density} found */
  function density(found) {
    const NS = "http://www.w3.org/2000/svg", W = 360, H = 130, FOOT = 18;
    const svg = document.createElementNS(NS, "svg");
    svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
    svg.setAttribute("class", "cell-density");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${found.title}: ${found.series.map((one) => `${one.name}, mean ${one.mean}`).join("; ")}`);
    const totals = found.series.map((one) => one.counts.reduce((a, b) => a + b, 0) || 1);
    const top = Math.max(...found.series.flatMap((one, k) => one.counts.map((count) => count / totals[k]))) || 1;
    const low = found.edges[0], high = found.edges[found.edges.length - 1];
    const x = (/** @type {number} */ value) => ((value - low) / (high - low || 1)) * (W - 12) + 6;
    const y = (/** @type {number} */ share) => H - FOOT - (share / top) * (H - FOOT - 4);
    const kindOf = (/** @type {string} */ name) => (name === "base" || name === "model" ? name : "gold");
    const axis = document.createElementNS(NS, "line");
    for (const [key, value] of [["x1", 0], ["x2", W], ["y1", H - FOOT], ["y2", H - FOOT]]) axis.setAttribute(String(key), String(value));
    svg.append(axis);
    found.series.forEach((one, k) => {
      const line = document.createElementNS(NS, "path");
      let way = `M${x(low).toFixed(1)} ${y(0).toFixed(1)}`;
      one.counts.forEach((count, bin) => {
        const level = y(count / totals[k]).toFixed(1);
        way += `L${x(found.edges[bin]).toFixed(1)} ${level}L${x(found.edges[bin + 1]).toFixed(1)} ${level}`;
      });
      line.setAttribute("d", `${way}L${x(high).toFixed(1)} ${y(0).toFixed(1)}`);
      line.setAttribute("class", `cell-line-${kindOf(one.name)}`);
      svg.append(line);
    });
    found.marks.forEach((value, k) => {
      const text = document.createElementNS(NS, "text");
      text.setAttribute("x", x(value).toFixed(1));
      text.setAttribute("y", String(H - 4));
      text.setAttribute("text-anchor", found.whole ? "middle" : k ? (k === found.marks.length - 1 ? "end" : "middle") : "start");
      text.textContent = String(value);
      svg.append(text);
    });
    const key = found.series.map((one) => make("span", `cell-key-${kindOf(one.name)}`, `${one.name}: mean ${one.mean}`));
    return make("div", "", svg, make("div", "cell-key", ...key), found.note ? make("p", "note", found.note) : null);
  }

  /** @param {string} text @param {string} kind @param {string} what */
  function folded(text, kind, what) {
    if (text.length <= LONG) return make("div", kind, make("p", "cell-text", text));
    const whole = make("details", "", make("summary", "", `${what}, ${text.length.toLocaleString("en")} characters`), make("p", "cell-text", text));
    return make("div", kind, make("p", "cell-text", `${text.slice(0, LONG / 2).trimEnd()} … ${text.slice(-LONG / 3).trimStart()}`), whole);
  }

  /** @param {string} name @param {Answer} one */
  function answer(name, one) {
    const marks = [];
    if (one.invalid) marks.push(make("span", "cell-mark cell-no", "? not parsed"));
    else if (one.right === 1) marks.push(make("span", "cell-mark cell-yes", "✓ right"));
    else if (one.right === 0) marks.push(make("span", "cell-mark cell-no", "✗ wrong"));
    else if (one.right !== undefined) marks.push(make("span", "cell-mark", `value ${one.right}`));
    const more = [one.note || "", one.cut ? "cut off" : "", one.loss === undefined ? "" : `loss ${one.loss.toFixed(3)}`].filter(Boolean);
    const block = make("div", "", make("h5", "", name, " ", ...marks));
    if (one.text !== undefined) block.append(folded(one.text, "", "the whole answer"));
    if (one.output !== undefined) block.append(make("p", "sub", one.output.trim() ? "wrote" : "wrote nothing"));
    if (one.output !== undefined && one.output.trim()) block.append(folded(one.output, "", "all it wrote"));
    if (more.length) block.append(make("p", "sub", more.join(" · ")));
    return block;
  }

  /** @param {Shown} one */
  function options(one) {
    const known = one.options || [], own = one.model.scores;
    if (!known.length || !own) return null;
    const sides = /** @type {[string, (number|null)[]][]} */ ([["base", one.base && one.base.scores], ["model", own]].filter((side) => side[1]));
    const head = make("tr", "", make("th", "", "option"), ...sides.map(([name]) => make("th", "number", name)));
    const rows = known.map((option, k) => make("tr", option === one.gold ? "cell-gold" : "", make("th", "", option, option === one.gold ? " ✓" : ""),
      ...sides.map(([, values]) => {
        const value = values[k], best = Math.max(...values.map((v) => (v === null ? -Infinity : v)));
        return make("td", value === best ? "number cell-best" : "number", value === null || value === undefined ? "–" : value.toFixed(2).replace("-", "−"));
      })));
    const table = make("div", "cell-wide", make("table", "cell-options", make("caption", "sub", "log-likelihood in nats (✓ right)"), make("thead", "", head), make("tbody", "", ...rows)));
    return known.length <= MANY_OPTIONS ? table : make("details", "", make("summary", "", `${known.length} options`), table);
  }

  /** @param {Shown} one */
  function example(one) {
    const sides = [make("div", "", make("h5", "", "right answer"), folded(one.gold, "", "the whole right answer"))];
    if (one.base) sides.push(answer("base", one.base));
    sides.push(answer("model", one.model));
    const choices = options(one);
    if (choices) sides.push(choices);
    const prompt = one.prompt ? folded(one.prompt, "cell-prompt", "the whole prompt") : null;
    return make("article", "cell-example", make("h4", "", one.id), prompt, make("div", "cell-answers", ...sides));
  }

  /**
   * @param {Head} head @param {string} rule
   * @param {(tab: string, q: string, offset: number) => Promise<Page>} page
   */
  function examples(head, rule, page) {
    if (!head.tabs.length) return null;
    const strip = make("div", "cell-tabs");
    strip.setAttribute("role", "tablist");
    strip.setAttribute("aria-label", "Examples by outcome");
    const list = make("div", "");
    list.id = "cell-list";
    list.setAttribute("role", "tabpanel");
    list.tabIndex = 0;
    const search = /** @type {HTMLInputElement} */ (make("input"));
    search.type = "search";
    search.placeholder = "words in prompt or answers";
    search.setAttribute("aria-label", "Search the examples");
    let now = head.tabs.find((tab) => tab.total) || head.tabs[0];
    let asked = 0;

    /** @param {number} offset */
    async function fill(offset) {
      const mine = ++asked, q = live ? search.value.trim() : "";
      if (!offset) list.replaceChildren(make("p", "sub", "Reading …"));
      /** @type {Page} */
      let found;
      try {
        found = await page(now.key, q, offset);
      } catch (error) {
        list.replaceChildren(make("p", "cell-note", error instanceof Error ? error.message : String(error)));
        return;
      }
      if (mine !== asked) return;
      // Where words are searched for, every tab says how many of its examples hold them.
      const held = q ? found.counts : undefined;
      head.tabs.forEach((tab, k) => { buttons[k].textContent = held ? `${tab.label} ${held[tab.key] || 0} of ${tab.total}` : `${tab.label} ${tab.total}`; });
      if (!offset) list.replaceChildren();
      const more = list.querySelector(".cell-more");
      if (more) more.remove();
      const count = offset + found.rows.length;
      if (!offset && live) list.append(make("p", "sub", q ? `${found.total} of ${now.total} hold these words.` : `${now.total} examples.`));
      if (!offset && !live) {
        const said = count === now.total ? `All ${count}.` : count ? `${count} of ${now.total}. ${rule}` : `${now.total}; none of them is in this file.`;
        list.append(make("p", "sub", now.total ? said : "There are none."));
        if (now.total > count) list.append(make("p", "sub", "All of them, in a terminal in this report's folder:"), make("code", "cell-command", now.command));
      }
      list.append(...found.rows.map(example));
      if (live && count < found.total) {
        const button = make("button", "cell-more", `${Math.min(PAGE, found.total - count)} more of ${found.total - count}`);
        button.addEventListener("click", () => fill(count));
        list.append(button);
      }
    }

    const buttons = head.tabs.map((tab) => {
      const button = /** @type {HTMLButtonElement} */ (make("button", "", `${tab.label} ${tab.total}`));
      button.type = "button";
      button.id = `cell-tab-${tab.key}`;
      button.setAttribute("role", "tab");
      button.setAttribute("aria-controls", list.id);
      button.addEventListener("click", () => choose(tab));
      return button;
    });
    /** @param {Tab} tab */
    function choose(tab) {
      now = tab;
      head.tabs.forEach((one, k) => {
        buttons[k].setAttribute("aria-selected", String(one === tab));
        buttons[k].tabIndex = one === tab ? 0 : -1;
        if (one === tab) list.setAttribute("aria-labelledby", buttons[k].id);
      });
      fill(0);
    }
    strip.append(...buttons);
    strip.addEventListener("keydown", (event) => {
      const at = head.tabs.indexOf(now), last = head.tabs.length - 1;
      const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at ? at - 1 : last, Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(head.tabs[to]);
      buttons[to].focus();
    });
    let waiting = 0;
    search.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => fill(0), 200);
    });
    choose(now);
    return make("div", "cell-examples", make("h3", "", "Examples"), live ? make("div", "cell-search", search) : null, strip, list);
  }

  /** @param {string} model @param {string} task */
  async function show(model, task) {
    const mine = ++turn;
    shown = { model, task };
    title.replaceChildren(...apart(`${cut(model)} on ${cut(task)}`));
    title.title = `${model} on ${task}`;
    facts.textContent = "";
    body.replaceChildren(make("p", "sub", "Reading …"));
    const { models, tasks } = order();
    const at = { model: models.indexOf(model), task: tasks.indexOf(task) };
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (panel?.querySelectorAll("[data-step]"))) {
      const [key, step] = (button.dataset.step || "").split(" ");
      const of = key === "model" ? models : tasks;
      button.disabled = of[at[/** @type {"model"|"task"} */ (key)] + Number(step)] === undefined;
    }
    if (!panel?.open) panel?.showModal();
    try {
      const { head, page, rule } = await read(model, task);
      if (mine !== turn) return;
      facts.replaceChildren(...apart(head.facts.join(" · ")));
      const parts = [...head.notes.map((note) => make("p", "cell-note", note))];
      if (head.changes.length) parts.push(make("h3", "", head.base === null ? "Scores" : `Scores beside ${cut(head.base)}`), scores(head.changes, head.base !== null));
      if (head.confusion) {
        const found = head.confusion;
        parts.push(make("h3", "", "Right answers and what was said"));
        parts.push(make("div", "cell-pair", found.base ? confusion("base", found.base, found) : null, confusion(found.base ? "model" : "this model", found.model, found), make("div", "", classes(found))));
        if (found.note) parts.push(make("p", "note", found.note));
      }
      if (head.density) parts.push(make("h3", "", head.density.title), density(head.density));
      const list = examples(head, rule, page);
      body.replaceChildren(...parts, ...(list ? [list] : []));
      body.scrollTop = 0;
    } catch (error) {
      if (mine === turn) body.replaceChildren(make("p", "cell-note", error instanceof Error ? error.message : String(error)));
    }
  }

  /** @param {string} model @param {string} task */
  const address = (model, task) => `#cell/${encodeURIComponent(model)}/${encodeURIComponent(task)}`;

  /** @param {string} what */
  function nothing(what) {
    turn += 1;
    shown = null;
    title.textContent = "No such cell";
    title.title = facts.textContent = "";
    body.replaceChildren(make("p", "cell-note", what));
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (panel?.querySelectorAll("[data-step]"))) button.disabled = true;
    if (!panel?.open) panel?.showModal();
  }

  /** Shows what the address says, or nothing. */
  function follow() {
    const [where, ...rest] = location.hash.split("/");
    let cell = null;
    try {
      if (where === "#cell" && rest.length === 2) cell = rest.map(decodeURIComponent);
    } catch {
      cell = null; // no address of ours
    }
    if (cell && order().models.includes(cell[0]) && order().tasks.includes(cell[1])) {
      if (!shown || shown.model !== cell[0] || shown.task !== cell[1]) show(cell[0], cell[1]);
    } else if (where === "#cell") {
      nothing(cell ? `This report has no cell of ${cut(cell[0])} on ${cut(cell[1])}.` : "This address names no cell: it should read #cell/model/task.");
    } else if (panel?.open) {
      pushed = false;
      panel.close();
    }
  }

  /** @param {string} model @param {string} task */
  function open(model, task) {
    if (!order().models.includes(model) || !order().tasks.includes(task)) return;
    if (panel?.open) history.replaceState(null, "", address(model, task));
    else {
      history.pushState(null, "", address(model, task));
      pushed = true;
    }
    show(model, task);
  }

  /** @param {EventTarget|null} target @returns {HTMLElement|null} */
  function cellOf(target) {
    if (!(target instanceof Element)) return null;
    const cell = /** @type {HTMLElement|null} */ (target.closest("[data-model][data-task]"));
    const inner = target.closest("a, button, input, select, summary");
    return cell && (!inner || inner === cell || !cell.contains(inner)) ? cell : null;
  }

  document.addEventListener("click", (event) => {
    const cell = cellOf(event.target);
    if (!cell || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    opener = cell;
    open(cell.dataset.model || "", cell.dataset.task || "");
  });
  document.addEventListener("keydown", (event) => {
    const cell = event.key === "Enter" ? cellOf(event.target) : null;
    // Links and buttons make a click of it themselves.
    if (!cell || event.defaultPrevented || cell.matches("a, button")) return;
    event.preventDefault();
    opener = cell;
    open(cell.dataset.model || "", cell.dataset.task || "");
  });
  panel.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const step = target.dataset.step;
    if (target === panel || target.id === "cell-close") panel.close(); // outside of it, or its button
    if (!step || !shown) return;
    const [key, by] = step.split(" ");
    const { models, tasks } = order();
    const model = key === "model" ? models[models.indexOf(shown.model) + Number(by)] : shown.model;
    const task = key === "task" ? tasks[tasks.indexOf(shown.task) + Number(by)] : shown.task;
    open(model, task);
    if (/** @type {HTMLButtonElement} */ (target).disabled) title.focus();
  });
  panel.addEventListener("close", () => {
    turn += 1;
    const left = shown;
    shown = null;
    if (location.hash.startsWith("#cell")) {
      if (pushed) history.back();
      else history.replaceState(null, "", location.pathname + location.search);
    }
    pushed = false;
    const cells = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-model][data-task]:not(script)")]);
    const back = opener || cells.find((one) => left && one.dataset.model === left.model && one.dataset.task === left.task);
    opener = null;
    if (back) back.focus();
  });
  window.addEventListener("popstate", follow);
  window.addEventListener("hashchange", follow);
  follow();
})();
