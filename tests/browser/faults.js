// What faults.py measures in a page; (...).clipped() and (...).empty() give a line for every fault.
({
  clipped() {
    const ROOM = 1.5;  // of rounding, in pixels
    const told = [];
    const say = (why, one) => {
      const place = one.closest("section, [id]");
      told.push(`${why}: ${one.tagName.toLowerCase()} "${(one.textContent || "").trim().slice(0, 60)}" in #${place ? place.id : "?"}`);
    };
    const own = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const whole = (one) => {
      // A name that is cut with an ellipsis can be read where the pointer rests on it.
      const titled = one.closest("[title]");
      return titled && titled.title.replace(/\s+/g, " ").includes((one.textContent || "").trim().replace(/\s+/g, " "));
    };
    const scrolls = (way) => way === "auto" || way === "scroll";
    for (const one of document.querySelectorAll("body *:not(script, style, option, dialog *)")) {
      if (one instanceof SVGElement || !one.checkVisibility({ visibilityProperty: true })) continue;
      const style = getComputedStyle(one), box = one.getBoundingClientRect();
      if (!box.width || !box.height) continue;
      const cut = (way, inner, outer) => (way === "hidden" || way === "clip") && inner > outer + ROOM;
      if (cut(style.overflowX, one.scrollWidth, one.clientWidth) || cut(style.overflowY, one.scrollHeight, one.clientHeight)) {
        if (!whole(one)) say("cut off", one);
      } else if (own(one) && style.overflowX === "visible" && style.display !== "inline" && one.scrollWidth > one.clientWidth + ROOM && one.clientWidth) {
        say("text beside its box", one);
      }
      const card = one.parentElement && one.parentElement.closest("section:not(#first), .card, .scroll, td, th, nav, header, body");
      if (!card) continue;
      let inside = false;
      for (let up = one.parentElement; up && up !== card.parentElement; up = up.parentElement) {
        inside ||= scrolls(getComputedStyle(up).overflowX);
      }
      const edge = card.getBoundingClientRect();
      if (!inside && style.position !== "fixed" && (box.right > edge.right + ROOM || box.left < edge.left - ROOM)) say("outside of its card", one);
    }
    for (const svg of document.querySelectorAll("main svg")) {
      if (!svg.checkVisibility() || svg.parentElement.closest("svg")) continue;
      const edge = svg.getBoundingClientRect();
      for (const text of svg.querySelectorAll("text")) {
        const box = text.getBoundingClientRect();
        if (!box.width) continue;
        if (box.left < edge.left - ROOM || box.right > edge.right + ROOM || box.top < edge.top - ROOM || box.bottom > edge.bottom + ROOM) {
          say("text beside its figure", text);
        }
      }
    }
    return told;
  },

  empty() {
    const told = [];
    const level = (one) => (/^H[1-6]$/.test(one.tagName) ? Number(one.tagName[1]) : 0);
    const named = (one) => one.closest("[id]")?.id;
    // Headings that are open in each scope, outermost first; before one of its level follows, each must be filled.
    const scopes = [[]];
    const close = (least) => {
      const open = scopes[scopes.length - 1];
      while (open.length && open[open.length - 1].level >= least) {
        const last = open.pop();
        if (!last.filled) told.push(`nothing below: ${last.text}`);
      }
    };
    const begin = (at, one) => scopes[scopes.length - 1].push({ level: at, text: one.textContent.trim().slice(0, 80), filled: false });
    const fill = () => { for (const head of scopes.flat()) head.filled = true; };
    const walk = (one) => {
      if (one.nodeType === 3 && one.data.trim()) fill();
      if (!(one instanceof Element) || one.matches("script, style, dialog") || !one.checkVisibility()) return;
      if (level(one)) {
        close(level(one));
        begin(level(one), one);
        return;
      }
      if (one.tagName === "svg") {
        if (one.querySelector("path, rect, circle, polyline, image")) fill();
        else told.push(`an empty figure in ${named(one)}`);
        return;
      }
      if (one.tagName === "TABLE" && !one.querySelector("tbody tr")) told.push(`a table without rows: ${named(one)}`);
      if (one.matches("ul, ol, dl, select") && !one.children.length) told.push(`a list without lines in ${named(one)}`);
      const scope = one.matches("section, article, details");
      if (scope) scopes.push([]);
      for (const child of one.childNodes) {
        if (child.nodeName === "SUMMARY") begin(1, child);
        else walk(child);
      }
      if (!scope) return;
      close(0);
      scopes.pop();
    };
    walk(document.querySelector("main"));
    close(0);
    return told;
  },
})
