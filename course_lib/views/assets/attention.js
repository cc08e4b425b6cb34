// data: kinds [{name, rows, cols, writes, layers: [layer][head][query][key]}], start, gold [[query, key]], remember.
const FONT = "13px system-ui, sans-serif", TURN = 50 * Math.PI / 180;
const state = { ...data.start, pinned: null, row: 0, col: 0 };
const kept = remembered(data.remember);
if (data.kinds[kept.kind]?.layers[kept.layer]?.[kept.head]) Object.assign(state, kept);

const kind = () => data.kinds[state.kind];
const weights = (place = state) => kind().layers[place.layer][place.head];
const isGold = (row, col) => kind().id === "cross" && data.gold.some(([r, c]) => r === row && c === col);
const short = (token) => token.length > 14 ? token.slice(0, 13) + "…" : token;
const headColor = (head) => palette.heads[head % palette.heads.length];
const strongest = (row) => row.indexOf(Math.max(...row));

// ---- the page ----------------------------------------------------------------------------------------------------
const kindChoice = choices("attention", data.kinds.map((k) => k.name), (i) => set({ kind: i }));
let layerChoice = make("span");
const legend = make("span", { class: "legend" }, "weight 0 ", make("i"), " 1");
legend.querySelector("i").style.background = gradient(palette.sequential);
const heads = make("div", { class: "heads", role: "group", "aria-label": "heads" });
const maps = make("div", { class: "maps" });
const reading = make("p", { class: "reading", "aria-live": "polite" });
const strips = make("div", { class: "strip" });
const hint = make("p", { class: "hint" });
hint.innerHTML = "Point at a cell, or click the map and use <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd> · " +
  "<kbd>Home</kbd> strongest key of the row · <kbd>H</kbd> next head · <kbd>L</kbd> next layer · <kbd>P</kbd> pin this head to compare. " +
  "Every row sums to 1." + (data.gold.length ? " Green frames: the known alignment." : "");
const bar = make("div", { class: "bar" }, kindChoice, layerChoice, legend);
const body = make("div", { class: "body" }, maps, make("div", { class: "side" }, reading, strips, hint));
view.append(bar, heads, body);

// ---- drawing -----------------------------------------------------------------------------------------------------
function paint(canvas, w, wide, high, detailed) {
  const context = sharpContext(canvas, w[0].length * wide, w.length * high);
  context.textAlign = "center"; context.textBaseline = "middle";
  context.font = "12px system-ui, sans-serif";
  w.forEach((line, i) => line.forEach((x, j) => {
    const { css, ink } = colorAt(palette.sequential, x);
    context.fillStyle = css;
    context.fillRect(j * wide, i * high, wide, high);
    if (detailed && wide >= 32) {
      context.fillStyle = ink;
      context.fillText(x.toFixed(2), (j + 0.5) * wide, (i + 0.5) * high);
    }
  }));
  if (!detailed) return;
  context.strokeStyle = "rgb(31 35 40 / .1)";
  context.beginPath();
  for (let i = 1; i < w.length; i++) { context.moveTo(0, i * high); context.lineTo(w[0].length * wide, i * high); }
  for (let j = 1; j < w[0].length; j++) { context.moveTo(j * wide, 0); context.lineTo(j * wide, w.length * high); }
  context.stroke();
  context.strokeStyle = "#1a7f37"; context.lineWidth = 2.5;
  w.forEach((line, i) => line.forEach((_, j) => {
    if (isGold(i, j)) context.strokeRect(j * wide + 2, i * high + 2, wide - 4, high - 4);
  }));
}

