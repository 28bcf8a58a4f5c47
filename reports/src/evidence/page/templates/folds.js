// Folds whose content is compressed: it is built when a fold is opened, or when a link leads into it.
const Folds = (() => {
  const listeners = [];
  let bodies = [];

  const home = (number) => document.querySelector(`[data-fold="${number}"]`);
  const built = (number) => home(number)?.querySelector(":scope > .packed") === null;
  const escaped = (value) => value.replace(/[&<>"']/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;" })[sign]);

  // Builds the fold whose content has this attribute, after those around it.
  function buildAround(attribute) {
    const number = bodies.findIndex((body, index) => body.includes(` ${attribute}`) && !built(index));
    if (number < 0) return;
    if (!home(number)) buildAround(`data-fold="${number}"`);
    build(home(number));
  }

  function build(fold) {
    const place = fold?.querySelector(":scope > .packed");
    if (!place) return;
    const content = document.createElement("template");
    content.innerHTML = bodies[fold.dataset.fold];
    place.replaceWith(content.content);
    for (const listener of listeners) listener(fold);
  }
  // The element of this id, built where its fold was not.
  function find(id) {
    if (!document.getElementById(id)) buildAround(`id="${escaped(id)}"`);
    return document.getElementById(id);
  }
  const has = (id) => Boolean(document.getElementById(id)) || bodies.some((body) => body.includes(` id="${escaped(id)}"`));
  // All of them, those inside others too; `fits` leaves some closed.
  function openAll(fits = () => true) {
    const opened = [];
    for (let closed; (closed = [...document.querySelectorAll("details:not([open])")].filter(fits)).length; opened.push(...closed)) {
      for (const fold of closed) { build(fold); fold.open = true; }
    }
    return opened;
  }
  async function load() {
    bodies = await Packed.json("folds");
    // `toggle` does not rise, but it can be caught on its way down.
    document.addEventListener("toggle", (event) => { if (event.target.open) build(event.target); }, true);
  }
  // The content of folds that were not built, with their element where that is in the page.
  const unbuilt = () => bodies.map((body, number) => ({ body, number, fold: home(number) })).filter(({ number }) => !built(number));
  return { load, find, has, openAll, unbuilt, onBuilt: (listener) => listeners.push(listener) };
})();
