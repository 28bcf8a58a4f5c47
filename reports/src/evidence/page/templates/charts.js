// The interactive charts. Every word and figure comes from the pack's data, ready to print; here they are only placed.
const Charts = (() => {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  const CONFIG = { displayModeBar: false, scrollZoom: false, doubleClick: false, showTips: false };
  const PATTERNS = ["", "/", ".", "\\", "x", "-", "|", "+"];
  const FALLBACK = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#999933", "#8c8c3f"];
  const BUCKETS = { kernel: "#0072b2", binding: "#e69f00", build: "#009e73", glue: "#cc79a7", shared: "#9aa3ad" };
  const LINE = 17;

  // Plotly reads a few HTML tags in its texts; what a pack says is text and nothing else.
  const safe = (words) => String(words).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const tipText = (lines) => lines.map(safe).join("<br>");

  function ink() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    const dark = read("--is-dark") === "1";
    return { text: read("--text"), muted: read("--muted"), grid: read("--grid"), panel: read("--panel"),
      ground: read("--ground"), band: read("--band"), routes: dark ? data.colours.dark : data.colours.light, dark };
  }
  // Black or white, whichever stands out more (relative luminance, WCAG 2).
  function readable(colour) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
  }
  const colourOf = (route, pen) => pen.routes[route] || data.colours.unknown;
  const symbolOf = (route) => data.symbols[route] || "x";

  function base(pen, extra) {
    return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, dragmode: false,
      hovermode: "closest", font: { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: pen.text },
      hoverlabel: { bgcolor: pen.ground, bordercolor: pen.muted, font: { color: pen.text, size: 12 }, align: "left" },
      ...extra };
  }

  function logAxis(values, ticks, width, pen, apart = 46) {
    let low = Math.log10(Math.min(...values)), high = Math.log10(Math.max(...values));
    const room = Math.max(0.08, 0.06 * (high - low));
    if (high - low < 0.2) { const middle = (low + high) / 2; low = middle - 0.1; high = middle + 0.1; }
    const range = [low - room, high + room];
    const within = ticks.filter(([at]) => Math.log10(at) >= range[0] && Math.log10(at) <= range[1]);
    const pixel = (at) => (Math.log10(at) - range[0]) / (range[1] - range[0]) * width;
    const first = (at) => Math.round(at / 10 ** Math.floor(Math.log10(at) + 1e-9));
    const some = [];
    for (const step of [1, 5, 2]) {
      for (const tick of within) if (first(tick[0]) === step && some.every(([at]) => Math.abs(pixel(at) - pixel(tick[0])) >= apart)) some.push(tick);
    }
    return { type: "log", range, tickvals: some.map(([at]) => at), ticktext: some.map(([, words]) => safe(words)), tickangle: 0,
      fixedrange: true, gridcolor: pen.grid, zeroline: false, tickfont: { color: pen.muted }, linecolor: pen.muted };
  }

  // One line a mark: its name on the left, the mark with its interval, the figure on the right.
  function rowPlot(box, groups, options) {
    const pen = ink(), width = box.clientWidth, narrow = width < 420;
    const left = narrow ? 92 : 108, right = narrow ? 74 : 84;
    const ticks = [], words = [], notes = [], byRoute = new Map(), band = { x: [], y: [] }, values = [];
    let y = 0;
    for (const group of groups) {
      if (group.title) {
        notes.push({ xref: "paper", x: 0, xshift: -left + 2, xanchor: "left", y, text: `<b>${safe(group.title)}</b>`,
          showarrow: false, font: { color: pen.text, size: 11.5 } });
        y += 1;
      }
      for (const mark of group.marks) {
        ticks.push([y, safe(mark.route)]);
        const value = mark.value;
        if (value && value[1] > 0) {
          const [mid, low, high, , decided, half] = value;
          if (!byRoute.has(mark.route)) byRoute.set(mark.route, []);
          byRoute.get(mark.route).push({ y, mark, mid, low, high, decided });
          values.push(mid, low, high);
          words.push([y, safe(mark.words) + (mark.noisy ? " ~" : "")]);
          if (half && options.one) {
            band.x.push(1 / half, half, half, 1 / half, 1 / half, null);
            band.y.push(y - 0.5, y - 0.5, y + 0.5, y + 0.5, y - 0.5, null);
          }
        } else {
          notes.push({ xref: "paper", x: 0.01, xanchor: "left", y, text: `<i>${safe(mark.words)}</i>`, showarrow: false,
            font: { color: pen.muted, size: 11 } });
        }
        y += 1;
      }
    }
    if (options.one) values.push(1);
    const plotWidth = width - left - right;
    const axis = options.linear
      ? { range: [0, 1.03], tickvals: data.ticks.share.map(([at]) => at), ticktext: data.ticks.share.map(([, text]) => text),
        fixedrange: true, gridcolor: pen.grid, zeroline: false, tickfont: { color: pen.muted } }
      : logAxis(values.length ? values : [1, 10], data.ticks[options.ticks], plotWidth, pen);
    const traces = [{ x: [null], y: [null], yaxis: "y2", type: "scatter", hoverinfo: "skip" }];
    if (band.x.length) {
      traces.push({ ...band, type: "scatter", mode: "lines", fill: "toself", fillcolor: pen.band, line: { width: 0 },
        hoverinfo: "skip" });
    }
    for (const [route, marks] of byRoute) {
      const colour = colourOf(route, pen), symbol = symbolOf(route);
      for (const noisy of [false, true]) {
        const some = marks.filter((one) => one.mark.noisy === noisy);
        if (!some.length) continue;
        traces.push({ type: "scatter", mode: "markers", x: some.map((one) => one.mid), y: some.map((one) => one.y),
          customdata: some.map((one) => one.mark.row), hovertext: some.map((one) => tipText(one.mark.tip)),
          hoverinfo: "text", opacity: noisy ? 0.5 : 1,
          error_x: { type: "data", symmetric: false, array: some.map((one) => one.high - one.mid),
            arrayminus: some.map((one) => one.mid - one.low), color: colour, thickness: 2.2, width: 0 },
          marker: { color: colour, size: 8.5, symbol: some.map((one) => symbol + (one.decided ? "" : "-open")),
            line: { width: 1.6, color: colour } } });
      }
    }
    const shapes = options.one
      ? [{ type: "line", x0: 1, x1: 1, yref: "paper", y0: 0, y1: 1, line: { color: pen.text, width: 1 }, layer: "below" }] : [];
    if (options.one) {
      notes.push({ xref: "x", x: axis.type === "log" ? 0 : 1, yref: "paper", y: 1, yanchor: "bottom", showarrow: false,
        text: safe(options.one), font: { color: pen.muted, size: 11 } });
    }
    const side = (spots) => ({ range: [y - 0.5, -0.6], tickvals: spots.map(([at]) => at), ticktext: spots.map(([, text]) => text),
      fixedrange: true, showgrid: false, zeroline: false, ticks: "", tickfont: { color: pen.text }, automargin: false });
    const layout = base(pen, { height: y * LINE + 62, margin: { l: left, r: right, t: options.one ? 18 : 6, b: 44 },
      xaxis: { ...axis, title: { text: safe(options.axis), font: { color: pen.muted, size: 11.5 }, standoff: 6 } },
      yaxis: side(ticks), yaxis2: { ...side(words), overlaying: "y", side: "right" }, shapes, annotations: notes });
    return show(box, traces, layout);
  }

  // Stacked bars: one bar a route, one colour and pattern a part, the whole on the right.
  function stackPlot(box, bars, options) {
    const pen = ink(), width = box.clientWidth, narrow = width < 420;
    const names = [...new Set(bars.flatMap((bar) => bar.parts.filter((part) => part.value > 0).map((part) => part.name)))];
    const routes = bars.map((bar) => bar.route);
    const spots = bars.map((_, place) => place);
    const traces = names.map((name, place) => {
      const parts = bars.map((bar) => bar.parts.find((part) => part.name === name));
      const colour = options.colours[name] || FALLBACK[place % FALLBACK.length];
      return { type: "bar", orientation: "h", name: safe(name), y: spots, x: parts.map((part) => (part ? part.value : 0)),
        text: parts.map((part) => (part && part.value > 0 ? safe(part.words) : "")), textposition: "inside",
        insidetextanchor: "middle", textangle: 0, insidetextfont: { color: readable(colour), size: 10.5 }, constraintext: "none",
        hoverinfo: "text", hovertext: parts.map((part, at) => (part ? tipText([routes[at], `${name}: ${part.words}`]) : "")),
        marker: { color: colour, line: { width: 0.6, color: pen.ground },
          pattern: { shape: PATTERNS[place % PATTERNS.length], size: 5, solidity: 0.18, fgcolor: "rgba(0,0,0,.45)", fillmode: "overlay" } } };
    });
    const whole = Math.max(...bars.map((bar) => Math.max(bar.whole, bar.parts.reduce((sum, part) => sum + part.value, 0))));
    const left = narrow ? 92 : 108, right = narrow ? 78 : 92;
    const fits = width - left - right;
    // A word stands in its bar only where there is room for it; all words are in the hover text and the table.
    for (const trace of traces) trace.text = trace.text.map((text, at) => (trace.x[at] / whole * fits > text.length * 6.4 ? text : ""));
    const shapes = options.line ? bars.map((bar, at) => ({ type: "line", x0: bar.whole, x1: bar.whole, y0: at - 0.45, y1: at + 0.45,
      line: { color: pen.text, width: 1.6 } })) : [];
    const layout = base(pen, { barmode: "stack", bargap: 0.3, height: bars.length * 27 + 52,
      margin: { l: left, r: right, t: 6, b: 46 },
      xaxis: { range: [0, whole * 1.03], fixedrange: true, gridcolor: pen.grid, zeroline: false, tickfont: { color: pen.muted }, nticks: 6,
        title: { text: safe(options.axis), font: { color: pen.muted, size: 11.5 }, standoff: 4 } },
      yaxis: { tickvals: spots, ticktext: routes.map(safe), range: [bars.length - 0.5, -0.5], fixedrange: true, showgrid: false, tickfont: { color: pen.text } },
      annotations: bars.map((bar, at) => ({ xref: "paper", x: 1, xanchor: "left", xshift: 5, y: at, text: `<b>${safe(bar.words)}</b>`, showarrow: false, font: { size: 11 } })),
      shapes });
    const drawn = show(box, traces, layout);
    box.after(legend(names, bars, options.colours));
    return drawn;
  }

  // Beside the bars in words: the parts in the order of the bars, with their figures.
  function legend(names, bars, colours) {
    const list = document.createElement("ul");
    list.className = "legend-list";
    names.forEach((name, place) => {
      const line = document.createElement("li"), swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = colours[name] || FALLBACK[place % FALLBACK.length];
      const values = bars.map((bar) => [bar.route, bar.parts.find((part) => part.name === name)]).filter(([, part]) => part && part.value > 0)
        .map(([route, part]) => (bars.length > 1 ? `${route} ${part.words}` : part.words)).join(", ");
      line.append(swatch, `${name}: `, Object.assign(document.createElement("span"), { className: "note", textContent: values }));
      list.append(line);
    });
    return list;
  }

  function linePlot(box, lines) {
    const pen = ink(), width = box.clientWidth, narrow = width < 560;
    const traces = lines.map((line) => ({ type: "scatter", mode: "lines+markers", name: safe(line.route), x: line.x, y: line.y,
      hovertext: line.tips.map(safe), hoverinfo: "text", line: { color: colourOf(line.route, pen), width: 2 },
      marker: { symbol: symbolOf(line.route), size: 8, color: colourOf(line.route, pen) } }));
    const right = narrow ? 14 : 130, left = 62, below = narrow ? 110 : 46;
    const layout = base(pen, { height: narrow ? 400 : 380, margin: { l: left, r: right, t: 8, b: below }, showlegend: true,
      legend: narrow ? { orientation: "h", y: -0.22, x: 0, font: { size: 11, color: pen.text }, itemclick: false, itemdoubleclick: false }
        : { x: 1.02, y: 1, font: { size: 11.5, color: pen.text }, itemclick: false, itemdoubleclick: false },
      xaxis: { ...logAxis(lines.flatMap((line) => line.x), data.ticks.elements, width - left - right, pen),
        title: { text: "elements", font: { color: pen.muted, size: 11.5 }, standoff: 6 } },
      yaxis: { ...logAxis(lines.flatMap((line) => line.y), data.ticks.us, 320, pen, 24), title: { text: "" } } });
    return show(box, traces, layout);
  }

  function boxPlot(box, rounds, title, route) {
    const pen = ink(), colour = colourOf(route, pen);
    const traces = rounds.map((values, place) => ({ type: "box", name: `process ${place + 1}`, y: values, boxpoints: "all", jitter: 0.6,
      pointpos: 0, fillcolor: "rgba(0,0,0,0)", line: { color: pen.muted, width: 1.2 }, hoverinfo: "y",
      marker: { color: colour, size: 4.5, opacity: 0.65, symbol: symbolOf(route) } }));
    const layout = base(pen, { height: 300, margin: { l: 62, r: 10, t: 8, b: 34 },
      xaxis: { fixedrange: true, tickfont: { color: pen.text } },
      yaxis: { fixedrange: true, gridcolor: pen.grid, zeroline: false, tickfont: { color: pen.muted }, ticksuffix: " µs", hoverformat: ".4~g", tickformat: "~g" } });
    return show(box, traces, layout, title);
  }

  function show(box, traces, layout) {
    layout.width = box.clientWidth;
    return Plotly.react(box, traces, layout, CONFIG);
  }

  // ---- figures: what each shows under the filter; `note` says in words which part of the pack that is

  const MEASURES = {
    eager: ["speed relative to eager", "speed relative to eager, right is faster", "ratio", "eager"],
    cpp: ["speed relative to cpp", "speed relative to cpp, right is faster", "ratio", "cpp"],
    us: ["time", "time, left is faster", "us", ""],
    share: ["share of the roofline", "share of the roofline, right is better", "share", ""],
  };
  const MODES = { call: "as called", kernel: "kernel alone" };
  const DEFAULT_DTYPE = "float32";
  const uniq = (values) => [...new Set(values)];

  function runtimePanels(filter, measure) {
    const rows = data.runtime.filter((row) => filter.fits(row));
    const panels = [];
    for (const op of uniq(rows.map((row) => row.op))) {
      for (const device of uniq(rows.filter((row) => row.op === op).map((row) => row.device))) {
        let some = rows.filter((row) => row.op === op && row.device === device);
        const dtypes = uniq(some.map((row) => row.dtype));
        const modes = uniq(some.map((row) => row.mode));
        // Without a choice: one dtype and the call as a user makes it; the title says so.
        const dtype = dtypes.includes(DEFAULT_DTYPE) ? DEFAULT_DTYPE : dtypes[0];
        if (!filter.chose("dtype")) some = some.filter((row) => row.dtype === dtype);
        if (!filter.chose("mode")) some = some.filter((row) => row.mode === (modes.includes("call") ? "call" : modes[0]));
        some = some.filter((row) => row.route !== measure && (row.show[measure] || row.status));
        const shownDtypes = uniq(some.map((row) => row.dtype)), shownModes = uniq(some.map((row) => row.mode));
        const groups = uniq(some.map((row) => row.case)).map((key) => {
          const marks = some.filter((row) => row.case === key);
          const words = [marks[0].title];
          if (shownDtypes.length > 1) words.push(marks[0].dtype);
          if (shownModes.length > 1) words.push(MODES[marks[0].mode]);
          return { title: words.join(", "), marks: marks.map((row) => ({ route: row.route, value: row.show[measure],
            words: row.show[measure] ? row.show[measure][3] : row.status, tip: row.tip, noisy: row.noisy, row: row.id })) };
        });
        const where = [op, ...shownDtypes, ...shownModes.map((mode) => MODES[mode])];
        if (device !== "cpu") where.push(device);
        if (groups.length) panels.push({ title: where.join(", "), groups });
      }
    }
    return panels;
  }

  const say = (groups) => groups.map((group) => `${group.title}: ` + group.marks.map((mark) => `${mark.route} ${mark.words}`).join(", ")).join("; ");
  const sayBars = (bars) => bars.map((bar) => `${bar.route} ${bar.words}: ` + bar.parts.map((part) => `${part.name} ${part.words}`).join(", ")).join("; ");

  const FIGURES = {
    runtime: {
      controls: () => {
        const has = (key) => data.runtime.some((row) => row.show[key]);
        return [{ key: "measure", label: "Show", options: Object.keys(MEASURES).filter(has).map((key) => [key, MEASURES[key][0]]) }];
      },
      panels: (filter, chosen) => {
        const [name, axis, ticks, one] = MEASURES[chosen.measure] || MEASURES.eager;
        return runtimePanels(filter, chosen.measure).map((panel) => ({ title: panel.title, said: `${name} of ${panel.title}. ${say(panel.groups)}`,
          draw: (box) => rowPlot(box, panel.groups, { axis, ticks, one, linear: ticks === "share" }) }));
      },
    },
    dispatch: {
      controls: () => [{ key: "view", label: "Show", options: data.dispatch.map((view, place) => [String(place), view.name]) }],
      panels: (filter, chosen) => {
        const view = data.dispatch[Number(chosen.view)];
        const groups = view.groups.map((group) => ({ title: group.title, marks: group.marks.filter((mark) => filter.fits(mark)) }))
          .filter((group) => group.marks.length);
        if (!groups.length) return [];
        return [{ title: view.name, said: `${view.name}. ${say(groups)}`,
          draw: (box) => rowPlot(box, groups, { axis: "time of one call, left is cheaper", ticks: "us" }) }];
      },
    },
    ladder: {
      controls: (filter) => {
        const some = data.ladder.map((view, place) => [String(place), view.name, view.group, view]).filter(([, , , view]) => filter.fits({ op: view.op }));
        return [{ key: "view", label: "Op", options: some.map(([value, name, group]) => [value, name, group]) }];
      },
      panels: (filter, chosen) => {
        const view = data.ladder[Number(chosen.view)];
        if (!view || !filter.fits({ op: view.op })) return [];
        const lines = view.lines.filter((line) => filter.fits({ route: line.route }));
        if (!lines.length) return [];
        const title = `Time of ${view.name} against size, as called`;
        return [{ title, said: `${title}: ` + lines.map((line) => `${line.route} ${line.words}`).join("; "), draw: (box) => linePlot(box, lines), wide: true }];
      },
    },
    waterfall: {
      panels: (filter) => data.waterfall.map((view) => ({ ...view, bars: view.bars.filter((bar) => filter.fits({ route: bar.route })) }))
        .filter((view) => view.bars.length).map((view) => ({ title: view.title, said: `${view.title}. ${sayBars(view.bars)}`,
          draw: (box) => stackPlot(box, view.bars, { axis: "µs", colours: data.parts, line: true }) })),
    },
    build: {
      panels: () => (data.build.length ? [{ title: "Build stages", said: `Time of build stages. ${say(data.build)}`, wide: true,
        draw: (box) => rowPlot(box, data.build, { axis: "time, left is quicker", ticks: "s" }) }] : []),
    },
    code: {
      controls: () => [{ key: "view", label: "Show", options: data.code.map((view, place) => [String(place), view.name]) }],
      panels: (filter, chosen) => {
        const view = data.code[Number(chosen.view)];
        return view ? [{ title: view.name, said: `Tokens, ${view.name}. ${sayBars(view.bars)}`, wide: true,
          draw: (box) => stackPlot(box, view.bars, { axis: "tokens", colours: BUCKETS }) }] : [];
      },
    },
    footprint: {
      panels: () => {
        // A package keeps its colour in both panels.
        const names = uniq(data.footprint.flatMap((view) => view.bars.flatMap((bar) => bar.parts.map((part) => part.name))));
        const colours = Object.fromEntries(names.map((name, place) => [name, FALLBACK[place % FALLBACK.length]]));
        return data.footprint.map((view) => ({ title: view.title, said: `${view.title}, bytes installed. ${sayBars(view.bars)}`, wide: true,
          draw: (box) => stackPlot(box, view.bars, { axis: "MB", colours }) }));
      },
    },
  };

  return { FIGURES, boxPlot, has: (name) => name === "runtime" ? data.runtime.length : (data[name] || []).length, rowOf: (id) => data.runtime.find((row) => row.id === id) };
})();
