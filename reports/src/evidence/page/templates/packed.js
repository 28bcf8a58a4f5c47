// Compressed text inside the page, gzip in base64: unpacked once, when it is first needed.
const Packed = (() => {
  const texts = new Map();
  async function unpack(id) {
    const characters = atob(document.getElementById(id).textContent), bytes = new Uint8Array(characters.length);
    for (let place = 0; place < bytes.length; place++) bytes[place] = characters.charCodeAt(place);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }
  function text(id) { if (!texts.has(id)) texts.set(id, unpack(id)); return texts.get(id); }
  return { text, json: async (id) => JSON.parse(await text(id)) };
})();
