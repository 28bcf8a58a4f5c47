// The figures of the page: Vega draws each specification with the rows that the filters leave.
const Figures = (() => {
  let data = null, byAnchor = null;
  const element = (tag, facts = {}, text = "") => { const made = Object.assign(document.createElement(tag), facts); if (text) made.textContent = text; return made; };

  // ---- rows: what a view shows under a filter

  function rowsOf(figure, view, filter) {
    return figure.rows
      .filter((row) => (row.view ?? view.key) === view.key && (!row.by || row.by[view.key]) && (row.needs ?? []).every(filter.chose) && filter.fits(row))
      .map((row) => (row.by ? { ...row, ...row.by[view.key] } : row));
  }
  function grouped(rows, key) {
    const groups = new Map();
    for (const row of rows) { const name = row[key] ?? ""; if (!groups.has(name)) groups.set(name, []); groups.get(name).push(row); }
    return groups;
  }
  // Every mark in words, for readers without pictures.
  function inWords(rows) {
    return [...grouped(rows.filter((row) => row.text !== undefined), "group")]
      .map(([name, marks]) => (name ? `${name}: ` : "") + marks.map((row) => `${row.label || row.route} ${row.text}`).join(", ")).join("; ");
  }
  function heightOf(spec, rows) {
    const lines = new Set(rows.map((row) => row.line)).size + new Set(rows.map((row) => row.group).filter(Boolean)).size;
    return (spec.height.step ? spec.height.step * lines : spec.height) + spec.padding.top + spec.padding.bottom;
  }

  // ---- the pointer: the lines of a mark beside it, as text and nothing else

  const tip = element("div", { className: "tip", hidden: true });
  tip.setAttribute("role", "tooltip");
  document.body.append(tip);
  function showTip(_, event, item, lines) {
    tip.hidden = !lines;
    if (!lines) return;
    (item?.mark && document.querySelector("dialog[open]") || document.body).append(tip);
    tip.textContent = lines;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${event.clientY + 14 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 14}px`;
  }

  // ---- drawing

  // Vega comes as compressed text, which the page's policy knows by its hash, and is made a script for the first figure.
  async function library() {
    const script = await Packed.text("vega");
    if (typeof vegaEmbed === "undefined") document.head.append(element("script", { textContent: script }));
  }
  async function plot(box, spec, rows) {
    await library();
    const width = box.clientWidth - spec.padding.left - spec.padding.right;
    const config = { ...data.config, font: getComputedStyle(document.body).fontFamily };
    // The policy allows no code from text: Vega's interpreter (`ast`) reads the expressions.
    const { view } = await vegaEmbed(box, { ...spec, width, datasets: { rows } }, { ast: true, renderer: "svg", actions: false, defaultStyle: false, config, tooltip: showTip, logLevel: 1 });
    return view;
  }

  class Figure {
    constructor(home, facts, filter, onRow) {
      Object.assign(this, { home, facts, filter, onRow, near: false, chosen: "", plots: [], turn: 0 });
      this.age();
      this.live = home.querySelector(".live");
      this.controls = home.querySelector(".controls");
    }
    age() { this.dirty = true; this.home.dataset.live = "old"; }
    draw() {
      if (!this.dirty) return;
      this.dirty = false;
      const views = this.facts.views.filter((view) => rowsOf(this.facts, view, this.filter).length);
      // A view that the reader chose stays when a filter empties it, and says so.
      const kept = this.facts.views.find((view) => view.key === this.wanted);
      if (kept && !views.includes(kept)) views.push(kept);
      this.chosen = kept?.key ?? (views.some((view) => view.key === this.chosen) ? this.chosen : views[0]?.key);
      this.choices(views);
      this.panels();
    }
    choices(views) {
      this.controls.replaceChildren();
      this.controls.hidden = views.length < 2;
      if (views.length < 2) return;
      const label = element("label", {}, `${this.facts.choice} `), select = element("select", { name: `${this.home.id}-view` });
      for (const [group, members] of grouped(views, "group")) {
        const home = group ? element("optgroup", { label: group }) : select;
        if (group) select.append(home);
        home.append(...members.map((view) => element("option", { value: view.key }, view.name)));
      }
      select.value = this.chosen;
      select.addEventListener("change", () => { this.chosen = this.wanted = select.value; this.panels(); });
      label.append(select);
      this.controls.append(label);
    }
    async panels() {
      const turn = ++this.turn;
      this.home.dataset.live = "old";
      for (const view of this.plots) view.finalize();
      this.plots = [];
      this.live.replaceChildren();
      this.live.hidden = false;
      this.home.classList.add("drawn");
      const view = this.facts.views.find((each) => each.key === this.chosen);
      const titles = view ? grouped(rowsOf(this.facts, view, this.filter), "panel") : new Map();
      if (!titles.size) {
        const of = view?.name && this.facts.views.length > 1 ? `“${view.name}”` : "this chart";
        const none = element("p", { className: "empty" }, `No row of ${of} fits the filter. `);
        none.append(element("button", { type: "button", className: "reset" }, "Reset the filter"));
        this.live.append(none);
        this.home.dataset.live = "drawn";
        return;
      }
      const spec = data.specs[view.spec];
      const boxes = [...titles].map(([title, rows]) => {
        const panel = element("div", { className: titles.size > 1 ? "panel" : "panel wide" }), box = element("div", { className: "plot" });
        box.setAttribute("role", "img");
        box.setAttribute("aria-label", `${[...new Set([this.facts.title, view.name, title])].join(", ")}. ${inWords(rows)}.`);
        box.style.minHeight = `${heightOf(spec, rows)}px`;
        panel.append(element("p", { className: "panel-title" }, title), box);
        return [panel, box, rows];
      });
      this.live.append(...boxes.map(([panel]) => panel));
      for (const [, box, rows] of boxes) {
        if (turn !== this.turn) return;
        const drawn = await plot(box, spec, rows);
        if (turn !== this.turn) { drawn.finalize(); return; }
        drawn.addEventListener("click", (_, item) => { if (item?.datum?.row) this.onRow(item.datum.row); });
        this.plots.push(drawn);
      }
      this.home.dataset.live = "drawn";
    }
  }

  // The rounds behind a row: one box a process.
  const rounds = (box, values, route) =>
    plot(box, data.rounds, values.flatMap((times, number) => times.map((us, place) => ({ process: `process ${number + 1}`, us, place, route }))));

  async function load() {
    data = await Packed.json("chart-data");
    byAnchor = new Map(Object.values(data.figures).flatMap((figure) => figure.rows.filter((row) => row.row).map((row) => [row.row, row])));
  }
  function within(part, filter, onRow) {
    return [...part.querySelectorAll("figure[data-chart]")].filter((home) => data.figures[home.dataset.chart])
      .map((home) => new Figure(home, data.figures[home.dataset.chart], filter, onRow));
  }
  return { load, within, rounds, library, modes: () => data.modes, rowOf: (anchor) => byAnchor.get(anchor) };
})();
