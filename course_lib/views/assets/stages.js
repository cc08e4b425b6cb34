// data: rows, cols (tokens), query, key, value, scores, scaled, weights, output (matrices), allowed, masked, start, predict.
const { rows, cols } = data, features = data.query[0].length, root = Math.sqrt(features);
const limit = Math.max(...data.scores.flat().map(Math.abs), 1e-9);
const state = { row: data.start[0], col: data.start[1], revealed: new Set(), asked: 0, right: 0, verdict: null };
const known = (row) => !data.predict || state.revealed.has(row);
const signed = (x, most) => colorAt(palette.signed, 0.5 + 0.5 * x / most);
const full = (x) => (x === null ? "−∞" : String(x));
const paintCell = (td, { css, ink }) => { td.style.background = css; td.style.color = ink; };

// A number in a table cell: three decimals to read, all digits on hover.
function num(x, color = null, extra = {}) {
  const td = make("td", { title: full(x), ...extra }, show(x));
  if (x === null) td.classList.add("blocked"); else if (color) paintCell(td, color);
  return td;
}

// ---- the four maps -----------------------------------------------------------------------------------------------
const masked = (i, j) => data.allowed[i][j] ? data.scaled[i][j] : null;
const stages = [
  { title: "q · k", note: "how well query i and key j agree", at: (i, j) => data.scores[i][j] },
  { title: `÷ √d_k`, note: `d_k = ${features}, so every score ÷ ${show(root)}`, at: (i, j) => data.scaled[i][j] },
  { title: "mask", note: data.masked ? "what may not be seen becomes −∞" : "no mask: nothing changes", at: masked },
  { title: "softmax", note: "positive weights; every row sums to 1", at: (i, j) => data.weights[i][j], weights: true },
];
stages.forEach((stage, index) => {
  stage.cells = rows.map((_, i) => cols.map((_, j) => make("td", { onclick: () => open(i, j) })));
  stage.rowHeads = rows.map((t, i) => make("th", { scope: "row", title: `query ${i}: ${t}` }, t));
  stage.colHeads = cols.map((t, j) => make("th", { scope: "col", title: `key ${j}: ${t}` }, make("span", {}, t)));
  stage.lines = rows.map((_, i) => make("tr", {}, stage.rowHeads[i], ...stage.cells[i]));
  stage.table = make("table", { tabindex: 0, onkeydown: keys, "aria-label": `${stage.title}: rows are queries (who asks), columns are keys (who is asked); arrow keys open a cell` },
    make("thead", {}, make("tr", {}, make("td"), ...stage.colHeads)), make("tbody", {}, ...stage.lines));
  stage.element = make("section", { class: "stage" },
    make("h3", {}, make("b", {}, String(index + 1)), stage.title), make("p", {}, stage.note), stage.table);
});
function fill() {
  stages.forEach((stage) => stage.cells.forEach((line, i) => line.forEach((td, j) => {
    const x = stage.at(i, j), hidden = stage.weights && !known(i);
    td.textContent = hidden ? "?" : x === 0 ? "0" : show(x, Math.abs(x) < 10 ? 2 : 1);
    td.title = hidden ? "guess first" : full(x);
    td.classList.toggle("blocked", x === null);
    if (x !== null && !hidden) paintCell(td, stage.weights ? colorAt(palette.sequential, x) : signed(x, limit));
  })));
}

// ---- one cell, opened --------------------------------------------------------------------------------------------
const opened = make("div", { class: "opened" });
const title = make("h2", { "aria-live": "polite" });
const step = (n, name, note, ...content) => make("section", { class: "step" },
  make("h4", {}, `${n}  ${name}`, make("small", {}, note)), make("div", {}, ...content));
const line = (label, cells, attributes = {}) => make("tr", attributes, make("th", { scope: "row" }, label), ...cells);

