// Tables are sorted by a click on a head: numbers by their value, texts as a reader counts, the third click restores.
const Sort = (() => {
  const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const next = { none: "ascending", ascending: "descending", descending: "none" };
  const original = new WeakMap();

  function key(row, column) {
    const cell = row.cells[column], value = cell?.dataset.value, text = cell?.textContent.trim() ?? "";
    return value === undefined ? { empty: text === "" || text === "–", text } : { value: Number(value) };
  }
  // Numbers before texts, and what is empty last, in both directions.
  function compare(first, second, sign) {
    if (!first.empty !== !second.empty) return first.empty ? 1 : -1;
    const numeric = first.value !== undefined;
    if (numeric !== (second.value !== undefined)) return numeric ? -1 : 1;
    return sign * (numeric ? first.value - second.value : order.compare(first.text, second.text));
  }
  function sort(table, column, direction) {
    for (const body of table.tBodies) {
      if (!original.has(body)) original.set(body, [...body.rows].filter((row) => !row.querySelector("th[scope=rowgroup]")));
      const rows = original.get(body).map((row) => ({ row, key: key(row, column) }));
      if (direction !== "none") rows.sort((first, second) => compare(first.key, second.key, direction === "ascending" ? 1 : -1));
      body.append(...rows.map(({ row }) => row));
    }
  }
  function press(button) {
    const head = button.closest("th"), table = head.closest("table");
    const direction = next[head.getAttribute("aria-sort") ?? "none"];
    for (const other of table.tHead.rows[0].cells) if (other.firstElementChild?.matches(".sort")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", direction);
    sort(table, head.cellIndex, direction);
  }
  function enhance(table) {
    if (!table.tHead || [...table.tBodies].every((body) => body.rows.length < 2)) return;
    for (const head of table.tHead.rows[0].cells) {
      if (head.firstElementChild?.matches(".sort")) continue;
      const button = Object.assign(document.createElement("button"), { type: "button", className: "sort" });
      button.append(...head.childNodes);
      if (!button.textContent.trim()) continue;
      head.append(button);
      head.setAttribute("aria-sort", "none");
    }
  }
  document.addEventListener("click", (event) => { const button = event.target.closest?.("button.sort"); if (button) press(button); });
  return { enhance };
})();
