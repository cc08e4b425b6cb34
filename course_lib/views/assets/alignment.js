// data: source, target (tokens), weights (rows: target), gold (pairs [target, source]), predict.
const { source, target, weights } = data, last = target.length;
const gold = new Set(data.gold.map(([t, s]) => `${t} ${s}`)), BAR = 84;
const state = { step: data.predict ? 0 : 1, asked: 0, right: 0, guesses: new Map() }; // step: rows that are shown

const percent = (w) => `${Math.round(100 * w)}%`;
const best = (t) => weights[t].indexOf(Math.max(...weights[t]));
const name = (s) => `${s + 1} “${source[s]}”`;

// ---- the parts ---------------------------------------------------------------------------------------------------
const back = make("button", { type: "button", onclick: () => go(state.step - 1) }, "◀ back");
const next = make("button", { type: "button", onclick: () => go(state.step + 1) });
const all = make("button", { type: "button", onclick: () => go(last) }, "all");
const again = make("button", { type: "button", onclick: () => { state.guesses.clear(); state.asked = state.right = 0; go(data.predict ? 0 : 1); } }, "from the start");
const message = make("p", { class: data.predict ? "message predicts" : "message", "aria-live": "polite" });
const bars = source.map(() => ({ fill: make("i"), number: make("b") }));
const barCells = bars.map(({ fill, number }, s) => make("td", {}, make("button", { type: "button", class: "column", title: `source ${name(s)}`, onclick: () => guess(s) }, number, fill)));
const heads = source.map((token, s) => make("th", { scope: "col", title: name(s) }, token));
const rows = target.map((token, t) => {
  const cells = weights[t].map((w, s) => {
    const { css, ink } = colorAt(palette.sequential, w);
    const td = make("td", { title: `${target[t]} ← ${name(s)}: ${w}`, class: gold.has(`${t} ${s}`) ? "gold" : "" }, w < 0.005 ? "" : show(w, 2).replace(/^0/, ""));
    td.style.background = css; td.style.color = ink;
    return td;
  });
  return { element: make("tr", {}, make("th", { scope: "row", onclick: () => t < state.step && go(t + 1) }, token), ...cells), cells };
});
const barHead = make("th", { scope: "row", class: "what" }, "weight");
const table = make("table", { "aria-label": "columns are source tokens, rows the tokens that have been written; a cell is a weight" },
  make("tbody", {}, make("tr", { class: "bars" }, barHead, ...barCells), make("tr", { class: "source" }, make("th", { scope: "row", class: "what" }, "read"), ...heads)),
  make("tbody", {}, ...rows.map((row) => row.element)));
const shell = make("div", { class: "shell", tabindex: 0, onkeydown: keys, "aria-label": "arrow right: the next token, arrow left: back" }, table);

// ---- what happens ------------------------------------------------------------------------------------------------
const waiting = () => data.predict && state.step < last;

function guess(s) {
  if (!waiting()) return;
  const t = state.step;
  if (!state.guesses.has(t)) { // a row that was seen before is not asked again
    state.guesses.set(t, s);
    state.asked += 1; state.right += s === best(t);
  }
  go(t + 1);
}
function summary(t) {
  const order = weights[t].map((w, s) => [w, s]).filter(([w]) => w >= 0.005).sort((a, b) => b[0] - a[0]);
  const terms = order.slice(0, 3).map(([w, s]) => `${show(w, 2)} · h${s + 1}`).join(" + ");
  return `context = ${terms}${order.length > 3 ? " + …" : ""}`;
}
function verdict(t) {
  if (!state.guesses.has(t)) return "";
  const s = state.guesses.get(t), score = `${state.right} of ${state.asked} guesses right`;
  return s === best(t) ? `✓ You said so. (${score}.) ` : `✗ You said ${name(s)}, which gets ${percent(weights[t][s])}. (${score}.) `;
}
function go(step) {
  state.step = clamp(step, data.predict ? 0 : 1, last);
  const t = state.step - 1, shown = t >= 0 ? weights[t] : source.map(() => 0);
  bars.forEach(({ fill, number }, s) => {
    fill.style.height = `${Math.round(BAR * shown[s])}px`;
    number.textContent = shown[s] >= 0.005 ? show(shown[s], 2).replace(/^0/, "") : "";
    barCells[s].classList.toggle("largest", t >= 0 && s === best(t));
    heads[s].classList.toggle("on", t >= 0 && s === best(t));
  });
  rows.forEach(({ element }, i) => {
    element.classList.toggle("ahead", i > t);
    element.classList.toggle("on", i === t);
  });
  table.classList.toggle("asks", waiting());
  back.disabled = state.step <= (data.predict ? 0 : 1); next.disabled = all.disabled = state.step === last;
  next.textContent = data.predict ? "show without a guess ▶" : "next token ▶";
  const said = t < 0 ? [] : [make("span", { class: state.guesses.get(t) === best(t) ? "right" : "wrong" }, verdict(t)),
    make("b", {}, `“${target[t]}”`), ` took most from ${name(best(t))}: ${percent(weights[t][best(t)])}. `, make("code", {}, summary(t))];
  const ask = waiting() ? [make("span", { class: "ask" }, `Your guess: where does the model look before it writes token ${state.step + 1}, “${target[state.step]}”? Click a column.`)] : [];
  message.replaceChildren(make("span", {}, ...said), ...(said.length && ask.length ? [make("br")] : []), ...ask);
  if (!waiting() && data.predict && state.asked) message.append(make("br"), `Done: ${state.right} of ${state.asked} guesses right.`);
}
function keys(event) {
  const to = { ArrowRight: state.step + 1, ArrowLeft: state.step - 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  go(to);
}

const legend = make("span", { class: "legend" }, "weight 0 ", make("i"), " 1", gold.size ? make("span", { class: "key" }, "known alignment") : "");
legend.querySelector("i").style.background = gradient(palette.sequential);
const hint = make("p", { class: "hint" });
hint.innerHTML = "<kbd>→</kbd> <kbd>←</kbd> in the table step, too. Click the name of a row to go back to it.";
view.append(make("div", { class: "bar" }, make("span", { role: "group", "aria-label": "steps" }, back, next, all, again), legend), message, shell, hint);

// Columns as wide as the page allows; long tokens stand aslant.
const widest = (tokens) => Math.max(...tokens.map((t) => measure(t, "bold 13px system-ui, sans-serif")));
const side = Math.max(widest(target) + 14, 52), tall = widest(source);
new ResizeObserver(() => {
  const cell = clamp(Math.floor((shell.clientWidth - side - 8) / source.length), 30, 58), slanted = tall > cell - 4;
  shell.style.setProperty("--cell", `${cell}px`); shell.style.setProperty("--side", `${side}px`);
  shell.style.setProperty("--tall", `${Math.min(Math.ceil(0.75 * tall) + 16, 90)}px`);
  table.classList.toggle("slanted", slanted);
  heads.forEach((th, s) => th.replaceChildren(slanted ? make("span", {}, source[s]) : source[s]));
}).observe(shell);
go(state.step);