// A large map with its labels; returns what a change of the current cell has to touch.
function drawMap(place, room, brief) {
  const { rows, cols } = kind(), w = weights(place);
  const widest = (tokens) => Math.max(...tokens.map((t) => measure(short(t), `bold ${FONT}`)));
  const left = Math.max(widest(rows) + 16, brief ? 70 : 144), tall = widest(cols), top = Math.max(tall * Math.sin(TURN) + 16, 44);
  const overhang = tall * Math.cos(TURN) + 4;
  const wide = clamp(Math.floor((room - left - overhang) / cols.length), 13, 44), high = Math.min(wide, 27);
  const field = make("div", { class: "field" }), canvas = make("canvas", {
    tabindex: 0, role: "application", "aria-roledescription": "attention map",
    "aria-label": `layer ${place.layer}, head ${place.head}: ${rows.length} queries by ${cols.length} keys; arrow keys move`,
  });
  field.style.width = `${left + cols.length * wide + overhang}px`;
  field.style.height = `${top + rows.length * high + 4}px`;
  canvas.style.left = `${left}px`; canvas.style.top = `${top}px`;
  paint(canvas, w, wide, high, true);
  const at = (element, x, y) => { element.style.left = `${x}px`; element.style.top = `${y}px`; return element; };
  const rowLabels = rows.map((t, i) => {
    const label = at(make("span", { class: "row" }, short(t)), 0, top + (i + 0.5) * high - 6);
    label.style.left = "auto"; label.style.right = `${cols.length * wide + overhang + 8}px`;
    return label;
  });
  const colLabels = cols.map((t, j) => {  // upright where it fits, else aslant
    const length = measure(short(t), `bold ${FONT}`), fits = length <= wide - 4;
    const label = make("span", { class: fits ? "col" : "col aslant" }, short(t));
    return at(label, left + (j + 0.5) * wide - (fits ? length / 2 : 0), top - 18 + (fits ? 0 : 4));
  });
  const axis = at(make("span", { class: "axis" }, brief ? "key j →" : "who is asked: key j →", make("br"),
    brief ? "query i ↓" : "who asks: query i ↓"), 0, top - 36);
  axis.style.width = `${left - 8}px`;
  const across = make("div", { class: "band across" }), down = make("div", { class: "band down" }), cell = make("div", { class: "cell" });
  across.style.width = `${cols.length * wide}px`; across.style.height = `${high}px`; down.style.width = `${wide}px`;
  down.style.height = `${rows.length * high}px`;
  cell.style.width = `${wide + 4}px`; cell.style.height = `${high + 4}px`;
  field.append(axis, ...rowLabels, ...colLabels, canvas, across, down, cell);
  const pointed = (event) => {
    const box = canvas.getBoundingClientRect();
    point(clamp(Math.floor((event.clientY - box.top - 1) / high), 0, rows.length - 1),
          clamp(Math.floor((event.clientX - box.left - 1) / wide), 0, cols.length - 1));
  };
  canvas.addEventListener("pointermove", pointed);
  canvas.addEventListener("pointerdown", pointed);
  canvas.addEventListener("keydown", keys);
  const title = make("h3", {}, `layer ${place.layer}, head ${place.head}${place === state ? "" : " (pinned)"}`);
  const map = make("section", { class: "map", style: `--color: ${headColor(place.head)}` }, title, field);
  maps.append(map);
  const shift = (element, x, y) => { element.style.transform = `translate(${x}px, ${y}px)`; };
  return {
    place, canvas,
    mark(row, col, before) {
      rowLabels[before.row]?.classList.remove("on"); colLabels[before.col]?.classList.remove("on");
      rowLabels[row].classList.add("on"); colLabels[col].classList.add("on");
      shift(across, left + 1, top + 1 + row * high);
      shift(down, left + 1 + col * wide, top + 1);
      shift(cell, left - 1 + col * wide, top - 1 + row * high);
    },
  };
}

// Which head has the attention of the reader: small maps of all heads of the layer, side by side.
function drawHeads() {
  const { rows, cols, layers } = kind(), size = clamp(Math.floor(96 / Math.max(rows.length, cols.length)), 1, 12);
  heads.replaceChildren(...layers[state.layer].map((w, head) => {
    const canvas = make("canvas", { onclick: () => set({ head }), "aria-hidden": "true", title: `show head ${head}` });
    paint(canvas, w, size, size, false);
    const pinned = state.pinned && state.pinned.layer === state.layer && state.pinned.head === head;
    return make("div", { class: `head${head === state.head ? " shown" : ""}`, style: `--color: ${headColor(head)}` }, canvas,
      make("button", { type: "button", "aria-pressed": head === state.head, onclick: () => set({ head }) }, `head ${head}`),
      make("button", { type: "button", "aria-pressed": Boolean(pinned), title: `pin head ${head} beside the shown one`,
        onclick: () => set({ pinned: pinned ? null : { layer: state.layer, head } }) }, "pin"));
  }));
}

