// One field over ops, sections and rows: `/` focuses it, arrows choose, Enter goes there.
const Search = (() => {
  const MOST = { Ops: 8, Sections: 6, Rows: 30 };
  const element = (tag, facts = {}, text = "") => { const made = Object.assign(document.createElement(tag), facts); if (text) made.textContent = text; return made; };
  const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&#34;": '"', "&#39;": "'" };
  const plain = (html) => html.replace(/<[^>]+>/g, " ").replace(/&(?:amp|lt|gt|#34|#39);/g, (entity) => ENTITIES[entity]).replace(/\s+/g, " ").trim();

  // Rows as the page has them: those of the folds that nobody opened are read from their text.
  function rowsOf(html) {
    const rows = [];
    let table = "";
    for (const [, label, id, cells] of html.matchAll(/aria-label="([^"]*)">\s*<table|<tr id="([^"]*)"[^>]*>([\s\S]*?)<\/tr>/g)) {
      if (label !== undefined) table = plain(label);
      else rows.push({ href: `#${encodeURIComponent(plain(id))}`, name: plain(cells), note: table });
    }
    return rows;
  }
  function entries(ops) {
    const sections = [...document.querySelectorAll("nav a")].map((link) => ({ href: link.getAttribute("href"), name: link.textContent.trim(), note: "" }));
    const folds = [...document.querySelectorAll("main details[id] > summary, main h3[id]")].map((head) => ({ href: `#${head.id || head.parentElement.id}`, name: head.textContent.trim(), note: "" }));
    const built = [...document.querySelectorAll("main .scroll")].flatMap((home) => rowsOf(home.outerHTML));
    return { Ops: ops(), Sections: [...sections, ...folds], Rows: [...built, ...Folds.unbuilt().flatMap(({ body }) => rowsOf(body))] };
  }
  function matches(list, query) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    return list.map((entry) => ({ entry, text: `${entry.name} ${entry.note}`.toLowerCase() }))
      .filter(({ text }) => words.every((word) => text.includes(word)))
      .map(({ entry, text }) => ({ entry, rank: words.reduce((sum, word) => sum + (text.startsWith(word) ? 0 : /\W/.test(text[text.indexOf(word) - 1]) ? 1 : 2), 0) }))
      .sort((first, second) => first.rank - second.rank).map(({ entry }) => entry);
  }

  function start(home, ops, go) {
    const box = element("search", { className: "search" });
    const field = element("input", { type: "search", id: "search", placeholder: "Search (/)", autocomplete: "off", spellcheck: false });
    const results = element("div", { id: "results", className: "results", hidden: true });
    const status = element("p", { className: "unseen" });
    for (const [name, value] of Object.entries({ role: "combobox", "aria-label": "Search ops, sections and rows", "aria-expanded": "false", "aria-controls": "results", "aria-autocomplete": "list" })) field.setAttribute(name, value);
    results.setAttribute("role", "listbox");
    results.setAttribute("aria-label", "Results");
    status.setAttribute("role", "status");
    box.append(field, results, status);
    home.before(box);
    let index = null, options = [], chosen = -1;

    function option(entry, number) {
      const made = element("div", { id: `result-${number}`, className: "result" });
      made.setAttribute("role", "option");
      made.setAttribute("aria-selected", "false");
      made.append(element("span", { className: "name" }, entry.name));
      if (entry.note) made.append(" ", element("span", { className: "note" }, entry.note));
      made.addEventListener("mousedown", (event) => event.preventDefault());
      made.addEventListener("click", () => follow(entry));
      return { entry, made };
    }
    function show() {
      index ??= entries(ops);
      results.replaceChildren();
      options = [];
      for (const [title, list] of Object.entries(index)) {
        const all = field.value.trim() ? matches(list, field.value) : [];
        if (!all.length) continue;
        const group = element("div", { className: "results-group" }), head = element("div", { className: "results-title", id: `results-${title}` });
        head.textContent = all.length > MOST[title] ? `${title}: the first ${MOST[title]} of ${all.length}` : `${title}: ${all.length}`;
        group.setAttribute("role", "group");
        group.setAttribute("aria-labelledby", head.id);
        const made = all.slice(0, MOST[title]).map((entry, place) => option(entry, options.length + place));
        options.push(...made);
        group.append(head, ...made.map((each) => each.made));
        results.append(group);
      }
      const query = field.value.trim();
      status.textContent = !query ? "" : options.length ? `${options.length} results` : "No result";
      if (query && !options.length) {
        const none = element("div", { className: "result none" }, `No op, section or row has “${query}”.`);
        none.setAttribute("role", "option");
        none.setAttribute("aria-disabled", "true");
        results.append(none);
      }
      open(Boolean(query));
      choose(options.length ? 0 : -1);
    }
    function open(shown) { results.hidden = !shown; field.setAttribute("aria-expanded", String(shown)); if (!shown) field.removeAttribute("aria-activedescendant"); }
    function choose(place) {
      options[chosen]?.made.setAttribute("aria-selected", "false");
      chosen = place;
      const made = options[chosen]?.made;
      if (!made) { field.removeAttribute("aria-activedescendant"); return; }
      made.setAttribute("aria-selected", "true");
      field.setAttribute("aria-activedescendant", made.id);
      if (!results.hidden) made.scrollIntoView({ block: "nearest" });
    }
    function follow(entry) { open(false); field.blur(); go(entry.href); }
    field.addEventListener("input", show);
    field.addEventListener("focus", () => { index = null; if (field.value.trim()) show(); });
    field.addEventListener("blur", () => open(false));
    field.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step && options.length) { event.preventDefault(); choose((chosen + step + options.length) % options.length); }
      else if (event.key === "Enter" && options[chosen]) { event.preventDefault(); follow(options[chosen].entry); }
      else if (event.key === "Escape") { event.preventDefault(); field.value = ""; show(); field.blur(); }
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, [contenteditable], dialog")) return;
      event.preventDefault();
      scrollTo({ top: 0 });
      field.focus({ preventScroll: true });
    });
  }
  return { start };
})();
