// The page of an op in place of the report: `#op/rms_norm` shows an op, `#op` the index; Escape and links go back.
(() => {
  const root = document.documentElement, home = document.getElementById("op"), reportTitle = document.title;
  let left = { hash: "#verdict", y: 0, focus: null }, shown = null;

  // The op of the address: "" for the index, null for the report.
  function requested() {
    let anchor = location.hash.slice(1).split("?")[0];
    try { anchor = decodeURIComponent(anchor); } catch { /* as it stands */ }
    return anchor === "op" ? "" : anchor.startsWith("op/") ? anchor.slice(3) : null;
  }
  const place = (name) => document.getElementById(name ? `op/${name}` : "op-index");

  const element = (tag, facts = {}, text = "") => { const made = Object.assign(document.createElement(tag), facts); if (text) made.textContent = text; return made; };
  function crumbs(isIndex) {
    const line = element("p", { className: "crumbs" });
    line.append(element("a", { href: left.hash || "#" }, "Back to the report"));
    if (!isIndex) line.append(" · ", element("a", { href: "#op" }, "All ops"));
    return line;
  }
  function section(title, html) {
    const made = element("section");
    made.setAttribute("aria-label", title);
    made.innerHTML = html;
    made.prepend(element("h2", {}, title));
    return made;
  }
  async function show(name) {
    clear();
    root.dataset.op = name;
    home.hidden = false;
    let pages = null;
    try { pages = await Packed.json("op-pages"); } catch { /* said below */ }
    if (requested() !== name) return;
    const parts = pages && name ? pages.parts.filter((part) => name in part.of) : [];
    const isIndex = !parts.length, article = place(isIndex ? "" : name);
    const heading = element("h1", { tabIndex: -1 }, isIndex ? "Ops" : name);
    article.append(crumbs(isIndex), heading, ...parts.map((part) => section(part.title, part.of[name])));
    if (isIndex && name) article.append(element("p", { className: "note" }, `This pack has no op “${name}”.`));
    if (isIndex && pages) article.append(Object.assign(element("div"), { innerHTML: pages.index }));
    if (!pages) article.append(element("p", {}, "This browser cannot unpack the pages of the ops."));
    if (!isIndex) article.append(crumbs(isIndex));
    for (const table of article.querySelectorAll(".scroll > table")) { Sort.enhance(table); Copy.enhance(table); }
    article.hidden = false;
    shown = article;
    document.title = `${heading.textContent}: ${reportTitle}`;
    scrollTo(0, 0);
    heading.focus({ preventScroll: true });
  }
  function clear() {
    if (shown) { shown.replaceChildren(); shown.hidden = true; }
    shown = null;
  }
  function close() {
    clear();
    home.hidden = true;
    delete root.dataset.op;
    document.title = reportTitle;
    const { hash, y, focus } = left;
    // After the page has followed the address itself.
    if (location.hash === hash) setTimeout(() => { scrollTo(0, y); if (focus?.isConnected) focus.focus({ preventScroll: true }); });
  }
  addEventListener("hashchange", (event) => {
    const name = requested(), isOpen = "op" in root.dataset;
    if (name === null) { if (isOpen) close(); return; }
    if (!isOpen) left = { hash: new URL(event.oldURL).hash, y: scrollY, focus: document.activeElement };
    event.stopImmediatePropagation();
    show(name);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !("op" in root.dataset) || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]") || event.target.matches("input, textarea, select")) return;
    location.hash = left.hash || "#";
  });
  if (requested() !== null) show(requested());
})();
