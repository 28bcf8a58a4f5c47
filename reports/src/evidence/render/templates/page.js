// A link to a row inside a folded table opens the table; printing opens them all.
function unfold(element) {
  for (let node = element; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
}
function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) { unfold(target); target.scrollIntoView(); }
}
addEventListener("hashchange", follow);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
follow();