state.col = strongest(weights()[0]);
let drawn = [], rowChips = [], colChips = [];
function draw() {
  const { rows, cols, layers } = kind();
  if (!layers[state.layer]) state.layer = layers.length - 1;
  if (!layers[state.layer][state.head]) state.head = 0;
  state.row = Math.min(state.row, rows.length - 1); state.col = Math.min(state.col, cols.length - 1);
  const chosen = choices("layer", layers.map((_, i) => String(i)), (i) => set({ layer: i }));
  layerChoice.replaceWith(chosen); layerChoice = chosen;
  kindChoice.press(state.kind); layerChoice.press(state.layer);
  drawHeads();
  maps.replaceChildren();
  const shown = state.pinned ? [state, state.pinned] : [state], beside = !state.pinned && width > 960;
  body.classList.toggle("beside", beside);  // with one map on a wide page, the reading stands beside it
  const room = (width - (beside ? 400 : 0) - 16 * (shown.length - 1)) / shown.length;
  drawn = shown.map((place) => drawMap(place, room, shown.length > 1));
  const chips = (tokens, go) => tokens.map((t, i) => make("span", { onclick: () => go(i) }, t, make("small")));
  rowChips = chips(rows, (i) => point(i, strongest(weights()[i])));
  colChips = chips(cols, (j) => point(state.row, j));
  const label = (text) => make("span", { class: "label" }, text);
  strips.replaceChildren(label(kind().writes ? "query writes" : "query"), make("div", { class: "tokens" }, ...rowChips),
    label("asks the keys"), make("div", { class: "tokens" }, ...colChips));
  rowChips.forEach((chip) => chip.lastChild.remove());
  point(state.row, state.col);
}

// The one thing that happens on every move of the mouse: two or three elements change their place, one row its colours.
function point(row, col) {
  const before = { row: state.row, col: state.col };
  state.row = row; state.col = col;
  drawn.forEach((map) => map.mark(row, col, before));
  rowChips[before.row]?.classList.remove("on"); rowChips[row].classList.add("on");
  colChips[before.col]?.classList.remove("on"); colChips[col].classList.add("on");
  weights()[row].forEach((x, j) => {
    const { css, ink } = colorAt(palette.sequential, x), chip = colChips[j];
    chip.style.background = css; chip.style.color = ink;
    chip.lastChild.textContent = x.toFixed(2);
  });
  const { rows, cols, writes } = kind();
  const value = make("b", {}, weights()[row][col].toFixed(3));
  const parts = [`query ${row}${writes ? " writes" : ""} “${rows[row]}” → key ${col} “${cols[col]}”: weight `, value];
  if (state.pinned) parts.push(`; layer ${state.pinned.layer}, head ${state.pinned.head}: `,
    make("b", {}, weights(state.pinned)[row][col].toFixed(3)));
  if (kind().id === "cross" && data.gold.length) parts.push(isGold(row, col) ? " · aligned" : " · not aligned");
  reading.replaceChildren(...parts);
}

function set(change) {
  if ("kind" in change && change.kind !== state.kind) state.pinned = null;
  const focused = drawn.findIndex((map) => map.canvas === document.activeElement);
  Object.assign(state, change);
  draw();
  if (focused >= 0) (drawn[focused] || drawn[0]).canvas.focus();
  remember(data.remember, { kind: state.kind, layer: state.layer, head: state.head });
}

function keys(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const { rows, cols, layers } = kind(), { row, col, layer, head } = state;
  const move = {
    ArrowUp: () => point(Math.max(row - 1, 0), col), ArrowDown: () => point(Math.min(row + 1, rows.length - 1), col),
    ArrowLeft: () => point(row, Math.max(col - 1, 0)), ArrowRight: () => point(row, Math.min(col + 1, cols.length - 1)),
    Home: () => point(row, strongest(weights()[row])),
    h: () => set({ head: (head + 1) % layers[layer].length }), l: () => set({ layer: (layer + 1) % layers.length }),
    p: () => set({ pinned: state.pinned ? null : { layer, head } }),
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (move) { event.preventDefault(); move(); }
}

let width = 0;
new ResizeObserver(() => { if (body.clientWidth !== width) { width = body.clientWidth; draw(); } }).observe(body);
