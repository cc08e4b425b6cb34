"""How a sentence is written: the tree of a beam search with its attention, and the distribution that is drawn from."""

import html
import math

import ipywidgets as widgets
import torch

from course_lib.corpora.grammar import pinyin
from course_lib.decoding import beam_search, greedy_decode
from course_lib.errors import CourseError
from course_lib.recording import record_attention

from .attention import by_kind
from .figures import View, say, slider, text
from .frames import page, rounded, significant

SHOWN_DROPPED = 6  # extensions that just missed the beam, beside those that were kept
LONGEST = 24  # tokens written: more columns than anybody steps through


def grow(translator, sentence, beam_size):
    """Runs a beam search, up to a few tokens more than the source has, and keeps how it grew.

    Returns a dict: `source`, its tokens; `nodes`, the root and then the extensions that were compared (of those that
    were dropped, the best), as dicts with `parent` (index), `step`, `token`, `pinyin`, `p` (of the token), `sum` (log p
    of all), `kept`, `ended`, and `look`, an index into `looks`: lists [layer][head][source] of cross-attention weights
    while the token was predicted.

    Raises CourseError where the translator cannot read the sentence.
    """
    tokenizer, look_up = translator.tokenizer, translator.step(sentence)
    source = translator.encode(sentence)
    nodes, place, looks, look_of = [{"parent": None, "step": 0, "token": "[BOS]", "sum": 0.0}], {(): 0}, [], {}

    def step(ids):
        with record_attention(translator.model) as maps:
            logits = look_up(ids)
        look_of[tuple(ids[1:])] = len(looks)
        looks.append([rounded(weights[:, -1], 3) for weights in by_kind(maps)["cross"].values()])
        return logits

    def observe(extensions, kept):
        for rank, (log_p, ids) in enumerate(extensions[: beam_size + SHOWN_DROPPED]):
            before, token = tuple(ids[:-1]), tokenizer.token(ids[-1])
            parent = nodes[place[before]]
            nodes.append({
                "parent": place[before], "step": len(ids), "token": token, "pinyin": _reading(token),
                "p": round(math.exp(log_p - parent["sum"]), 4), "sum": round(log_p, 6),
                "kept": rank < len(kept), "ended": ids[-1] == tokenizer.eos_id, "look": look_of[before],
            })  # fmt: skip
            place[tuple(ids)] = len(nodes) - 1

    max_len = min(len(source) + 5, LONGEST)
    beam_search(step, tokenizer.bos_id, tokenizer.eos_id, beam_size, max_len, 1.0, observe)
    return {"source": [tokenizer.token(i) for i in source], "nodes": nodes, "looks": looks}


def beam_tree(translator, sentence, beam_size=3, length_penalty=1.0):
    """Shows the tree of one beam search, to be grown step by step; a page that needs no kernel.

    Point at a word to see what its hypothesis looked at while it was written. When the search is over the learner says
    which hypothesis wins, then the scores show; the length penalty can be moved.
    """
    data = grow(translator, sentence, beam_size) | {"beam": beam_size, "penalty": length_penalty}
    alt = f"A beam search with {beam_size} places for a translation of “{sentence}”, to be grown step by step."
    return page("beam", data, alt=alt, height=330 + 40 * beam_size)


def beam_explorer(translator, sentence, beam_size=3, length_penalty=1.0):
    """A sentence of one's own, the size of the beam, and the tree that the search grows (`beam_tree`).

    Returns a `View`.
    """
    controls = {
        "sentence": _sentence_box(sentence),
        "beam_size": slider(widgets.IntSlider, "beam size", beam_size, min=1, max=6),
    }

    def show(sentence, beam_size):
        return beam_tree(translator, sentence, beam_size, length_penalty)

    return _page_view("Beam search, step by step", translator, controls, show)


def next_words(translator, sentence, max_len=20):
    """The model's logits for each word of its greedy translation: (ids with the end token, logits [T, V])."""
    tokenizer, look_up, rows = translator.tokenizer, translator.step(sentence), []

    def step(ids):
        rows.append(look_up(ids))
        return rows[-1]

    return greedy_decode(step, tokenizer.bos_id, tokenizer.eos_id, max_len), torch.stack(rows)


def sampling_bars(translator, sentence, position=None):
    """Shows the distributions that the words of a translation are drawn from; a page that needs no kernel.

    The learner moves temperature, top-k and top-p, sees what is cut, and draws.

    position: the word that is shown first, counted from 0; if left out, the one of which the model is least sure.

    Raises ValueError where there is no such word.
    """
    ids, logits = next_words(translator, sentence)
    if position is None:
        position = int(logits.softmax(-1).amax(-1).argmin())
    if not 0 <= position < len(ids):
        raise ValueError(f"position={position}: the translation has words 0 to {len(ids) - 1}")
    names = [translator.tokenizer.token(i) for i in range(translator.tokenizer.vocab_size)]
    data = {
        "names": names, "pinyin": [_reading(name) for name in names], "ids": ids, "position": position,
        "logits": significant(logits, 5),
    }  # fmt: skip
    alt = f"The model's next-word probabilities while it translates “{sentence}”, under temperature, top-k and top-p."
    return page("sampling", data, alt=alt, height=620)


def sampling_explorer(translator, sentence):
    """A sentence of one's own, and what its translation's words are drawn from (`sampling_bars`). Returns a `View`."""
    controls = {"sentence": _sentence_box(sentence)}

    def show(sentence):
        return sampling_bars(translator, sentence)

    return _page_view("Temperature, top-k and top-p", translator, controls, show)


def _reading(token):
    """The pinyin of a Chinese word; nothing for what has none."""
    read = "" if token.startswith("[") else pinyin(token)
    return "" if read == token else read


def _sentence_box(sentence):
    return widgets.Text(
        value=sentence, description="Sentence", continuous_update=False,
        layout=widgets.Layout(width="560px", max_width="100%"),
    )  # fmt: skip


def _page_view(title, translator, controls, show):
    """A `View` whose body is the page that `show(**values)` makes; a sentence that cannot be read gets a line."""
    message, picture = text(), widgets.HTML(layout=widgets.Layout(width="auto", margin="0"))

    def draw(sentence, **values):
        unknown = translator.unknown_words(sentence)
        try:
            picture.value = show(sentence=sentence.strip(), **values).html
            words = ", ".join(f"“{html.escape(word)}”" for word in unknown)
            say(message, f"The model does not know {words}." if unknown else "Type a sentence, then press Enter.")
        except CourseError as error:
            picture.value = ""
            say(message, html.escape(str(error)))

    view = View(title, controls, [message, picture], draw)
    view.picture, view.message = picture, message
    return view
