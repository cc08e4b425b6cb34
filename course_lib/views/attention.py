"""The attention map: pick a layer and a head, point at a cell, read who asks whom and how much."""

import html
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from course_lib.errors import CourseError
from course_lib.tokenizer import SPECIALS, Tokenizer
from course_lib.views.frames import HtmlView, page, rounded

START = SPECIALS[Tokenizer.bos_id]  # what the decoder reads first
KINDS = {"encoder": "encoder self", "decoder": "decoder self", "cross": "cross"}
MAX_TOKENS = 100  # more cells than a screen can show apart


def attention_heatmap(
    maps: Mapping[str, Tensor] | Tensor,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str] | None = None,
    *,
    kind: str | None = None,
    layer: int | None = None,
    head: int = 0,
    gold: Iterable[tuple[int, int]] = (),
    remember: str | None = None,
) -> HtmlView:
    """Shows attention weights as a map to look around in with the mouse or the arrow keys.

    A row is a query (who asks), a column is a key (who is asked), a cell is the weight, from 0 (white) to 1.

    Args:
        maps: what `record_attention` collected, a dict of module names to [1, H, Tq, Tk]; or one tensor, [H, Tq, Tk] or
            [Tq, Tk]: cross-attention if there are `target_tokens`, else self-attention.
        source_tokens: what the encoder read, one for each of its positions.
        target_tokens: what the decoder *writes* at each of its positions, the end mark included. It reads the same one
            step later, after a start mark, and so the keys of its self-attention are labelled.
        kind, layer, head: what is shown first: "cross", "decoder" or "encoder"; layer and head count from 0. Without
            them the last layer of the cross-attention, if there is one, and head 0.
        gold: pairs (source index, target index) of a known alignment, outlined in the cross-attention.
        remember: a name under which the browser keeps the chosen layer and head when the view is drawn again.

    Raises:
        ValueError: where a map's shape does not fit the tokens, or holds other numbers than weights.
    """
    source_tokens = list(source_tokens)
    target_tokens = None if target_tokens is None else list(target_tokens)
    groups = by_kind(maps, cross=target_tokens is not None)
    kinds = []
    for group, layers in groups.items():
        rows, cols = tokens_of(group, source_tokens, target_tokens)
        for name, weights in layers.items():
            check_weights(name, weights, rows, cols)
        kinds.append({"id": group, "name": KINDS[group], "rows": rows, "cols": cols, "writes": group != "encoder",
                      "layers": [rounded(weights) for weights in layers.values()]})  # fmt: skip
    kind = kind or ("cross" if "cross" in groups else next(iter(groups)))
    if kind not in groups:
        raise ValueError(f"kind={kind!r} is not among the recorded kinds: {', '.join(groups)}")
    shown = next(k for k in kinds if k["id"] == kind)
    layer = len(shown["layers"]) - 1 if layer is None else layer
    for what, value, count in (("layer", layer, len(shown["layers"])), ("head", head, len(shown["layers"][0]))):
        if not 0 <= value < count:
            raise ValueError(f"{what}={value}: {KINDS[kind]} has {what}s 0 to {count - 1}")
    sizes = len(source_tokens), len(target_tokens or source_tokens)
    gold = sorted([t, s] for s, t in gold)
    for t, s in gold:
        if not (0 <= s < sizes[0] and 0 <= t < sizes[1]):
            raise ValueError(f"gold pair (source {s}, target {t}) lies outside {sizes[0]} and {sizes[1]} tokens")
    start = {"kind": kinds.index(shown), "layer": layer, "head": head}
    data = {"kinds": kinds, "start": start, "gold": gold, "remember": remember}
    alt = f"Attention maps ({', '.join(KINDS[group] for group in groups)}) of “{' '.join(source_tokens)}”"
    alt += f" and its translation “{' '.join(target_tokens)}”." if target_tokens else "."
    return page("attention", data, alt=alt, height=330 + 30 * min(len(shown["rows"]), 30))


