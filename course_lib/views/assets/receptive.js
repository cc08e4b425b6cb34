// data: length, question (null, or text, options [answer, reply], right).
const n = data.length, kernels = [2, 3, 5], depths = [1, 2, 3, 4, 5];
const state = { kernel: 3, layers: 4, doubling: false, causal: true, output: n - 5 };
const STEP = 22, LEFT = 15, FLOOR = 34;

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  element.append(...children);
  return element;
}

// Which positions of the layer below each position of a layer reads.
function reads(position, layer) {
  const gap = state.doubling ? 2 ** layer : 1;
  const shift = state.causal ? state.kernel - 1 : Math.floor((state.kernel - 1) / 2);
  return Array.from({ length: state.kernel }, (_, j) => position + (j - shift) * gap).filter((p) => p >= 0 && p < n);
}
const attends = (position) => Array.from({ length: state.causal ? position + 1 : n }, (_, j) => j);

// From the output down: the positions of every layer that it depends on, and the lines between them.
function follow(layers, below) {
  const seen = [new Set([state.output])], edges = [];
  for (let layer = layers - 1; layer >= 0; layer -= 1) {
    const next = new Set();
    seen[0].forEach((p) => below(p, layer).forEach((q) => { next.add(q); edges.push([layer, p, q]); }));
    seen.unshift(next);
  }
  return { seen, edges };  // seen[0]: inputs; seen[layers]: the output itself
}

function draw(panel, layers, below) {
  const { seen, edges } = follow(layers, below), gap = Math.max(34, 150 / layers);
  const height = FLOOR + layers * gap + 14, x = (p) => LEFT + p * STEP, y = (layer) => height - FLOOR - layer * gap;
  panel.picture.setAttribute("viewBox", `0 0 ${LEFT * 2 + (n - 1) * STEP} ${height}`);
  const parts = edges.map(([layer, p, q]) => svg("line", { class: "edge", x1: x(p), y1: y(layer + 1), x2: x(q), y2: y(layer) }));
  for (let layer = 0; layer <= layers; layer += 1) for (let p = 0; p < n; p += 1) {
    const on = seen[layer].has(p);
    parts.push(svg("circle", { class: on ? (layer === layers ? "chosen" : "seen") : "", cx: x(p), cy: y(layer), r: on ? 6.5 : 5 }));
  }
  for (let p = 0; p < n; p += 1) parts.push(svg("text", { class: seen[0].has(p) ? "seen" : "", x: x(p), y: height - 12 }, String(p)));
  panel.picture.replaceChildren(...parts);
  panel.picture.setAttribute("aria-label", `output ${state.output} sees ${seen[0].size} of ${n} inputs`);
  return [...seen[0]].sort((a, b) => a - b);
}

function panel(title) {
  const made = { text: make("p", { "aria-live": "polite" }), picture: svg("svg", { role: "img", tabindex: 0 }) };
  made.element = make("section", { class: "panel" }, make("h3", {}, title), made.text, made.picture);
  const point = (event) => {
    const box = made.picture.getBoundingClientRect();
    const place = (event.clientX - box.left) / box.width * (LEFT * 2 + (n - 1) * STEP);
    choose(clamp(Math.round((place - LEFT) / STEP), 0, n - 1));
  };
  made.picture.addEventListener("pointermove", point);
  made.picture.addEventListener("pointerdown", point);
  made.picture.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); choose(clamp(state.output + by, 0, n - 1)); }
  });
  return made;
}
const stack = panel("A stack of convolutions"), attention = panel("One layer of attention");
const choose = (output) => { if (output !== state.output) { state.output = output; update(); } };
const say = (place, ...words) => place.replaceChildren(...words);

function update() {
  kernel.press(kernels.indexOf(state.kernel)); depth.press(depths.indexOf(state.layers));
  dilation.press(Number(state.doubling)); future.press(Number(!state.causal));
  const seen = draw(stack, state.layers, reads), all = draw(attention, 1, attends);
  const most = 1 + (state.kernel - 1) * (state.doubling ? 2 ** state.layers - 1 : state.layers);
  const cut = seen.length < most && seen.length < n ? `; ${most} where the sequence goes on` : "";
  const gaps = seen[seen.length - 1] - seen[0] + 1 > seen.length ? ", with gaps" : "";
  const range = (list) => (list.length > 1 ? `inputs ${list[0]} to ${list[list.length - 1]}` : `input ${list[0]}`);
  say(stack.text, `Output ${state.output} sees `, make("b", {}, String(seen.length)),
    ` of ${n}: ${range(seen)}${gaps}${cut}. ${state.layers} layer${state.layers > 1 ? "s" : ""}.`);
  say(attention.text, `Output ${state.output} sees `, make("b", {}, String(all.length)), ` of ${n}: ${range(all)}. 1 layer.`);
}
const set = (key, values) => (i) => { state[key] = values[i]; update(); };
const kernel = choices("kernel size", kernels.map(String), set("kernel", kernels));
const depth = choices("layers", depths.map(String), set("layers", depths));
const dilation = choices("dilation", ["none", "doubling"], set("doubling", [false, true]));
const future = choices("may see", ["the past (causal)", "both sides"], set("causal", [true, false]));
const hint = make("p", { class: "hint" });
hint.innerHTML = "Point at an output in the top row, or use <kbd>←</kbd> <kbd>→</kbd> in a picture. Filled: what the output depends on. The numbers are the positions of the inputs.";

function reveal() {
  view.append(make("div", { class: "bar" }, kernel, depth, dilation, future),
    make("div", { class: "panels" }, stack.element, attention.element), hint);
  update();
}
if (data.question) {
  const reply = make("p", { "aria-live": "polite" }), { text, options, right } = data.question;
  let shown = false;
  const buttons = options.map(([answer, why], i) => make("button", { type: "button", onclick: () => {
    reply.className = i === right ? "right" : "wrong";
    reply.textContent = `${i === right ? "✓ Right" : "✗ Not quite"} (${answer}). ${why}`;
    if (!shown) { shown = true; reveal(); }
  } }, answer));
  view.append(make("p", { class: "ask" }, make("b", {}, "Predict first. "), `${text} `), make("p", { class: "ask" }, ...buttons), reply);
} else reveal();
