// Before the first paint, so that a chosen ground does not flash. Storage may be refused on file://.
(() => {
  try {
    const kept = localStorage.getItem("evidence-theme");
    if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  } catch { /* the system's setting stays */ }
})();
