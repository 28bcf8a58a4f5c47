// Every row has a link to itself, which shows under the pointer and on focus.
const Rows = (() => {
  function enhance(table) {
    for (const body of table.tBodies) {
      for (const row of body.rows) {
        if (!row.id || !row.cells.length || row.querySelector(":scope > * > .self")) continue;
        const link = Object.assign(document.createElement("a"), { className: "self", href: `#${encodeURIComponent(row.id)}` });
        link.setAttribute("aria-label", "Link to this row");
        row.cells[0].append(" ", link);
      }
    }
  }
  return { enhance };
})();
