// The page: filters in the address, charts drawn when they come into sight, samples behind a row, theme, print.
(() => {
  const root = document.documentElement;
  const all = (selector, where = document) => [...where.querySelectorAll(selector)];
  const element = (tag, facts = {}, words = "") => { const made = Object.assign(document.createElement(tag), facts); if (words) made.textContent = words; return made; };

  // ---- the address: #anchor?op=add,rope&dtype=float32

  const boxes = all(".filters input");
  const KEYS = [...new Set(boxes.map((box) => box.name))];
  const state = Object.fromEntries(KEYS.map((key) => [key, new Set()]));
  const GROUPS = Figures.modes;

  function readAddress() {
    const whole = location.hash.slice(1);
    const mark = whole.indexOf("?");
    let anchor = mark < 0 ? whole : whole.slice(0, mark);
    try { anchor = decodeURIComponent(anchor); } catch { /* as it stands */ }
    return { anchor, query: mark < 0 ? null : new URLSearchParams(whole.slice(mark + 1)) };
  }
  function address(anchor) {
    const parts = KEYS.filter((key) => state[key].size).map((key) => `${key}=${[...state[key]].map(encodeURIComponent).join(",")}`);
    return `#${anchor}${parts.length ? `?${parts.join("&")}` : ""}`;
  }
  function take(query) {
    for (const key of KEYS) {
      const known = new Set(boxes.filter((box) => box.name === key).map((box) => box.value));
      state[key] = new Set((query.get(key) || "").split(",").map(safeDecode).filter((value) => known.has(value)));
    }
  }
  function safeDecode(value) { try { return decodeURIComponent(value); } catch { return value; } }
  function keep() {
    try { history.replaceState(null, "", address(readAddress().anchor) || "#"); } catch { /* a page inside another may refuse */ }
  }

  // ---- filters

  const filter = {
    fits(row) {
      return KEYS.every((key) => {
        const value = row[key];
        if (value === undefined || !state[key].size) return true;
        if (key !== "mode") return state[key].has(value);
        // A mode of calls says nothing about run-time rows, and the other way round.
        const group = GROUPS.find((modes) => modes.includes(value)) || [value];
        return !group.some((mode) => state.mode.has(mode)) || state.mode.has(value);
      });
    },
    chose: (key) => key === "mode" ? GROUPS[0].some((mode) => state.mode.has(mode)) : state[key]?.size > 0,
  };
  const scopes = all(".filtered").map((scope) => ({ scope, rows: all("tbody tr[data-row]", scope), columns: all("[data-column]", scope),
    empty: scope.parentElement.querySelector(":scope > .empty"), count: scope.closest("details")?.querySelector(":scope > summary .count") }));

  function filterTables() {
    for (const one of scopes) {
      let shown = 0;
      for (const row of one.rows) { const fits = filter.fits(row.dataset); row.hidden = !fits; shown += fits; }
      let columns = 0;
      for (const cell of one.columns) { const fits = filter.fits({ route: cell.dataset.column }); cell.hidden = !fits; columns += fits; }
      const none = (one.rows.length > 0 && shown === 0) || (one.columns.length > 0 && columns === 0);
      one.scope.hidden = none;
      if (one.empty) one.empty.hidden = !none;
      if (one.count) one.count.textContent = shown === one.rows.length ? `${shown} rows` : `${shown} of ${one.rows.length} rows`;
    }
  }
  function apply() {
    for (const box of boxes) box.checked = state[box.name].has(box.value);
    filterTables();
    const total = all("tr[data-row].case-row"), shown = total.filter((row) => !row.hidden).length;
    const any = KEYS.some((key) => state[key].size);
    for (const status of all(".filter-status")) status.textContent = any ? `${shown} of ${total.length} run-time rows` : `all ${total.length} run-time rows`;
    for (const button of all(".reset")) button.disabled = !any && !button.closest(".empty");
    redraw();
  }
  function reset() { for (const key of KEYS) state[key].clear(); keep(); apply(); }
  for (const box of boxes) box.addEventListener("change", () => { state[box.name][box.checked ? "add" : "delete"](box.value); keep(); apply(); });
  for (const form of all(".filters")) form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (button?.classList.contains("reset")) reset();
    if (button?.dataset.samples) openRounds(button.dataset.samples);
  });

  // ---- figures, drawn when they come into sight

  const figures = Figures.start(filter, openRounds);
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const figure = figures.find((each) => each.home === entry.target);
      figure.near = entry.isIntersecting;
      if (figure.near) figure.draw();
    }
  }, { rootMargin: "500px 0px" });
  function redraw() { for (const figure of figures) { figure.age(); if (figure.near) figure.draw(); } }
  let width = innerWidth, waiting = 0;
  addEventListener("resize", () => { if (innerWidth === width) return; width = innerWidth; clearTimeout(waiting); waiting = setTimeout(redraw, 150); });

  // ---- the rounds behind a row

  let rounds = null;
  const dialog = document.getElementById("rounds");
  function openRounds(id) {
    rounds ??= JSON.parse(document.getElementById("sample-data").textContent);
    const row = Figures.rowOf(id), values = rounds.rows[id];
    dialog.querySelector("h2").textContent = row ? `${row.route}: ${row.tip.split("\n")[0]}` : id;
    const home = dialog.querySelector(".plot"), table = dialog.querySelector("tbody"), said = dialog.querySelector(".said");
    table.replaceChildren();
    dialog.querySelector(".go").setAttribute("href", `#${id}`);
    dialog.querySelector(".measured").hidden = !values;
    said.textContent = values ? row.tip.split("\n").slice(2).join("; ") : `No rounds on this page: ${rounds.reason || "the raw samples hold none of this row"}.`;
    dialog.showModal();
    if (!values) return;
    for (const [place, facts] of rounds.about[id].entries()) {
      const line = element("tr");
      line.append(element("th", { scope: "row" }, `process ${place + 1}`), ...facts.map((words) => element("td", { className: "n" }, words)));
      table.append(line);
    }
    home.setAttribute("aria-label", `Rounds of ${row.route}, process by process; the table below has them in figures.`);
    home.replaceChildren();
    Figures.rounds(home, values, row.route);
  }
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.querySelector(".go").addEventListener("click", () => dialog.close());

  // ---- links, theme, small screens, print

  function unfold(target) { for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true; }
  function follow() {
    const { anchor, query } = readAddress();
    if (query) take(query);
    const target = anchor ? document.getElementById(anchor) : null;
    // A link to a row that the filter hides shows the row: the filter gives way.
    if (target && !query && target.closest("[data-row], [data-column]") && !filterShows(target)) for (const key of KEYS) state[key].clear();
    apply();
    keep();
    if (target) { unfold(target); target.scrollIntoView(); if (target.matches("tr, td, li, details")) { target.tabIndex = -1; target.focus({ preventScroll: true }); } }
  }
  function filterShows(target) {
    const row = target.closest("tr[data-row]"), column = target.closest("[data-column]");
    return (!row || filter.fits(row.dataset)) && (!column || filter.fits({ route: column.dataset.column }));
  }
  addEventListener("hashchange", follow);

  const themes = ["system", "light", "dark"];
  const themeButton = document.getElementById("theme");
  function setTheme(name) {
    if (name === "system") delete root.dataset.theme; else root.dataset.theme = name;
    themeButton.textContent = `Colours: ${name}`;
    try { if (name === "system") localStorage.removeItem("evidence-theme"); else localStorage.setItem("evidence-theme", name); } catch { /* not kept, still shown */ }
  }
  themeButton.addEventListener("click", () => { setTheme(themes[(themes.indexOf(root.dataset.theme || "system") + 1) % 3]); });
  setTheme(root.dataset.theme || "system");

  for (const button of all("button[aria-controls]")) {
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") !== "true";
      for (const other of all("button[aria-controls]")) show(other, other === button && open);
    });
  }
  function show(button, open) { button.setAttribute("aria-expanded", String(open)); document.getElementById(button.getAttribute("aria-controls")).classList.toggle("open", open); }
  for (const link of all("nav a")) link.addEventListener("click", () => all("button[aria-controls]").forEach((button) => show(button, false)));

  // All but the row tables and the edits of the fault corpus, which take 60 of 80 pages: those are printed if the reader opened them.
  let folded = [];
  addEventListener("beforeprint", () => { folded = all("details:not([open]):not(.data)"); for (const one of folded) one.open = true; });
  addEventListener("afterprint", () => { for (const one of folded) one.open = false; });

  root.classList.add("scripted");
  follow();
  addEventListener("load", () => setTimeout(() => { Figures.library(); for (const figure of figures) watch.observe(figure.home); }, 30));
})();