function stepProduct(i, j) {
  const q = data.query[i], k = data.key[j], products = q.map((x, f) => x * k[f]);
  const most = Math.max(...products.map(Math.abs), 1e-9), chunks = [];
  for (let from = 0; from < features; from += 8) {
    const part = (values, color) => values.slice(from, from + 8).map((x) => num(x, color && color(x)));
    chunks.push(make("table", {},
      line("feature", q.slice(from, from + 8).map((_, f) => make("th", {}, String(from + f)))),
      line(`q${i}`, part(q)), line(`× k${j}`, part(k)), line("product", part(products, (x) => signed(x, most)))));
  }
  return step(1, "q · k", "multiply feature by feature, add up", make("div", { class: "features" }, ...chunks),
    equation(`sum of the ${features} products = `, data.scores[i][j]));
}
function equation(text, result) {
  return make("span", { class: "sum" }, text, make("b", { title: full(result) }, show(result)));
}
function stepScale(i, j) {
  return step(2, "÷ √d_k", "long vectors must not mean large scores",
    equation(`${show(data.scores[i][j])} ÷ √${features} = ${show(data.scores[i][j])} ÷ ${show(root)} = `, data.scaled[i][j]));
}
function stepMask(i, j) {
  return step(3, "mask", data.masked ? "True: may attend" : "there is none", data.allowed[i][j]
    ? equation(`query ${i} may attend to key ${j}: the score stays `, data.scaled[i][j])
    : equation(`query ${i} may not attend to key ${j}: the score becomes `, null));
}
function stepSoftmax(i, j) {
  const row = cols.map((_, c) => masked(i, c)), largest = Math.max(...row.filter((x) => x !== null));
  const powers = row.map((x) => x === null ? 0 : Math.exp(x - largest)), total = powers.reduce((a, b) => a + b, 0);
  if (total === 0) return step(4, "softmax", `over the keys of query ${i}`,
    "This query may attend to no key at all: its weights are zeros, and so is its output.");
  const on = (c) => (c === j ? { class: "on" } : {}), cells = (values, color) => values.map((x, c) => num(x, color && color(x), on(c)));
  return step(4, "softmax", `over the keys of query ${i}; − ${show(largest)} keeps exp small and cancels out`.replace("− −", "+ "), make("table", {},
    line("key", cols.map((t, c) => make("th", {}, `${c} ${t}`))),
    line("score", cells(row)),
    line(`exp(score − ${show(largest)})`.replace("− −", "+ "), [...cells(powers), make("td", {}, `sum ${show(total)}`)]),
    line(`÷ ${show(total)}`, [...cells(data.weights[i], (x) => colorAt(palette.sequential, x)), make("td", {}, "sum 1.000")])),
    equation(`exp(${show(row[j])} − ${show(largest)}) ÷ ${show(total)} = ${show(powers[j])} ÷ ${show(total)} = weight `.replace("− −", "+ "), data.weights[i][j]));
}
function stepValues(i, j) {
  const width = data.value[0].length, most = Math.max(...data.value.flat().map(Math.abs), 1e-9);
  const lines = cols.map((t, c) => {
    const w = data.weights[i][c], bar = make("i");
    bar.style.width = `${Math.round(70 * w)}px`;
    const cells = data.value[c].map((x) => num(w * x, signed(w * x, most)));
    return line(`${c} ${t}`, [make("td", { class: "bar-cell", title: full(w) }, bar, ` ${show(w)} × v${c} =`), ...cells], c === j ? { class: "on" } : {});
  });
  const sum = line("output", [make("td", { class: "bar-cell" }, `of query ${i}: sum =`), ...data.output[i].map((x) => num(x, signed(x, most)))], { class: "total" });
  return step(5, "× values", `what query ${i} takes with it`, make("table", {},
    line("key", [make("th", { class: "bar-cell" }, "weight"), ...Array.from({ length: width }, (_, f) => make("th", {}, `feature ${f}`))]), ...lines, sum));
}
const guesses = [["exactly 0", (w) => w === 0], ["under 0.1", (w) => w > 0 && w < 0.1], ["0.1 to 0.3", (w) => w >= 0.1 && w < 0.3],
  ["0.3 to 0.6", (w) => w >= 0.3 && w < 0.6], ["0.6 or more", (w) => w >= 0.6]];
