// data: question, why, picture (HTML); options ([{text, remark}], or null where a number is asked for), answer (index or
// number), within, unit.
const html = (tag, attributes, content) => { const e = make(tag, attributes); e.innerHTML = content; return e; };
const unit = data.unit === "%" ? "%" : data.unit ? ` ${data.unit}` : "";
let chosen = null; // the index of an option, or a number

const commit = make("button", { type: "button", class: "commit", disabled: "", onclick: reveal }, "Commit");
const hint = make("span", { class: "hint" });
const result = make("div", { class: "result", role: "status", "aria-live": "polite", tabindex: -1 });
const onEnter = (event) => { if (event.key === "Enter") { event.preventDefault(); reveal(); } };
const choose = (value) => { chosen = value; commit.disabled = value === null; };

const inputs = [];
function optionLine({ text }, i) {
  const input = make("input", { type: "radio", name: "option", onchange: () => choose(i), onkeydown: onEnter });
  inputs.push(input);
  return make("label", { class: "option" }, input, html("span", {}, text), make("span", { class: "mark" }));
}
// "1,024", "0,5" and "−3" are numbers, too; null where there is none.
function parse(text) {
  const plain = text.replace(/[\s_]/g, "").replace("−", "-");
  const grouped = /^-?\d{1,3}(,\d{3})+(\.\d+)?$/.test(plain);
  const number = Number(grouped ? plain.replaceAll(",", "") : plain.replace(",", "."));
  return plain && Number.isFinite(number) ? number : null;
}
function numberLine() {
  const input = make("input", { type: "text", inputmode: "decimal", "aria-label": "your prediction, a number",
    autocomplete: "off", oninput: () => {
      choose(parse(input.value));
      hint.textContent = input.value && chosen === null ? "a number, please: 12, 0.5 or 1e6" : "";
    }, onkeydown: onEnter });
  inputs.push(input);
  return make("div", {}, input, unit);
}
const lines = data.options ? data.options.map(optionLine) : [numberLine()];

function reveal() {
  if (chosen === null || commit.hidden) return;
  const right = data.options ? chosen === data.answer : Math.abs(chosen - data.answer) <= data.within + 1e-12;
  if (data.options) lines.forEach((line, i) => {
    line.classList.toggle("right", i === data.answer);
    line.classList.toggle("chosen", i === chosen);
    line.querySelector(".mark").textContent = [i === chosen ? "your answer" : "", i === data.answer ? "✓ right" : i === chosen ? "✗" : ""]
      .filter(Boolean).join(" ");
  });
  inputs.forEach((input) => { input.disabled = true; });
  view.classList.add("committed");
  commit.hidden = true; hint.hidden = true;
  const shown = (x) => x.toLocaleString("en", { maximumSignificantDigits: 6 }).replace("-", "−") + unit;
  const verdict = data.options ? (right ? "✓ Right." : "✗ Not quite.")
    : right ? `✓ Right: ${shown(data.answer)}.` : `✗ You said ${shown(chosen)}; it is ${shown(data.answer)}.`;
  const remark = data.options && !right && data.options[chosen].remark;
  result.append(make("p", { class: `verdict ${right ? "right" : "wrong"}` }, verdict));
  if (remark) result.append(html("p", {}, remark));
  result.append(html("p", {}, data.why));
  if (data.picture) result.append(html("div", { class: "picture" }, data.picture));
  result.hidden = false;
  result.focus({ preventScroll: true });
}

result.hidden = true;
view.append(make("fieldset", {}, html("legend", {}, `<p class="tag">Predict first</p>${data.question}`), ...lines),
  make("div", { class: "bar" }, commit, hint), result);
