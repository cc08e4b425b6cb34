// data: names [V], pinyin [V], ids (the greedy translation), logits [position][V], position.
const ROWS = 12, { names, logits, ids } = data, V = names.length;
const state = { at: data.position, t: 0, k: 0, p: 1, counts: new Map(), drawn: 0 };
const KS = [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50, 100, 0];  // 0: off
const temperature = () => 2 ** state.t;

// As `next_distribution` does it: temperature, softmax, top-k, top-p. Everything is in order of likelihood.
function distribution() {
  const row = logits[state.at], top = Math.max(...row), order = row.map((_, i) => i).sort((a, b) => row[b] - row[a]);
  const softmax = (t) => { const e = order.map((i) => Math.exp((row[i] - top) / t)), sum = e.reduce((a, b) => a + b); return e.map((x) => x / sum); };
  const model = softmax(1), warm = softmax(temperature());
  let n = state.k || V, mass = 0;
  const inK = warm.slice(0, n).reduce((a, b) => a + b);
  if (state.p < 1) {
    let i = 0;
    while (i < n && mass < state.p) mass += warm[i++] / inK;
    n = i;
  }
  const kept = warm.slice(0, n).reduce((a, b) => a + b);
  return { order, model, warm, n, kept, final: warm.map((x, i) => i < n ? x / kept : 0) };
}

// ---- the page ----------------------------------------------------------------------------------------------------
const wordBar = make("div", { class: "words", role: "group", "aria-label": "which word is drawn" });
ids.forEach((id, i) => wordBar.append(make("button", { type: "button", onclick: () => set({ at: i }) }, names[id], make("small", {}, data.pinyin[id] || "\u00a0"))));
function knob(name, attributes, read, write) {
  const input = make("input", { type: "range", "aria-label": name, ...attributes, oninput: () => set(read(Number(input.value))) });
  const value = make("b"), element = make("label", {}, make("span", { class: "label" }, name), input, value);
  element.sync = () => { const [v, shown] = write(); input.value = v; value.textContent = shown; input.setAttribute("aria-valuetext", shown); };
  return element;
}
const knobs = [
  knob("temperature", { min: -3, max: 3, step: 0.1 }, (v) => ({ t: v }), () => [state.t, temperature().toFixed(2)]),
  knob("top-k", { min: 0, max: KS.length - 1, step: 1 }, (v) => ({ k: KS[v] }), () => [KS.indexOf(state.k), state.k ? String(state.k) : "off"]),
  knob("top-p", { min: 0.05, max: 1, step: 0.01 }, (v) => ({ p: v }), () => [state.p, state.p < 1 ? state.p.toFixed(2) : "off"]),
];
const button = (name, onclick) => make("button", { type: "button", onclick }, name);
const drawBar = make("div", { class: "bar" }, make("span", {}, button("draw 1", () => draw(1)), button("draw 100", () => draw(100)),
  button("forget draws", () => { forget(); redraw(); }), button("reset", () => set({ t: 0, k: 0, p: 1 }))));
const saying = make("p", { class: "saying", "aria-live": "polite" }), bars = make("div", { class: "bars" });
view.append(wordBar, make("div", { class: "knobs" }, ...knobs), drawBar, saying, bars,
  make("p", { class: "hint" }, "Outlined: the model’s own probability. Filled: what is drawn from. Hatched: cut off, never drawn."));

let random = 20171206;  // mulberry32: the same draws each time the page opens
function uniform() {
  random = (random + 0x6D2B79F5) | 0;
  let x = Math.imul(random ^ (random >>> 15), 1 | random);
  x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
  return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
}
function draw(times) {
  const { order, final, n } = distribution();
  for (let i = 0; i < times; i++) {
    let u = uniform(), j = 0;
    while (j < n - 1 && u >= final[j]) u -= final[j++];
    state.counts.set(order[j], (state.counts.get(order[j]) || 0) + 1);
  }
  state.drawn += times;
  redraw();
}
function forget() { state.counts = new Map(); state.drawn = 0; }
function set(change) { Object.assign(state, change); forget(); redraw(); }

const percent = (x) => x >= 0.9995 ? "100%" : x >= 0.1 ? `${(100 * x).toFixed(1)}%` : x >= 0.0001 ? `${(100 * x).toFixed(2)}%` : x > 0 ? "<.01%" : "0";
function redraw() {
  [...wordBar.children].forEach((b, i) => { b.setAttribute("aria-pressed", i === state.at); b.classList.toggle("later", i > state.at); });
  knobs.forEach((k) => k.sync());
  const d = distribution(), rest = (x) => x.slice(ROWS).reduce((a, b) => a + b, 0);
  const row = (name, small, cut, model, final, count) => make("div", { class: cut ? "cut" : "kept" },
    make("span", { class: "name" }, make("b", {}, name), " ", make("small", {}, small)),
    make("span", { class: "track" }, make("i", { style: `width:${(100 * final).toFixed(2)}%` }), make("u", { style: `width:${(100 * model).toFixed(2)}%` })),
    make("span", { class: "n" }, percent(model)), make("span", { class: "n" }, cut ? "cut" : percent(final)),
    make("span", { class: "n counts" }, state.drawn ? String(count) : ""));
  const rows = d.order.slice(0, ROWS).map((i, rank) => row(names[i], data.pinyin[i], rank >= d.n, d.model[rank], d.final[rank], state.counts.get(i) || 0));
  const others = d.order.slice(ROWS).reduce((sum, i) => sum + (state.counts.get(i) || 0), 0);
  rows.push(row(`${V - ROWS} others`, d.n > ROWS && d.n < V ? `${d.n - ROWS} kept` : "", d.n <= ROWS, rest(d.model), rest(d.final), others));
  const heads = ["next word", "", "model", "drawn from", state.drawn ? `of ${state.drawn}` : ""].map((h) => make("span", { class: "head" }, h));
  bars.replaceChildren(...heads, ...rows);
  const entropy = d.final.reduce((sum, x) => x > 0 ? sum - x * Math.log(x) : sum, 0);
  const before = ids.slice(0, state.at).map((i) => names[i]).join(" ") || "the beginning";
  saying.textContent = `After ${before}: ${d.n} of ${V} tokens can be drawn; at this temperature they had ${percent(d.kept)} of the mass. ` +
    `The choice is as open as one among ${Math.exp(entropy).toFixed(1)} equally likely words.`;
}
redraw();
