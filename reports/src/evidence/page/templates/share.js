// “Copy summary”: to the clipboard, or, where the browser refuses, as selected text in the page.
(() => {
  const text = document.getElementById("summary-text"), form = document.getElementById("text-form");
  const status = document.getElementById("copied");
  document.getElementById("copy-summary").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.value);
      status.textContent = "Copied.";
    } catch {
      form.hidden = false;
      text.focus();
      text.select();
      status.textContent = "";
    }
  });
})();