def translate_and_attend(
    translator,
    text: str = "",
    *,
    examples: Sequence[str] = (),
    kind: str | None = None,
    layer: int | None = None,
    head: int = 0,
):
    """A box for a sentence of one's own: it is translated, and the attention behind the translation is shown.

    Args:
        translator: a `course_lib.translator.Translator`, or anything with its `translate`, `attend`, `unknown_words`.
        text: the sentence to begin with; may be empty.
        examples: sentences offered as buttons.
        kind, layer, head: what the map shows first; as for `attention_heatmap`.

    Returns:
        An ipywidgets box. A sentence that cannot be translated gets one line that says why; any other error is shown
        and raised again.
    """
    import ipywidgets as widgets

    box = widgets.Text(value=text, placeholder="type a sentence, then press Enter", continuous_update=False,
                       description="Sentence", layout=widgets.Layout(width="70%"))  # fmt: skip
    button = widgets.Button(description="Translate", button_style="primary")
    answer, picture = widgets.HTML(), widgets.HTML(layout=widgets.Layout(width="auto", margin="0"))
    remember = f"attention-{uuid.uuid4().hex}"
    done = None  # the sentence that is shown: a click on the button also ends the typing, and would translate twice

    def say(line: str, color: str = "inherit", role: str = "status") -> None:
        name = "workshop-error" if role == "alert" else ""
        answer.value = f'<div role="{role}" class="{name}" style="color:{color};line-height:1.6">{line}</div>'

    def update(_=None) -> None:
        nonlocal done
        sentence = box.value.strip()
        if sentence == done:
            return
        done = sentence
        if not sentence:
            say("Type a sentence, then press Enter.")
            picture.value = ""
            return
        say("translating …")
        shown = ""  # until there is a new map, the old one stays: the page does not jump
        try:
            translation = translator.translate(sentence)
            source_tokens, target_tokens, maps = translator.attend(sentence)
            unknown = translator.unknown_words(sentence)
            lines = [f"<b style='font-size:1.3em'>{html.escape(translation) or '(an empty translation)'}</b>"]
            if unknown:
                words = ", ".join(f"“{html.escape(word)}”" for word in unknown)
                lines.append(f"The model does not know {words}: it saw {SPECIALS[Tokenizer.unk_id]} instead.")
            longest = max(len(source_tokens), len(target_tokens))
            if longest > MAX_TOKENS:
                lines.append(f"{longest} tokens are too many for a map, which shows up to {MAX_TOKENS}.")
            else:
                view = attention_heatmap(
                    maps, source_tokens, target_tokens, kind=kind, layer=layer, head=head, remember=remember
                )
                shown = view.html
            say("<br>".join(lines))
        except CourseError as error:
            say(html.escape(str(error)), "#b34700")
        except Exception as error:
            say(f"{type(error).__name__}: {html.escape(str(error))}", "#b34700", role="alert")
            raise
        finally:
            picture.value = shown

    def offer(sentence: str) -> widgets.Button:
        example = widgets.Button(description=sentence, layout=widgets.Layout(width="auto"))
        example.on_click(lambda _: setattr(box, "value", sentence))
        return example

    box.observe(update, "value")
    button.on_click(update)
    update()
    offers = widgets.HBox([offer(e) for e in examples], layout=widgets.Layout(flex_flow="row wrap"))
    return widgets.VBox([widgets.HBox([box, button]), *([offers] if examples else []), answer, picture])


def by_kind(maps: Mapping[str, Tensor] | Tensor, *, cross: bool = False) -> dict[str, dict[str, Tensor]]:
    """Sorts recorded maps into {"encoder", "decoder", "cross": {module name: weights [H, Tq, Tk]}}, layers in order."""
    if isinstance(maps, Tensor):
        maps = {"cross_attention" if cross else "attention": maps}
    if not maps:
        raise ValueError("there are no maps: run the model inside `with record_attention(model) as maps:`")
    groups = {}
    for name, weights in maps.items():
        if not isinstance(weights, Tensor):
            raise ValueError(f"{name}: expected a tensor [1, H, Tq, Tk], got {type(weights).__name__}")
        if weights.dim() == 2:
            weights = weights[None]
        if weights.dim() == 4 and len(weights) == 1:
            weights = weights[0]
        if weights.dim() != 3:
            raise ValueError(f"{name}: expected [1, H, Tq, Tk], one sentence, got {list(weights.shape)}")
        group = "cross" if "cross" in name else "decoder" if "decoder" in name else "encoder"
        groups.setdefault(group, {})[name] = weights
    number = re.compile(r"\d+")
    return {
        group: dict(sorted(groups[group].items(), key=lambda item: [int(n) for n in number.findall(item[0])]))
        for group in KINDS
        if group in groups
    }


def tokens_of(group: str, source_tokens: list[str], target_tokens: list[str] | None) -> tuple[list[str], list[str]]:
    """Returns the labels of rows (queries) and columns (keys) of one kind of attention."""
    if group == "encoder":
        return source_tokens, source_tokens
    if target_tokens is None:
        raise ValueError(f"{KINDS[group]}-attention needs target_tokens: what the decoder writes at each position")
    return target_tokens, source_tokens if group == "cross" else [START, *target_tokens[:-1]]


def check_weights(name: str, weights: Tensor, rows: list[str], cols: list[str]) -> None:
    """Raises ValueError unless `weights` [H, Tq, Tk] fit the tokens, few enough, and lie between 0 and 1."""
    _, t_q, t_k = weights.shape
    if (t_q, t_k) != (len(rows), len(cols)):
        raise ValueError(f"{name} has {t_q} queries and {t_k} keys, but the tokens are {len(rows)} and {len(cols)}")
    if max(t_q, t_k) > MAX_TOKENS:
        raise ValueError(f"{name} has {max(t_q, t_k)} tokens; the view shows up to {MAX_TOKENS}: shorten the sentence")
    low, high = weights.min().item(), weights.max().item()
    if not -1e-4 <= low <= high <= 1 + 1e-4:  # also false for NaN
        raise ValueError(f"{name} holds numbers from {low:.4g} to {high:.4g}; weights, after the softmax, lie in 0…1")
