// data: words [[word, kind]], kinds, chance, tables [{name, places [N, 6], near, cosines [N, 4], size, same_kind, on_the_map, variance}].
const WIDTH = 470, HEIGHT = 400, MARGIN = 26, NONE = -1;
const state = { kind: NONE, axes: 0, word: NONE };
const SHAPES = [  // one for each kind, about a unit in radius
  "M1 0A1 1 0 1 1 -1 0A1 1 0 1 1 1 0Z", "M-.9 -.9H.9V.9H-.9Z", "M0 -1.15L1.1 .85H-1.1Z", "M0 1.15L1.1 -.85H-1.1Z", "M0 -1.25L1.25 0L0 1.25L-1.25 0Z",
  "M-.4 -1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4Z", "M-1.2 -.7L-.7 -1.2L0 -.5L.7 -1.2L1.2 -.7L.5 0L1.2 .7L.7 1.2L0 .5L-.7 1.2L-1.2 .7L-.5 0Z",
  "M0 -1.4L.4 -.45L1.35 -.45L.6 .15L.85 1.1L0 .55L-.85 1.1L-.6 .15L-1.35 -.45L-.4 -.45Z",
];
const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
const chinese = (word) => /[\u3400-\u9fff]/.test(word);

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  element.append(...children);
  return element;
}
const mark = (kind, hollow, at, radius) => svg("path", {
  d: SHAPES[kind], transform: `translate(${at}) scale(${radius})`, fill: hollow ? "#fff" : palette.heads[kind],
  stroke: palette.heads[kind], "stroke-width": 1.6 / radius,
});

// One scale for both axes and all tables: distances can be compared.
const reach = () => 1.06 * Math.max(...data.tables.flatMap(({ places }) => places.flatMap((row) =>
  [Math.abs(row[2 * state.axes]) * HEIGHT / WIDTH, Math.abs(row[2 * state.axes + 1])])));
const place = (table, i) => {
  const scale = (HEIGHT / 2 - MARGIN) / reach();
  return [WIDTH / 2 + scale * table.places[i][2 * state.axes], HEIGHT / 2 - scale * table.places[i][2 * state.axes + 1]];
};

// Labels where there is room: to the right of a point, else left, above or below; a word without room has none.
function labels(spots, taken) {
  const made = [];
  for (const [i, [x, y]] of spots) {
    const word = data.words[i][0], wide = measure(word, "11px sans-serif") + 2;
    const free = [[x + 7, y + 4], [x - 7 - wide, y + 4], [x - wide / 2, y - 8], [x - wide / 2, y + 17]].find(([left, base]) =>
      left > 2 && left + wide < WIDTH - 2 && base > 11 && base < HEIGHT - 14
      && taken.every(([l, t, r, b]) => left > r || left + wide < l || base - 10 > b || base + 2 < t));
    if (!free) continue;
    taken.push([free[0], free[1] - 10, free[0] + wide, free[1] + 2]);
    made.push(svg("text", { x: free[0], y: free[1], class: i === state.word ? "word" : "" }, word));
  }
  return made;
}

function panel(table) {
  const made = { table, picture: svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: 0 }) };
  made.element = make("section", { class: "panel" }, make("h3", {}, table.name), made.picture);
  const point = (event) => {
    const box = made.picture.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * WIDTH, y = (event.clientY - box.top) / box.height * HEIGHT;
    let best = NONE, closest = 16;
    data.words.forEach(([, kind], i) => {
      if (state.kind !== NONE && kind !== state.kind) return;
      const [a, b] = place(table, i), distance = Math.hypot(a - x, b - y);
      if (distance < closest) { best = i; closest = distance; }
    });
    if (best !== NONE && best !== state.word) choose(best);
  };
  made.picture.addEventListener("pointermove", point);
  made.picture.addEventListener("pointerdown", point);
  made.picture.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const shown = data.words.map((_, i) => i).filter((i) => state.kind === NONE || data.words[i][1] === state.kind);
    const next = shown.indexOf(state.word) + by;
    choose(shown[(next + shown.length) % shown.length]);
  });
  return made;
}

