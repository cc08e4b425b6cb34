// data: boxes (in the order in which they ran), codes (name -> source), words, total, logits, ids, facts.
const shape = (sizes) => `[${sizes.join(", ")}]`, count = (n) => n.toLocaleString("en");
const kinds = [["attention", palette.heads[0]], ["feed", palette.heads[2]], ["norm", palette.heads[3]], ["layer", "#59636e"], ["", palette.heads[1]]];
const colorOf = (box) => kinds.find(([part]) => box.short.includes(part))[1];
const titles = { embedding: "token vectors", target_embedding: "token vectors", positions: "positions", output: "output" };
const titleOf = (box) => box.frame ? `${box.short} ${box.layer}` : titles[box.short] || box.short.replace("_", " ").replace("feed forward", "feed-forward");
const state = { box: 0, head: 0 };
const buttons = [];

function button(box, index) {
  const note = box.parameters ? count(box.parameters) : box.same.length ? "shared" : "0";
  const element = make("button", { type: "button", class: box.frame ? "box frame" : "box", onclick: () => open(index), onkeydown: (event) => keys(event, index),
    "aria-label": `${titleOf(box)}, ${box.layer && !box.frame ? `${box.stack} layer ${box.layer}, ` : ""}gives ${shape(box.output)}, ${note} parameters` },
    make("span", {}, titleOf(box)), make("small", {}, note));
  element.style.setProperty("--kind", colorOf(box));
  buttons[index] = element;
  return element;
}
const flow = (text) => make("div", { class: "flow" }, `↓ ${text}`);

function column(side, name, first) {
  const parts = [make("h3", {}, name), flow(`ids ${shape(first)}`)];
  let group = null, layer = null;
  data.boxes.forEach((box, index) => {
    if (box.side !== side) return;
    layer = box.layer;
    if (!layer) group = null;
    if (box.frame) {
      group = make("div", { class: "group", role: "group", "aria-label": `${box.stack} layer ${layer}` }, button(box, index));
      parts.push(group);
      return;
    }
    const into = group ? (x) => group.append(x) : (x) => parts.push(x);
    if (box.cross) into(make("span", { class: "memory" }, "keys, values ← memory ", make("span", {}, shape(box.inputs[1][1]))));
    into(button(box, index));
    if (box.residual) into(make("span", { class: "plus" }, "⊕ what came in is added"));
    const next = data.boxes.slice(index + 1).find((b) => b.side === side);
    if (!next || !layer || next.layer !== layer) parts.push(flow(shape(box.output) + (box.short.includes("embedding") ? " × √D" : !next && side === "source" ? " = memory" : !next ? " = logits" : "")));
  });
  return make("div", {}, ...parts);
}

function keys(event, index) {
  const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  let to = null;
  if (way) { const same = data.boxes.map((b, i) => [b.side, i]).filter(([s]) => s === data.boxes[index].side).map(([, i]) => i);
    to = same[same.indexOf(index) + way]; }
  else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    const side = event.key === "ArrowLeft" ? "source" : "target", top = buttons[index].getBoundingClientRect().top;
    if (data.boxes[index].side !== side) to = data.boxes.map((b, i) => [b.side === side ? Math.abs(buttons[i].getBoundingClientRect().top - top) : 1e9, i]).sort((a, b) => a[0] - b[0])[0][1];
  } else return;
  event.preventDefault();
  if (to !== null && to !== undefined) { open(to); buttons[to].focus(); }
}

const opened = make("section", { class: "open" }), heading = make("h2", { "aria-live": "polite" });
const signed = (x, most) => colorAt(palette.signed, 0.5 + 0.5 * x / most);
function cell(text, color) { const td = make("td", {}, text); td.style.background = color.css; td.style.color = color.ink; return td; }