function stepGuess(i, j) {
  const scores = make("table", {}, line("key", cols.map((t, c) => make("th", {}, `${c} ${t}`))),
    line("score", cols.map((_, c) => num(masked(i, c), null, c === j ? { class: "on" } : {}))));
  const buttons = guesses.map(([name, holds]) => make("button", { type: "button", onclick: () => {
    const right = holds(data.weights[i][j]);
    state.asked += 1; state.right += right; state.revealed.add(i);
    state.verdict = make("p", { class: right ? "right" : "wrong" }, `You said ${name}; it is ${show(data.weights[i][j])}${right ? ". Right!" : "."} ` +
      `(${state.right} of ${state.asked} right so far)`);
    fill(); open(i, j);
  } }, name));
  return step(4, "softmax", "your guess first", scores, make("p", { class: "ask" },
    `Which weight will query ${i} “${rows[i]}” give to key ${j} “${cols[j]}”? `, ...buttons));
}

function open(i, j) {
  stages.forEach((stage) => {
    const { row, col } = state;
    for (const [set, on] of [[[stage.cells[row][col], stage.lines[row], stage.rowHeads[row], stage.colHeads[col]], false],
      [[stage.cells[i][j], stage.lines[i], stage.rowHeads[i], stage.colHeads[j]], true]]) set.forEach((e) => e.classList.toggle("on", on));
  });
  if (state.row !== i || state.col !== j) state.verdict = state.verdict && null;
  state.row = i; state.col = j;
  const weight = known(i) ? `weight ${show(data.weights[i][j])}` : "what will the weight be?";
  title.textContent = `query ${i} “${rows[i]}” asks key ${j} “${cols[j]}”: ${weight}`;
  const rest = known(i) ? [...(state.verdict ? [state.verdict] : []), stepSoftmax(i, j), stepValues(i, j)] : [stepGuess(i, j)];
  opened.replaceChildren(title, stepProduct(i, j), stepScale(i, j), stepMask(i, j), ...rest);
}
function keys(event) {
  const [di, dj] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [0, 0];
  if (!di && !dj) return;
  event.preventDefault();
  open(clamp(state.row + di, 0, rows.length - 1), clamp(state.col + dj, 0, cols.length - 1));
}

const legend = make("span", { class: "legend" }, `scores −${limit.toFixed(1)} `, make("i"), ` ${limit.toFixed(1)} \u00a0 weights 0 `, make("i"), " 1");
[palette.signed, palette.sequential].forEach((stops, n) => { legend.querySelectorAll("i")[n].style.background = gradient(stops); });
const hint = make("span", { class: "hint" });
hint.innerHTML = "Click a cell, or use <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd> in a map, to open it. Rows: query i, who asks. Columns: key j, who is asked.";
const strip = make("div", { class: "stages" }, ...stages.map((s) => s.element));
view.append(make("div", { class: "bar" }, hint, legend), strip, opened);
// Four maps in a row where their numbers stay legible, else two, else one. Long tokens stand aslant.
const widest = (tokens) => Math.max(...tokens.map((t) => measure(t, "bold 12px system-ui, sans-serif")));
const heads = Math.min(84, widest(rows)) + 10, tall = Math.min(90, widest(cols));
const gap = (inRow) => (inRow === 4 ? 12 : 28);
const cellFor = (inRow) => Math.floor(((strip.clientWidth - gap(inRow) * (inRow - 1)) / inRow - heads - 6) / cols.length);
new ResizeObserver(() => {
  const inRow = [4, 2, 1].find((n) => cellFor(n) >= 31) || 1, cell = clamp(cellFor(inRow), 31, 46), slanted = tall > cell - 4;
  strip.style.gridTemplateColumns = `repeat(${inRow}, auto)`;
  strip.style.columnGap = `${gap(inRow)}px`;
  strip.classList.toggle("slanted", slanted);
  for (const [name, value] of [["cell", cell], ["heads", heads], ["table", heads + cols.length * cell],
    ["font", cell < 34 ? 10 : cell < 40 ? 10.5 : 12], ["tall", tall * 0.77 + 16]]) strip.style.setProperty(`--${name}`, `${value}px`);
}).observe(strip);
fill();
open(state.row, state.col);
