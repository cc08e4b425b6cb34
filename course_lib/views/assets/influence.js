// data: source, reads, writes (tokens), edits ({side, place, to}), variants ({name, best, after: [{memory, outputs, best}]}).
const state = { edit: 1, variant: 0 };
const variants = choices("decoder", data.variants.map((v) => v.name), (i) => { state.variant = i; draw(); });
const tables = make("div", { class: "rows" }), verdict = make("p", { class: "verdict", "aria-live": "polite" });
const words = (places) => places.length ? places.join(", ") : "none";

function chip(side, place, text) {
  const index = data.edits.findIndex((e) => e.side === side && e.place === place), on = index === state.edit;
  return make("td", {}, make("button", { type: "button", class: on ? "edited" : null, "data-edit": index, "aria-pressed": null,
    "aria-label": `edit ${side} token ${place}, ${text}`, onclick: () => { state.edit = index; draw(); tables.querySelector(`[data-edit="${index}"]`).focus(); } },
    on ? `${text} → ${data.edits[index].to}` : text));
}
function change(x) {
  const td = make("td", {}), box = make("div", { class: "change" }, x === 0 ? "0" : x < 0.005 ? "< 0.01" : show(x, 2));
  const color = colorAt(palette.sequential, Math.min(1, x));
  box.style.background = color.css; box.style.color = color.ink;
  td.append(box);
  return td;
}
const row = (name, cells) => make("tr", {}, make("th", { scope: "row" }, name), ...cells);

function draw() {
  variants.press(state.variant);
  const variant = data.variants[state.variant], after = variant.after[state.edit], edit = data.edits[state.edit];
  const hit = (numbers) => numbers.map((x, i) => [x, i]).filter(([x]) => x > 0).map(([, i]) => i);
  tables.replaceChildren(
    make("table", {}, make("caption", {}, "Encoder"),
      row("source: click to edit", data.source.map((t, i) => chip("source", i, t))), row("its vector changes by", after.memory.map(change))),
    make("table", {}, make("caption", {}, "Decoder: the same target twice, read one place later than written"),
      row("place", data.reads.map((_, i) => make("td", {}, String(i)))),
      row("reads: click to edit", data.reads.map((t, i) => chip("target", i, t))), row("is to write", data.writes.map((t) => make("td", { class: "says" }, t))),
      row("its output changes by", after.outputs.map(change)),
      row("would write, before", variant.best.map((t) => make("td", { class: "says" }, t))),
      row("and after the edit", after.best.map((t, i) => make("td", { class: t === variant.best[i] ? "says" : "says other" }, t)))));
  const past = edit.side === "target" ? hit(after.outputs).filter((i) => i < edit.place) : [];
  verdict.textContent = `${edit.side === "source" ? "Source" : "Target"} token ${edit.place} edited. Encoder places that change: ${words(hit(after.memory))}. ` +
    `Decoder places that change: ${words(hit(after.outputs))}.` + (past.length ? ` The places ${words(past)} stand before the edit: they have seen what they are to write.` : "");
}
const hint = make("span", { class: "hint" }, "A change is the length of the difference, divided by the length before.");
view.append(make("div", { class: "bar" }, variants, hint), tables, verdict);
draw();
