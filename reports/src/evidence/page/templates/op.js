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

  async function show(name) {
    clear();
    root.dataset.op = name;
    home.hidden = false;
    let pages = null;
    try { pages = await Packed.json("op-pages"); } catch { /* said below */ }
    if (requested() !== name) return;
    const known = Boolean(pages && name in pages), article = place(known ? name : "");
    if (pages) article.innerHTML = pages[known ? name : ""];
    else article.innerHTML = '<p class="crumbs"><a class="back" href="#verdict">Back to the report</a></p><h1 tabindex="-1">Ops</h1><p>This browser cannot unpack the pages of the ops.</p>';
    if (pages && !known) article.querySelector("h1").after(Object.assign(document.createElement("p"), { className: "note", textContent: `This pack has no op “${name}”.` }));
    article.hidden = false;
    shown = article;
    for (const link of article.querySelectorAll("a.back")) link.setAttribute("href", left.hash || "#");
    const heading = article.querySelector("h1");
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