function draw({ table, picture }) {
  const spots = data.words.map((_, i) => [i, place(table, i)]), parts = [], scale = (HEIGHT / 2 - MARGIN) / reach();
  const step = reach() > 0.6 ? 0.4 : reach() > 0.3 ? 0.2 : 0.1;
  parts.push(svg("path", { class: "axis", d: `M0 ${HEIGHT / 2}H${WIDTH}M${WIDTH / 2} 0V${HEIGHT}` }));
  for (const value of [-2, -1, 1, 2].map((k) => k * step)) {
    const x = WIDTH / 2 + scale * value, y = HEIGHT / 2 - scale * value;
    if (x > 20 && x < WIDTH - 30) parts.push(svg("text", { class: "tick", x: x - 10, y: HEIGHT - 4 }, show(value, 1)));
    if (y > 20 && y < HEIGHT - 20) parts.push(svg("text", { class: "tick", x: 3, y: y + 3 }, show(value, 1)));
  }
  const near = state.word === NONE ? [] : table.near[state.word].slice(0, 3);
  const lit = ([, kind], i) => (state.kind === NONE || kind === state.kind) && (state.word === NONE || i === state.word || near.includes(i));
  const order = data.words.map((_, i) => i).sort((a, b) => lit(data.words[a], a) - lit(data.words[b], b));
  if (state.word !== NONE) for (const i of near) {
    const [[x1, y1], [x2, y2]] = [spots[state.word][1], spots[i][1]];
    parts.push(svg("path", { class: "link", d: `M${x1} ${y1}L${x2} ${y2}` }));
  }
  const bright = (i) => i === state.word || near.includes(i) || (state.word === NONE && lit(data.words[i], i))
    || (state.kind !== NONE && data.words[i][1] === state.kind);
  for (const i of order) {
    const shape = mark(data.words[i][1], chinese(data.words[i][0]), spots[i][1], i === state.word ? 6 : 4);
    if (!bright(i)) shape.setAttribute("class", "faint");
    parts.push(shape);
  }
  const named = [state.word, ...near, ...order.filter((i) => bright(i) && i !== state.word && !near.includes(i))].filter((i) => i !== NONE);
  const taken = named.map((i) => spots[i][1]).map(([x, y]) => [x - 4, y - 4, x + 4, y + 4]);
  parts.push(...labels(named.map((i) => spots[i]), taken));
  picture.replaceChildren(...parts);
  const [a, b] = [2 * state.axes, 2 * state.axes + 1];
  picture.setAttribute("aria-label", `${table.name}: axes ${a + 1} and ${b + 1} of the rows; arrow keys go from word to word`);
}

function describe(table) {
  const near = table.near[state.word].map((i, k) =>
    `${data.words[i][0]} ${show(table.cosines[state.word][k], 2)}${data.words[i][1] === data.words[state.word][1] ? " ✓" : ` (${data.kinds[data.words[i][1]]})`}`);
  return make("p", {}, `${table.name}: nearest are ${near.join(", ")}`);
}

const panels = data.tables.map(panel), said = make("div", { class: "said", "aria-live": "polite" });
const table = make("table");
const kinds = choices("show", ["all", ...data.kinds], (i) => { state.kind = i - 1; state.word = NONE; update(); });
[...kinds.querySelectorAll("button")].slice(1).forEach((button, i) =>
  button.prepend(svg("svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" }, mark(i, false, [0, 0], 4.5))));
const axes = choices("axes", ["1 and 2", "3 and 4", "5 and 6"], (i) => { state.axes = i; update(); });
const choose = (word) => { state.word = word; update(); };

function update() {
  kinds.press(state.kind + 1); axes.press(state.axes);
  panels.forEach(draw);
  const [a, b] = [2 * state.axes, 2 * state.axes + 1];
  const row = (label, value) => make("tr", {}, make("th", { scope: "row" }, label), ...data.tables.map((t) => make("td", {}, value(t))));
  table.replaceChildren(
    make("tr", {}, make("th", { scope: "col" }, ""), ...data.tables.map((t) => make("th", { scope: "col" }, t.name))),
    row(`nearest word is of the same kind, by all ${data.tables[0].size} numbers (by chance ${percent(data.chance)})`, (t) => percent(t.same_kind)),
    row(`the same by distance on this map`, (t) => percent(t.on_the_map[state.axes])),
    row(`variance that axes ${a + 1} and ${b + 1} hold`, (t) => percent(t.variance[a] + t.variance[b], 1)),
  );
  if (state.word === NONE) { said.innerHTML = START; return; }
  const [word, kind] = data.words[state.word];
  said.replaceChildren(make("p", {}, make("b", {}, `${word} (${data.kinds[kind]})`)), ...data.tables.map(describe));
}
const START = "<p><b>Point at a word in either picture</b>, or press <kbd>←</kbd> <kbd>→</kbd> there. Lines lead to its three nearest words by the cosine of whole rows, and ✓ marks those of its kind. Words without room show their label then.</p>";
const legend = make("p", { class: "hint" }, "Filled: English. Hollow: Chinese. Both pictures have one scale, but axes of their own.");
view.append(make("div", { class: "bar" }, kinds), make("div", { class: "bar" }, axes),
  make("div", { class: "panels" }, ...panels.map((p) => p.element)), legend, said, table);
update();