function numbers(box) {
  const rows = data.words[box.side], most = Math.max(...box.values.flat().map(Math.abs), 1e-9);
  return make("div", { class: "scroll" }, make("table", {},
    make("tr", {}, make("th", {}, box.short === "output" ? "after reading" : "token"), ...box.values[0].map((_, f) => make("th", {}, box.short === "output" ? `id ${f}` : `${f}`)), make("th", {}, "…")),
    ...box.values.map((row, t) => make("tr", {}, make("th", { scope: "row" }, rows[t]), ...row.map((x) => cell(show(x, 2), signed(x, most)))))));
}
function attention(box) {
  state.head = Math.min(state.head, box.weights.length - 1);
  const group = choices("head", box.weights.map((_, h) => String(h)), (h) => { state.head = h; open(state.box); });
  group.press(state.head);
  const asks = data.words[box.side], asked = box.cross ? data.words.source : asks;
  return make("div", {}, make("div", { class: "bar" }, group), make("div", { class: "scroll" }, make("table", { class: "weights" },
    make("tr", {}, make("th", {}, "asks \\ is asked"), ...asked.map((t) => make("th", {}, t))),
    ...box.weights[state.head].map((row, i) => make("tr", {}, make("th", { scope: "row" }, asks[i]), ...row.map((w) => cell(w === 0 ? "0" : show(w, 2), colorAt(palette.sequential, w))))))));
}
function likely(box) {
  return make("div", { class: "scroll" }, make("table", {}, make("tr", {}, make("th", {}, "after reading"), make("th", {}, "likeliest next tokens")),
    ...box.words.map((row, t) => make("tr", {}, make("th", { scope: "row" }, data.words.target[t]), make("td", {}, row.map(([w, p]) => `${w} ${show(p, 2)}`).join(" · "))))));
}
function open(index) {
  buttons[state.box].classList.remove("on"); buttons[state.box].removeAttribute("aria-current");
  state.box = index;
  buttons[index].classList.add("on"); buttons[index].setAttribute("aria-current", "true");
  const box = data.boxes[index], line = (a, b) => make("tr", {}, make("td", {}, a), make("td", {}, b));
  const shared = box.same.length ? `the weights of ${box.same.join(", ")} once more: 0 new` : "none";
  const facts = make("table", { class: "facts" }, ...box.inputs.map(([what, sizes]) => line(what, shape(sizes))), line("out", shape(box.output)),
    line("parameters", box.parameters ? count(box.parameters) : shared), ...box.tensors.map(([name, sizes]) => line("\u00a0 " + name, shape(sizes))));
  const shown = box.values[0].length;
  heading.textContent = titleOf(box);
  opened.replaceChildren(heading, make("div", { class: "hint" }, `${box.name}${box.layer ? ` · ${box.stack} layer ${box.layer}` : ""} · ${box.code}`), facts,
    ...(box.words ? [make("h4", {}, "What it predicts"), likely(box)] : []),
    ...(box.weights ? [make("h4", {}, "Who attends to whom (each row sums to 1)"), attention(box)] : []),
    make("h4", {}, `What comes out: the first ${shown} of ${box.output[box.output.length - 1]} numbers of each token`), numbers(box),
    make("h4", {}, `Its code: ${box.code}`), make("pre", { tabindex: 0 }, data.codes[box.code]));
  beside();
}
// The opened box stands at the height of the one that was clicked, as far as the map reaches.
function beside() {
  const top = map.getBoundingClientRect().top, room = map.offsetHeight - opened.offsetHeight;
  opened.style.marginTop = `${clamp(buttons[state.box].getBoundingClientRect().top - top - 40, 0, Math.max(0, room))}px`;
}

const map = make("div", { class: "map" }, column("source", "Encoder: reads", data.ids[0]), column("target", "Decoder: writes", data.ids[1]));
const hint = make("span", { class: "hint" });
hint.innerHTML = "Click a box, or move with <kbd>↑</kbd> <kbd>↓</kbd> <kbd>←</kbd> <kbd>→</kbd>. The number in a box: its parameters.";
view.append(make("div", { class: "bar" }, make("b", {}, `${count(data.total)} parameters`), make("span", { class: "label" }, data.facts), hint),
  make("div", { class: "whole" }, map, opened));
open(Math.max(0, data.boxes.findIndex((box) => box.cross)));
