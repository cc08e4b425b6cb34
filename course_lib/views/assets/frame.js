// Shared by all views. `palette` holds the colours, `data` what Python embedded in the page.
const data = JSON.parse(document.getElementById("data").textContent);
const view = document.getElementById("view");

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// One button of each choice is pressed; `choose(i)` is called with the index of the one that was clicked.
function choices(label, names, choose) {
  const buttons = names.map((name, i) => make("button", { type: "button", onclick: () => choose(i) }, name));
  const group = make("span", { role: "group", "aria-label": label }, make("span", { class: "label" }, label), ...buttons);
  group.press = (index) => buttons.forEach((b, i) => b.setAttribute("aria-pressed", i === index));
  return group;
}

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

// The colour at t in 0…1 of a list of equally spaced colours, and whether white text is legible on it.
function colorAt(stops, t) {
  const x = clamp(t, 0, 1) * (stops.length - 1), i = Math.min(Math.floor(x), stops.length - 2);
  const a = rgb(stops[i]), b = rgb(stops[i + 1]);
  const mixed = a.map((v, k) => Math.round(v + (b[k] - v) * (x - i)));
  return { css: `rgb(${mixed})`, ink: 0.3 * mixed[0] + 0.59 * mixed[1] + 0.11 * mixed[2] < 140 ? "#fff" : "#1f2328" };
}
const gradient = (stops) => `linear-gradient(to right, ${stops.join(", ")})`;

// A canvas is sharp when it has as many pixels as the screen.
function sharpContext(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

const measure = (() => {
  const context = document.createElement("canvas").getContext("2d");
  return (text, font) => { context.font = font; return context.measureText(text).width; };
})();

// A minus sign that is as wide as a plus, and no "−0.000".
function show(x, digits = 3) {
  if (x === null) return "−∞";
  const text = x.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

// Give the iframe the height of its content; where the frame cannot be reached, it keeps the height from Python.
new ResizeObserver(() => {
  const frame = window.frameElement;
  if (frame) frame.style.height = `${Math.ceil(view.getBoundingClientRect().bottom)}px`;
}).observe(view);

// Remember choices (not contents) when the same widget is drawn anew; a frame without storage just starts afresh.
function remembered(key) {
  try { return JSON.parse(sessionStorage.getItem(key)) || {}; } catch { return {}; }
}
function remember(key, value) {
  try { if (key) sessionStorage.setItem(key, JSON.stringify(value)); } catch { /* storage is forbidden here */ }
}
