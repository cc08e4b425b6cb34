// data: choices [{label, names, slider}], frames [{rows, cols, panels: [{title, values, signed, limit, digits}], gold [[row, col]],
// said: [line]}] in the order of the choices, the last running fastest; start [index of each choice].
const state = { at: [...data.start], row: 0, col: 0 };
const number = (at) => at.reduce((n, index, k) => n * data.choices[k].names.length + index, 0);
const frame = () => data.frames[number(state.at)];
const clip = (token) => token.length > 14 ? token.slice(0, 13) + "…" : token;

// ---- the page ----------------------------------------------------------------------------------------------------
const controls = data.choices.map((choice, k) => {
  const go = (index) => set(k, index);
  if (!choice.slider) return choices(choice.label, choice.names, go);
  const input = make("input", { type: "range", min: 0, max: choice.names.length - 1, "aria-label": choice.label,
    oninput: () => go(Number(input.value)) });
  const shown = make("b", { class: "now" });
  const group = make("span", {}, make("span", { class: "label" }, choice.label), input, shown);
  group.press = (index) => {
    input.value = index; shown.textContent = choice.names[index];
    input.setAttribute("aria-valuetext", choice.names[index]);
  };
  return group;
});
const said = make("div", { class: "said", "aria-live": "polite" });
const panels = make("div", { class: "panels" });
const reading = make("p", { class: "reading", "aria-live": "polite" });
const hint = make("p", { class: "hint" });
hint.innerHTML = data.hint + " · point at a cell, or click a map and use <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd>";
view.append(make("div", { class: "bar" }, ...controls), said, panels, reading, hint);

// ---- drawing -----------------------------------------------------------------------------------------------------
let tables = [], shape = "";
function build() {  // new tables only where the words have changed
  const { rows, cols, panels: shown } = frame(), now = JSON.stringify([rows, cols, shown.length]);
  if (now === shape) return;
  shape = now;
  state.row = Math.min(state.row, rows.length - 1); state.col = Math.min(state.col, cols.length - 1);
  const tall = Math.max(...cols.map((t) => measure(clip(t), "bold 13px system-ui, sans-serif"))) + 14;
  tables = shown.map((_, k) => {
    const title = make("h3"), heads = cols.map((t) => make("th", { scope: "col" }, make("span", {}, clip(t))));
    const corner = make("td", { class: "corner" }), cells = [], names = [];
    const body = rows.map((t, i) => {
      names.push(make("th", { scope: "row" }, clip(t)));
      cells.push(cols.map((_, j) => make("td", { "data-at": `${i},${j}` })));
      return make("tr", {}, names[i], ...cells[i]);
    });
    const head = make("tr", {}, corner, ...heads);
    head.style.height = `${tall}px`;
    const table = make("table", { tabindex: 0, "aria-label": "map; arrow keys move" }, make("thead", {}, head), make("tbody", {}, ...body));
    const pointed = (event) => {
      const at = event.target.closest("td[data-at]");
      if (at) point(...at.dataset.at.split(",").map(Number));
    };
    table.addEventListener("pointermove", pointed); table.addEventListener("pointerdown", pointed);
    table.addEventListener("keydown", keys);
    const legend = make("span", { class: "scale" });
    return { section: make("section", {}, title, table, legend), title, heads, names, cells, legend };
  });
  panels.replaceChildren(...tables.map((table) => table.section));
}

function draw() {
  build();
  controls.forEach((control, k) => control.press(state.at[k]));
  const { panels: shown, gold, said: lines } = frame();
  said.replaceChildren(...lines.map((line) => make("p", {}, line)));
  shown.forEach(({ title, values, signed, limit, digits }, k) => {
    const table = tables[k], stops = signed ? palette.signed : palette.sequential;
    table.title.textContent = title;
    table.legend.replaceChildren(signed ? show(-limit, digits) : "0", make("i"), show(limit, signed ? digits : 0));
    table.legend.querySelector("i").style.background = gradient(stops);
    values.forEach((line, i) => {
      const best = line.indexOf(Math.max(...line));
      line.forEach((x, j) => {
        const cell = table.cells[i][j], { css, ink } = colorAt(stops, signed ? (x / limit + 1) / 2 : x / limit);
        cell.style.background = css; cell.style.color = ink;
        cell.textContent = signed ? show(x, digits) : x < 0.005 ? "0" : x.toFixed(2).replace(/^0/, "");
        cell.classList.toggle("best", j === best);
        cell.classList.toggle("gold", gold.some(([r, c]) => r === i && c === j));
      });
    });
  });
  point(state.row, state.col);
}

function point(row, col) {
  const old = state, { rows, cols, panels: shown, gold } = frame();
  for (const { heads, names, cells } of tables) {
    names[old.row]?.classList.remove("on"); heads[old.col]?.classList.remove("on"); cells[old.row]?.[old.col]?.classList.remove("on");
    names[row].classList.add("on"); heads[col].classList.add("on"); cells[row][col].classList.add("on");
  }
  state.row = row; state.col = col;
  const numbers = shown.flatMap(({ title, values, signed }) => [`${title}: `, make("b", {}, show(values[row][col], 3)), "; "]);
  const aligned = gold.length ? [gold.some(([r, c]) => r === row && c === col) ? "; aligned" : "; not aligned"] : [];
  reading.replaceChildren(`“${rows[row]}” and “${cols[col]}”: `, ...numbers.slice(0, -1), ...aligned);
}

function set(k, index) { state.at[k] = index; draw(); }

function keys(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const { rows, cols } = frame(), { row, col } = state;
  const move = {
    ArrowUp: [Math.max(row - 1, 0), col], ArrowDown: [Math.min(row + 1, rows.length - 1), col],
    ArrowLeft: [row, Math.max(col - 1, 0)], ArrowRight: [row, Math.min(col + 1, cols.length - 1)],
  }[event.key];
  if (move) { event.preventDefault(); point(...move); }
}
draw();
