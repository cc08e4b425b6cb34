// data: corpus, sentence, marker, predict, limit, mark, specials, most.
const PAIRS = 6, WORDS = 24;
const state = { marker: data.marker, predict: data.predict, step: 0, guess: null, asked: 0, right: 0 };
let steps = [], characters = []; // steps[k]: words, pairs and number of tokens after k merges

// ---- the algorithm: course_lib/tokenizer.py, once more -----------------------------------------------------------
function compareText(a, b) { // by code points, as Python does
  const x = Array.from(a, (c) => c.codePointAt(0)), y = Array.from(b, (c) => c.codePointAt(0));
  for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return x[i] - y[i];
  return x.length - y.length;
}
const wordsOf = (text) => text.split(/\s+/).filter(Boolean).map((word) => (state.marker ? data.mark : "") + word);
function rankedPairs(words) {
  const counts = new Map();
  for (const { symbols, count } of words) {
    for (let i = 0; i + 1 < symbols.length; i++) {
      const key = symbols[i] + "\n" + symbols[i + 1]; // no symbol holds a line break
      counts.set(key, (counts.get(key) || 0) + count);
    }
  }
  const pairs = Array.from(counts, ([key, count]) => ({ left: key.split("\n")[0], right: key.split("\n")[1], count }));
  return pairs.sort((p, q) => q.count - p.count || compareText(p.left, q.left) || compareText(p.right, q.right));
}
function merge(symbols, { left, right }) {
  const merged = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) { merged.push(left + right); i++; } else merged.push(symbols[i]);
  }
  return merged.length === symbols.length ? symbols : merged;
}
function train(text) {
  const counts = new Map();
  for (const word of wordsOf(text)) counts.set(word, (counts.get(word) || 0) + 1);
  let words = Array.from(counts, ([word, count]) => ({ symbols: Array.from(word), count }));
  words.sort((a, b) => b.count - a.count);
  characters = [...new Set(words.flatMap(({ symbols }) => symbols))].sort(compareText);
  steps = [];
  for (;;) {
    const pairs = rankedPairs(words);
    steps.push({ words, pairs, tokens: words.reduce((sum, { symbols, count }) => sum + symbols.length * count, 0) });
    if (!pairs.length || pairs[0].count < 2 || steps.length > data.limit) break;
    words = words.map(({ symbols, count }) => ({ symbols: merge(symbols, pairs[0]), count }));
  }
  state.total = words.reduce((sum, { count }) => sum + count, 0);
}
const last = () => steps.length - 1;
const mergeAt = (k) => steps[k].pairs[0];
function cut(word, k) { // the pair of lowest rank first, among the first k merges
  const ranks = new Map();
  for (let i = 0; i < k; i++) ranks.set(mergeAt(i).left + "\n" + mergeAt(i).right, i);
  let symbols = Array.from(word);
  for (;;) {
    let best = Infinity;
    for (let i = 0; i + 1 < symbols.length; i++) best = Math.min(best, ranks.get(symbols[i] + "\n" + symbols[i + 1]) ?? Infinity);
    if (best === Infinity) return symbols;
    symbols = merge(symbols, mergeAt(best));
  }
}
function idOf(piece, k) {
  const first = data.specials.length, at = characters.indexOf(piece);
  if (at >= 0) return first + at;
  for (let i = 0; i < k; i++) if (mergeAt(i).left + mergeAt(i).right === piece) return first + characters.length + i;
  return first - 1; // [UNK], the last of the special tokens
}

// ---- what is shown ---------------------------------------------------------------------------------------------------
const spoken = (pair) => `${pair.left} + ${pair.right}`;
const piece = (text, extra = {}, ...more) => make("span", { class: "piece", ...extra }, text, ...more);
const numbers = make("p", { class: "numbers", "aria-live": "polite" });
const wordsBox = make("div", { class: "words" });
const pairsBox = make("div", { class: "pairs" });
const learned = make("div", { class: "learned" });
const pieces = make("div", { class: "pieces", "aria-live": "polite" });
const summary = make("p", { class: "hint" });
const slider = make("input", { type: "range", min: 0, value: 0, "aria-label": "number of merges", oninput: () => go(Number(slider.value)) });
const back = make("button", { type: "button", onclick: () => go(state.step - 1) }, "◀ back");
const next = make("button", { type: "button", onclick: () => go(state.step + 1) }, "merge ▶");
const place = make("span", { class: "place" });
const predicting = choices("pairs", ["guess first", "show counts"], (i) => { state.predict = i === 0; state.guess = null; draw(); });
const marking = choices("word begins", ["not marked", `with ${data.mark}`], (i) => { state.marker = i === 1; restart(); });
const sentence = make("input", { type: "text", class: "sentence", value: data.sentence, maxlength: 300, "aria-label": "a sentence to cut", oninput: drawSentence });
const corpus = make("textarea", { rows: 4, maxlength: data.most, "aria-label": "the corpus", oninput: () => restart() });
corpus.value = data.corpus;

function go(step) {
  state.step = clamp(step, 0, last());
  state.guess = null;
  draw();
}
function restart() { train(corpus.value); go(0); }

