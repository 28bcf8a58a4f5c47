// Every table as Markdown and as CSV: the rows that are shown, in their order, to the clipboard.
const Copy = (() => {
  const element = (tag, facts = {}, text = "") => { const made = Object.assign(document.createElement(tag), facts); if (text) made.textContent = text; return made; };

  // The text of a cell in one line; what stands below it follows behind a semicolon.
  function text(cell) {
    const parts = [""];
    for (const node of cell.childNodes) {
      if (node.nodeType === Node.ELEMENT_NODE && node.matches(".self, button.small")) continue;
      if (node.nodeType === Node.ELEMENT_NODE && node.matches(".sub")) parts.push(node.textContent);
      else parts[parts.length - 1] += node.textContent;
    }
    return parts.map((part) => part.replace(/\s+/g, " ").trim()).filter(Boolean).join("; ");
  }
  function rows(table) {
    const shown = (cells) => [...cells].filter((cell) => !cell.hidden);
    const heads = [...table.tHead.rows].map((row) => shown(row.cells));
    const body = [...table.tBodies].flatMap((part) => [...part.rows]).filter((row) => !row.hidden).map((row) => shown(row.cells));
    return { heads: heads[0] ?? [], lines: [...heads, ...body].map((cells) => cells.map(text)) };
  }
  function markdown(table) {
    const { heads, lines } = rows(table);
    const shown = lines.map((line) => `| ${[...line, ...Array(Math.max(0, heads.length - line.length)).fill("")].map((cell) => cell.replace(/[\\|]/g, "\\$&")).join(" | ")} |`);
    shown.splice(1, 0, `|${heads.map((head) => (head.classList.contains("n") ? "---:|" : "---|")).join("")}`);
    return `${shown.join("\n")}\n`;
  }
  const csv = (table) => rows(table).lines.map((line) => line.map((cell) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",")).join("\n") + "\n";
  const FORMS = { Markdown: markdown, CSV: csv };

  // Where the clipboard is refused, as it may be on file://, the text stands in a dialog, selected.
  let dialog = null;
  function show(content) {
    if (!dialog) {
      dialog = element("dialog", { className: "copy-text" });
      const area = element("textarea", { readOnly: true, rows: 14, spellcheck: false, wrap: "off" });
      area.setAttribute("aria-label", "The table as text");
      const close = element("button", { type: "button" }, "Close");
      close.addEventListener("click", () => dialog.close());
      dialog.append(element("p", {}, "The browser gives no access to the clipboard: copy the selected text with the keyboard."), area, close);
      document.body.append(dialog);
    }
    const area = dialog.querySelector("textarea");
    area.value = content;
    dialog.showModal();
    area.focus();
    area.select();
  }
  async function press(button) {
    const content = FORMS[button.value](button.closest(".tools").previousElementSibling.querySelector("table"));
    try { await navigator.clipboard.writeText(content); } catch { show(content); return; }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = button.value; }, 1500);
  }
  function enhance(table) {
    const home = table.closest(".scroll");
    if (!home || home.closest("dialog") || !table.tHead || home.nextElementSibling?.matches(".tools")) return;
    const tools = element("div", { className: "tools" });
    for (const form of Object.keys(FORMS)) {
      const button = element("button", { type: "button", className: "copy", value: form }, form);
      button.setAttribute("aria-label", `${form}: copy the table “${home.getAttribute("aria-label")}”`);
      tools.append(button);
    }
    home.after(tools);
  }
  document.addEventListener("click", (event) => { const button = event.target.closest?.("button.copy"); if (button) press(button); });
  return { enhance, markdown, csv };
})();
