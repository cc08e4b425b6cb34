// data: source, nodes [{parent, step, token, pinyin, p, sum, kept, ended, look}], looks [look][layer][head][source], beam, penalty.
const { nodes, looks, source } = data, last = Math.max(...nodes.map((n) => n.step));
const WIDE = 116, HIGH = 46, TOP = 22, BOX = 98, LISTED = 8;
const state = { step: 0, penalty: data.penalty, guess: null, at: 0, layer: looks[0].length - 1, head: -1 };
nodes.forEach((node, i) => { node.id = i; });

const path = (node) => node.parent === null ? [] : [...path(nodes[node.parent]), node];
const isOver = () => state.step === last;
const kept = (step) => nodes.filter((n) => n.step === step && n.kept);
// What may still win, or has ended: all that compete when the search is over.
const competitors = () => nodes.filter((n) => n.kept && n.step <= state.step && (n.ended || n.step === state.step));
const score = (node) => node.sum / node.step ** state.penalty;
const best = () => competitors().reduce((a, b) => score(b) > score(a) ? b : a);
const words = (node) => path(node).filter((n) => n.token !== "[EOS]");

// ---- the page ----------------------------------------------------------------------------------------------------
const button = (label, title, onclick) => make("button", { type: "button", title, onclick }, label);
const back = button("◀ back", "one step back (←)", () => go(state.step - 1));
const on = button("step ▶", "one step on (→)", () => go(state.step + 1));
const bar = make("div", { class: "bar" }, make("span", {}, back, on, button("to the end", "all steps (End)", () => go(last)),
  button("restart", "begin anew (Home)", () => { state.guess = null; go(0); })));
const slide = make("input", { type: "range", min: 0, max: 2, step: 0.05, value: state.penalty, "aria-label": "length penalty",
  oninput: () => { state.penalty = Number(slide.value); lists(); } });
const slideValue = make("b");
bar.append(make("label", {}, make("span", { class: "label" }, "length penalty "), slide, " ", slideValue));
const saying = make("p", { class: "saying", "aria-live": "polite" });
const tree = make("div", { class: "tree", tabindex: 0, role: "application", "aria-label": "the tree of hypotheses; left and right step, up and down choose a hypothesis" });
const field = make("div", { class: "field" });
tree.append(field);
const ends = make("div", { class: "ends" }), lookTable = make("div", { class: "looks" });
const lookBar = make("div", { class: "bar" });
const layerChoice = choices("layer", looks[0].map((_, i) => String(i)), (i) => { state.layer = i; look(); });
const headChoice = choices("head", ["mean", ...looks[0][0].map((_, i) => String(i))], (i) => { state.head = i - 1; look(); });
lookBar.append(layerChoice, headChoice);
const hint = make("p", { class: "hint" });
hint.innerHTML = "Point at a word to see what its hypothesis looked at. <kbd>←</kbd> <kbd>→</kbd> step · <kbd>↑</kbd> <kbd>↓</kbd> choose · " +
  "Dashed: an extension that missed the beam. Green: ended, set aside. Faint: no hypothesis goes on from here.";
view.append(bar, saying, tree, make("div", { class: "lower" }, ends, make("div", {}, lookBar, lookTable)), hint);

// ---- drawing -----------------------------------------------------------------------------------------------------
let places = new Map();
function go(step) {
  state.step = clamp(step, 0, last);
  const candidates = competitors();
  state.at = (candidates[0] || nodes[0]).id;
  draw();
}

function draw() {
  back.disabled = state.step === 0; on.disabled = isOver();
  const shown = nodes.filter((n) => n.step <= state.step && (n.kept !== false || n.step === state.step));
  const alive = new Set(competitors().flatMap((n) => path(n).map((m) => m.id)));
  const rows = Array(last + 1).fill(0);
  places = new Map(shown.map((n) => [n.id, { x: 8 + n.step * WIDE, y: TOP + HIGH * rows[n.step]++ }]));
  const high = TOP + HIGH * Math.max(data.beam, ...rows) + 4, wide = 8 + (state.step + 1) * WIDE + 8;
  field.style.height = `${high}px`; field.style.width = `${wide}px`;
  const lines = shown.filter((n) => n.parent !== null).map((n) => {
    const a = places.get(n.parent), b = places.get(n.id), y1 = a.y + 19, y2 = b.y + 19, x1 = a.x + BOX, x2 = b.x;
    const dash = n.kept ? "" : 'stroke-dasharray="4 3"', strong = alive.has(n.id) ? "#59636e" : "#d1d9e0";
    return `<path d="M${x1} ${y1}C${x1 + 9} ${y1} ${x2 - 9} ${y2} ${x2} ${y2}" fill="none" stroke="${strong}" stroke-width="${n.kept ? 1.6 : 1}" ${dash}/>`;
  });
  field.innerHTML = `<svg width="${wide}" height="${high}" aria-hidden="true">${lines.join("")}</svg>`;
  for (let step = 1; step <= state.step; step++) {
    const label = make("span", { class: "at" }, `token ${step}`);
    label.style.left = `${8 + step * WIDE}px`; label.style.width = `${BOX}px`; label.style.top = "3px";
    field.append(label);
  }
  for (const n of shown) {
    const { x, y } = places.get(n.id);
    const kind = n.kept === false ? "dropped" : n.ended ? "ended" : n.id && !alive.has(n.id) ? "dead" : "";
    const p = n.parent === null ? "" : n.p < 0.0005 ? "<.001" : n.p.toFixed(3).replace(/^0/, "");
    const box = make("div", { class: `node ${kind}`, onpointerenter: () => point(n.id), onclick: () => point(n.id),
      title: n.parent === null ? "the beginning" : `p of the word ${n.p.toFixed(4)}, log p of the hypothesis ${show(n.sum)}` }, 
        make("b", {}, n.token), " ", make("i", {}, p), make("small", {}, n.pinyin || "\u00a0"));
    box.style.left = `${x}px`; box.style.top = `${y}px`;
    n.box = box;
    field.append(box);
  }
  tree.scrollLeft = wide;
  lists();
}

