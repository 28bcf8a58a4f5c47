// The page: filters in the address, charts drawn when they come into sight, samples behind a row, theme, print.
(async () => {
  // A browser that cannot unpack shows what one without scripts shows.
  if (typeof DecompressionStream === "undefined") return;
  await Promise.all([Folds.load(), Figures.load()]);
  const root = document.documentElement;
  const all = (selector, where = document) => [...where.querySelectorAll(selector)];
  const element = (tag, facts = {}, words = "") => { const made = Object.assign(document.createElement(tag), facts); if (words) made.textContent = words; return made; };

  // ---- the address: #anchor?op=add,rope&dtype=float32

  const boxes = all(".filters input");
  const KEYS = [...new Set(boxes.map((box) => box.name))];
  const state = Object.fromEntries(KEYS.map((key) => [key, new Set()]));
  const GROUPS = Figures.modes();

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
  const scopes = [];
  function watchTables(part) {
    for (const table of all(".scroll > table", part)) {
      for (const feature of [Sort, Copy, Rows]) feature.enhance(table);
      if (table.matches(".filtered")) {
        scopes.push({ table, rows: all("tbody tr[data-row]", table), columns: all("[data-column]", table),
          empty: table.parentElement.querySelector(":scope > .empty"), count: table.closest("details")?.querySelector(":scope > summary .count") });
      }
    }
  }
  // The rows of folds that nobody opened, as the filters see them.
  const packedRows = new Map(Folds.unbuilt().map(({ body, number }) => [number, [...body.matchAll(/<tr\b[^>]* data-row[^>]*>/g)].map(([tag]) => ({
    run: tag.includes("case-row"), data: Object.fromEntries([...tag.matchAll(/ data-([a-z]+)="([^"]*)"/g)].map(([, name, value]) => [name, value])) }))]));

  function filterTables() {
    const run = { shown: 0, total: 0 };
    const count = (place, shown, of) => { if (place) place.textContent = shown === of ? `${shown} rows` : `${shown} of ${of} rows`; };
    for (const scope of scopes) {
      let shown = 0;
      for (const row of scope.rows) {
        const fits = filter.fits(row.dataset);
        row.hidden = !fits;
        shown += fits;
        if (row.matches(".case-row")) { run.total += 1; run.shown += fits; }
      }
      let columns = 0;
      for (const cell of scope.columns) { const fits = filter.fits({ route: cell.dataset.column }); cell.hidden = !fits; columns += fits; }
      const none = (scope.rows.length > 0 && shown === 0) || (scope.columns.length > 0 && columns === 0);
      scope.table.hidden = none;
      if (scope.empty) scope.empty.hidden = !none;
      count(scope.count, shown, scope.rows.length);
    }
    for (const { number, fold } of Folds.unbuilt()) {
      const rows = packedRows.get(number), fitting = rows.filter((row) => filter.fits(row.data));
      run.total += rows.filter((row) => row.run).length;
      run.shown += fitting.filter((row) => row.run).length;
      if (rows.length) count(fold?.querySelector(":scope > summary .count"), fitting.length, rows.length);
    }
    return run;
  }
  function apply() {
    for (const box of boxes) box.checked = state[box.name].has(box.value);
    const run = filterTables();
    const any = KEYS.some((key) => state[key].size);
    for (const status of all(".filter-status")) status.textContent = any ? `${run.shown} of ${run.total} run-time rows` : `all ${run.total} run-time rows`;
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

  const figures = [];
  function watchFigures(part) {
    const homes = Figures.within(part, filter, openRounds);
    figures.push(...homes);
    for (const figure of homes) watch.observe(figure.home);
  }
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
  async function openRounds(id) {
    rounds ??= await Packed.json("sample-data");
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
    const target = anchor ? Folds.find(anchor) : null;
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

  // All but the row tables, which take 60 of 80 pages: those are printed if the reader opened them.
  let folded = [];
  addEventListener("beforeprint", () => { folded = Folds.openAll((fold) => !fold.matches(".data")); });
  addEventListener("afterprint", () => { for (const fold of folded) fold.open = false; });

  // ---- search: an op leads to its page, or to its rows where it has none

  const ops = () => [...new Set(boxes.filter((box) => box.name === "op").map((box) => box.value))]
    .map((op) => ({ href: Folds.has(`op/${op}`) ? `#op/${op}` : `#runtime?op=${encodeURIComponent(op)}`, name: op, note: "" }));
  function go(href) { if (location.hash === href) follow(); else location.hash = href; }

  function enhance(part) { watchTables(part); watchFigures(part); }
  Folds.onBuilt((fold) => { enhance(fold); filterTables(); });
  root.classList.add("scripted");
  enhance(document);
  Search.start(themeButton, ops, go);
  follow();
  root.dataset.ready = "";
})();
