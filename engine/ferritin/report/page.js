// Enlarges pictures: left and right change the slice, up and down the map at the same place.
const viewer = document.getElementById("viewer");
const tiles = [...document.querySelectorAll(".tile")];
let shown = null;

function show(tile) {
  shown = tile;
  const picture = tile.cloneNode(true);
  picture.addEventListener("click", () => viewer.close());
  const title = document.createElement("p");
  title.textContent = tile.dataset.title;
  const buttons = document.createElement("p");
  for (const [sign, name, act] of [
    ["‹", "slice before", () => move("map", -1)],
    ["›", "next slice", () => move("map", 1)],
    ["▲", "map above", () => move("slice", -1)],
    ["▼", "map below", () => move("slice", 1)],
    ["✕", "close", () => viewer.close()],
  ]) {
    const button = document.createElement("button");
    button.textContent = sign;
    button.ariaLabel = name;
    button.addEventListener("click", act);
    buttons.append(button);
  }
  viewer.replaceChildren(picture, title, buttons);
  if (!viewer.open) viewer.showModal();
}

// Along the tiles that share the map, or those that share the slice.
function move(kept, step) {
  const line = tiles.filter((t) => t.dataset[kept] === shown.dataset[kept]);
  show(line[(line.indexOf(shown) + step + line.length) % line.length]);
}

for (const tile of tiles) tile.addEventListener("click", () => show(tile));
viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
viewer.addEventListener("keydown", (event) => {
  const to = { ArrowRight: ["map", 1], ArrowLeft: ["map", -1], ArrowDown: ["slice", 1], ArrowUp: ["slice", -1] }[event.key];
  if (!to) return;
  event.preventDefault();
  move(...to);
});
document.getElementById("outlines")?.addEventListener("change", (event) => {
  document.body.classList.toggle("bare", !event.target.checked);
});