function point(id) { state.at = id; mark(); look(); }

function mark() {
  const chosen = new Set(path(nodes[state.at]).map((n) => n.id));
  for (const id of places.keys()) nodes[id].box.classList.toggle("path", chosen.has(id));
  ends.querySelectorAll("tr[data-id]").forEach((row) => row.classList.toggle("pointed", Number(row.dataset.id) === state.at));
}

function lists() {
  slideValue.textContent = state.penalty.toFixed(2);
  const open = isOver() && state.guess !== null, winner = isOver() ? best() : null;
  const ranked = competitors().sort((a, b) => open ? score(b) - score(a) : b.sum - a.sum);
  const rows = ranked.filter((n) => n.id).slice(0, LISTED).map((n) => {
    const mine = state.guess === n.id ? " ← your guess" : "";
    const what = make("td", {}, words(n).map((m) => m.token).join("") || "(nothing)", make("small", {}, words(n).map((m) => m.pinyin).join(" ")));
    const choose = isOver() && !open ? button("this one wins", "commit to a guess", () => { state.guess = n.id; state.at = best().id; lists(); mark(); }) : "";
    return make("tr", { "data-id": n.id, class: open && n === winner ? "wins" : "", onpointerenter: () => point(n.id) },
      make("td", {}, n.ended ? "ended" : isOver() ? "cut off" : "live"), what, make("td", {}, show(n.sum)), make("td", {}, String(n.step)),
      make("td", {}, open ? show(score(n)) : isOver() ? "?" : ""), make("td", {}, choose, open && n === winner ? "✓ wins" : "", mine));
  });
  const heads = ["", "hypothesis", "log p", "length", isOver() ? "score" : "", ""].map((h) => make("th", { scope: "col" }, h));
  const more = ranked.length > LISTED ? make("p", { class: "hint" }, `… and ${ranked.length - LISTED} with a lower ${open ? "score" : "log p"}`) : "";
  ends.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)), more);
  const n = kept(state.step + 1).length, live = kept(state.step).filter((m) => !m.ended).length;
  if (state.step === 0) say("One hypothesis, the empty one. Step: it is extended by every word, and the best go on.");
  else if (!isOver()) say(`After ${state.step} token${state.step > 1 ? "s" : ""}: ${live} live, ${competitors().length - live} set aside. The next step compares all extensions of the live ones and keeps ${n}.`);
  else if (!open) say("The search is over. Which hypothesis wins? Predict: score = log p / length^penalty, and log p is negative.");
  else {
    const right = state.guess === winner.id;
    say(`${right ? "✓" : "✗"} With a penalty of ${state.penalty.toFixed(2)} it is “${words(winner).map((m) => m.token).join("")}”: ${show(winner.sum)} / ${winner.step}^${state.penalty.toFixed(2)} = ${show(score(winner))}. Move the penalty: the tree stays, the winner may change.`);
  }
  mark();
  look();
}
const say = (line) => { if (saying.textContent !== line) saying.textContent = line; };

function look() {
  layerChoice.press(state.layer); headChoice.press(state.head + 1);
  const along = path(nodes[state.at]);
  if (!along.length) { lookTable.replaceChildren(make("p", { class: "hint" }, "Nothing is written yet.")); return; }
  const weights = (n) => {
    const heads = looks[n.look][state.layer];
    return state.head >= 0 ? heads[state.head] : heads[0].map((_, j) => heads.reduce((sum, h) => sum + h[j], 0) / heads.length);
  };
  const body = along.map((n) => make("tr", {}, make("th", { scope: "row" }, `${n.token} `, make("small", { class: "label" }, n.pinyin)),
    ...weights(n).map((w) => {
      const { css, ink } = colorAt(palette.sequential, w);
      return make("td", { style: `background:${css};color:${ink}` }, w.toFixed(2).replace(/^0/, ""));
    })));
  const title = make("h3", {}, `Cross-attention while “${along.map((n) => n.token).join(" ")}” was written`);
  lookTable.replaceChildren(title, make("table", {}, make("thead", {}, make("tr", {}, make("th", {}, ""), ...source.map((t) => make("th", { scope: "col" }, t)))), make("tbody", {}, ...body)));
}

tree.addEventListener("keydown", (event) => {
  const column = [...places.keys()].filter((id) => nodes[id].step === nodes[state.at].step), at = column.indexOf(state.at);
  const keys = { ArrowRight: () => go(state.step + 1), ArrowLeft: () => go(state.step - 1), Home: () => go(0), End: () => go(last),
    ArrowDown: () => point(column[Math.min(at + 1, column.length - 1)]), ArrowUp: () => point(column[Math.max(at - 1, 0)]) };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
go(0);