function drawWords({ words }) {
  const fresh = state.step ? mergeAt(state.step - 1).left + mergeAt(state.step - 1).right : null;
  wordsBox.replaceChildren(...words.slice(0, WORDS).map(({ symbols, count }) => make("span", { class: "word" },
    ...symbols.map((s) => piece(s, s === fresh ? { class: "piece fresh" } : {})), make("small", {}, `×${count}`))));
  if (words.length > WORDS) wordsBox.append(make("small", { class: "label" }, `and ${words.length - WORDS} more words`));
}
function drawPairs({ pairs }) {
  if (state.step === last()) {
    const why = !pairs.length ? "every word is one piece" : pairs[0].count < 2 ? "no pair occurs twice" : `the limit of ${data.limit} merges is reached`;
    pairsBox.replaceChildren(make("p", {}, `Training ends here: ${why}.`));
    return;
  }
  const top = pairs.slice(0, PAIRS), best = top[0];
  if (state.predict && state.guess === null && top.length > 1) {
    const shuffled = [...top].sort((p, q) => compareText(p.left, q.left) || compareText(p.right, q.right));
    pairsBox.replaceChildren(make("p", {}, "Which pair is merged next? Count in the words, then choose:"),
      make("div", { class: "guesses" }, ...shuffled.map((pair) => make("button", { type: "button", onclick: () => {
        state.guess = pair; state.asked += 1; state.right += pair === best;
        draw(); next.focus();
      } }, spoken(pair)))));
    return;
  }
  const rows = top.map((pair, i) => {
    const bar = make("i");
    bar.style.width = `${Math.round(110 * pair.count / best.count)}px`;
    return make("tr", { class: i === 0 ? "best" : pair === state.guess ? "chosen" : "" }, make("td", {}, i === 0 ? "▶" : ""),
      make("td", {}, piece(pair.left), " ", piece(pair.right)), make("td", { class: "count" }, bar, ` ${pair.count}`));
  });
  const tied = pairs.filter((pair) => pair.count === best.count).length;
  const said = state.guess === null ? "" : state.guess === best ? `✓ Right. (${state.right} of ${state.asked} so far.) `
    : `✗ ${spoken(state.guess)} occurs ${state.guess.count} times, ${spoken(best)} ${best.count} times. (${state.right} of ${state.asked} right so far.) `;
  const tie = tied > 1 ? `${tied} pairs occur ${best.count} times: the smallest goes first.` : "";
  pairsBox.replaceChildren(make("table", {}, ...rows), make("p", { class: "verdict", role: "status" }, said + tie));
}
function drawLearned() {
  const from = Math.max(0, state.step - 14);
  const chips = Array.from({ length: state.step - from }, (_, i) => make("span", { class: "merge" },
    make("small", {}, `${from + i}`), ` ${spoken(mergeAt(from + i))}`));
  learned.replaceChildren(make("span", { class: "label" }, state.step ? `merges, by rank${from ? ` (the last 14 of ${state.step})` : ""}: ` : "no merge yet: every character is a token"), ...chips);
}
function drawSentence() {
  const words = wordsOf(sentence.value), k = state.step;
  let count = 0, unknown = 0;
  pieces.replaceChildren(...words.map((word) => make("span", { class: "word" }, ...cut(word, k).map((text) => {
    const id = idOf(text, k), known = id >= data.specials.length;
    count += 1; unknown += !known;
    return piece(text, { class: `piece ${known ? "" : "unknown"}`, title: known ? `id ${id}` : data.specials.at(-1) }, make("small", {}, String(id)));
  }))));
  const plural = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  summary.textContent = words.length ? `${plural(words.length, "word")}, ${plural(count, "token")}: ${(count / words.length).toFixed(2)} a word` +
    (unknown ? `; ${plural(unknown, "character")} not in the corpus: ${data.specials.at(-1)}, id ${data.specials.length - 1}` : "") : "Type a sentence.";
}
function draw() {
  const now = steps[state.step];
  slider.max = last(); slider.value = state.step;
  back.disabled = state.step === 0; next.disabled = state.step === last();
  place.textContent = `merge ${state.step} of ${last()}`;
  predicting.press(state.predict ? 0 : 1); marking.press(state.marker ? 1 : 0);
  const vocabulary = characters.length + state.step;
  numbers.replaceChildren("Vocabulary: ", make("b", {}, String(vocabulary)), ` = ${characters.length} characters + ${state.step} merges (and ${data.specials.length} special tokens). Corpus: `,
    make("b", {}, String(now.tokens)), " tokens, ", make("b", {}, state.total ? (now.tokens / state.total).toFixed(2) : "0"), " a word.");
  drawWords(now); drawPairs(now); drawLearned(); drawSentence();
}

view.append(make("div", { class: "bar" }, back, next, slider, place, predicting, marking), numbers,
  make("div", { class: "columns" }, make("section", {}, make("h3", {}, "The corpus, as cut now"), wordsBox),
    make("section", {}, make("h3", {}, "The most frequent pairs"), pairsBox)), learned,
  make("section", { class: "own" }, make("h3", {}, "Your sentence, with the merges so far"), sentence, pieces, summary),
  make("details", {}, make("summary", {}, "Learn from another corpus: type or paste it here"), corpus));
restart();
