// @ts-check
// Tables below the first screen: sorted by a head, picked by words, flags and size of the interval, saved as CSV.
(() => {
  /** @param {HTMLTableRowElement} row @param {number} column @returns {[number, number | string]} unknown ones last */
  const key = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort;
    if (text === undefined) return [0, (cell.textContent || "").trim().toLowerCase()];
    return text === "" ? [1, 0] : [0, Number(text)];
  };
  /** @param {HTMLTableElement} table */
  const sortable = (table) => {
    const body = table.tBodies[0];
    table.querySelectorAll("thead th").forEach((head, column) => head.querySelector("button")?.addEventListener("click", () => {
      const numbers = head.classList.contains("number");
      const now = head.getAttribute("aria-sort");
      // Numbers begin with the largest, words with the first.
      const down = now ? now === "ascending" : numbers;
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = Array.from(body.rows).map((row) => ({ row, key: key(row, column) }));
      rows.sort((a, b) => a.key[0] - b.key[0] || (a.key[1] < b.key[1] ? -1 : a.key[1] > b.key[1] ? 1 : 0) * (down ? -1 : 1));
      body.append(...rows.map((one) => one.row));
    }));
  };
  /** @param {string} text a text of ours or of a user: never a formula to a spreadsheet, quoted where it must be */
  const field = (text) => {
    const safe = /^[\s'"]*[=+\-@\t\r]/.test(text) && !/^[+-]?[\d.,]+( %)?$/.test(text) ? `'${text}` : text;
    return /[",\n\r;]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  /** A text whose numbers have hyphens, as programs read them and people type them. @param {string} text */
  const plain = (text) => text.replace(/−(?=[\d.])/g, "-");
  /** @param {HTMLTableElement} table @returns {string} the shown rows as they read, numbers with hyphens */
  const csv = (table) => {
    const heads = Array.from(table.tHead?.rows[0].cells || []);
    const lines = [heads.map((head) => field(head.querySelector("button")?.textContent || ""))];
    for (const row of table.tBodies[0].rows) {
      if (row.hidden) continue;
      lines.push(Array.from(row.cells).map((cell) => field(plain((cell.textContent || "").trim()))));
    }
    return lines.map((line) => line.join(",")).join("\n") + "\n";
  };

  /** @param {HTMLElement} picks */
  const pickable = (picks) => {
    const table = /** @type {HTMLTableElement | null} */ (document.getElementById(picks.dataset.for || ""));
    if (!table) return;
    const rows = Array.from(table.tBodies[0].rows);
    const told = picks.querySelector("[data-count]");
    /** @param {string} name */
    const value = (name) => /** @type {HTMLInputElement | null} */ (picks.querySelector(`[data-pick=${name}]`))?.value || "";
    /** @type {Map<HTMLTableRowElement, string>} */
    const texts = new Map();
    const pick = () => {
      const words = plain(value("text")).toLowerCase().split(/\s+/).filter(Boolean);
      const flag = value("flag");
      const most = value("half") === "" ? Infinity : Number(value("half"));
      let shown = 0;
      for (const row of rows) {
        if (words.length && !texts.has(row)) texts.set(row, plain(row.textContent || "").toLowerCase());
        const text = texts.get(row) || "";
        const fits = words.every((word) => text.includes(word))
          && (!flag || (row.dataset.flags || "").split(" ").includes(flag))
          && (most === Infinity || (row.dataset.half !== undefined && Number(row.dataset.half) <= most));
        row.hidden = !fits;
        shown += fits ? 1 : 0;
      }
      if (told) told.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
    };
    for (const input of picks.querySelectorAll("[data-pick]")) input.addEventListener("input", pick);
    pick();
    const button = /** @type {HTMLElement | null} */ (picks.querySelector("[data-csv]"));
    button?.addEventListener("click", () => {
      const address = URL.createObjectURL(new Blob([csv(table)], { type: "text/csv;charset=utf-8" }));
      const link = document.createElement("a");
      link.href = address;
      link.download = button.dataset.csv || "table.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    });
  };

  /** @param {ParentNode} place the page, or a part that was put into it anew */
  const setUp = (place) => {
    for (const box of place.querySelectorAll("[data-script]")) /** @type {HTMLElement} */ (box).hidden = false;
    for (const table of place.querySelectorAll("table[data-sortable]")) sortable(/** @type {HTMLTableElement} */ (table));
    for (const picks of place.querySelectorAll(".picks[data-for]")) pickable(/** @type {HTMLElement} */ (picks));
  };
  setUp(document);
  document.addEventListener("traitscope:part", (event) => setUp(/** @type {Element} */ (event.target)));

  // ---- what a "?" leads to opens
  const open = () => {
    const name = location.hash.slice(1);
    if (!name || name.startsWith("cell/")) return;
    const target = document.getElementById(name);
    if (!target) return;
    for (let box = /** @type {Element | null} */ (target); box; box = box.parentElement) {
      if (box instanceof HTMLDetailsElement) box.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();
