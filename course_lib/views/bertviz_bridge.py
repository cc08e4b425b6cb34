"""bertviz's own views of our maps, without the network that they ask for as they come."""

import json
import re
from collections.abc import Sequence
from importlib.resources import files

from torch import Tensor

from course_lib.views.attention import by_kind, check_weights, tokens_of
from course_lib.views.frames import POLICY, HtmlView, embed
from course_lib.views.palette import HEADS

MAX_TOKENS = {"head": 60, "model": 32}  # beyond, the lines cannot be told apart
WIDTH = "Math.min(970, Math.max(480, document.documentElement.clientWidth - 24))"  # of the model view: 970 as it comes


def bertviz_view(
    maps: dict[str, Tensor] | Tensor,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str] | None = None,
    *,
    view: str = "head",
) -> HtmlView:
    """Shows attention maps with bertviz (Vig 2019), offline and in colours that colour-blind readers tell apart.

    Args:
        maps: what `record_attention` collected, or one tensor [H, Tq, Tk]; as for `attention_heatmap`.
        source_tokens, target_tokens: what the encoder read and what the decoder writes; as for `attention_heatmap`.
        view: "head" (lines between two columns of tokens, for each head) or "model" (all layers and heads, small).

    Raises:
        ValueError: another `view`, tokens that do not fit or are too many, or stacks of unequal height.
    """
    if view not in MAX_TOKENS:
        raise ValueError(f"view={view!r}: bertviz has 'head' and 'model'")
    from bertviz import head_view, model_view  # slow to load

    source_tokens, target_tokens = list(source_tokens), target_tokens and list(target_tokens)
    groups = by_kind(maps, cross=target_tokens is not None)
    depths = {group: len(layers) for group, layers in groups.items()}
    if len(set(depths.values())) > 1:
        raise ValueError(f"bertviz needs equally many layers of each kind; these maps have {depths}")
    labels, arguments = [], {}
    for group, layers in groups.items():
        rows, cols = tokens_of(group, source_tokens, target_tokens)
        for name, weights in layers.items():
            check_weights(name, weights, rows, cols)
        if max(len(rows), len(cols)) > MAX_TOKENS[view]:
            raise ValueError(
                f"{max(len(rows), len(cols))} tokens; bertviz's {view} view is legible up to {MAX_TOKENS[view]}"
            )
        labels.append((rows, cols))
        # Three decimals, rounded in float64: five times less text than float32's digits.
        arguments[f"{group}_attention"] = [w.cpu().double().round(decimals=3)[None] for w in layers.values()]
    arguments |= {"encoder_tokens": source_tokens, "decoder_tokens": target_tokens}
    if view == "model":
        arguments["display_mode"] = "light"
    made = (head_view if view == "head" else model_view)(html_action="return", prettify_tokens=False, **arguments).data
    kinds = ", ".join(depths)
    return HtmlView(_offline(made, labels), f"bertviz {view} view of attention ({kinds}), {len(source_tokens)} tokens.",
                    height=520 if view == "head" else 160 + 110 * max(depths.values()))  # fmt: skip


def _offline(made: str, labels: list) -> str:
    """Turns bertviz's HTML, which loads three scripts from a CDN, into a page that carries them."""
    made, n_loads = re.subn(r'<script src="https://[^"]*"></script>', "", made)
    body, script = made.split('<script type="text/javascript">', 1)
    script = script.rsplit("</script>", 1)[0]
    found = re.search(r"^\s*const params = (.*)$", script, re.MULTILINE)
    if n_loads != 1 or not found:
        raise RuntimeError("this version of bertviz writes other HTML than 1.4.1, which the course was tested with")
    params, _ = json.JSONDecoder().raw_decode(found[1])
    for kind, (rows, cols) in zip(params["attention"], labels):  # bertviz labels the decoder's keys like its queries
        kind["left_text"], kind["right_text"] = rows, cols
    script = f"{script[: found.start(1)]}{embed(params)};{script[found.end(1) :]}"
    script = script.replace("DIV_WIDTH = 970", f"DIV_WIDTH = {WIDTH}")
    # d3 and jQuery come with installed packages. Their wrappers look for a module loader: shadow its names.
    d3 = (files("mpld3") / "js/d3.v5.min.js").read_text("utf-8")
    jquery = (files("sphinxcontrib.jquery") / "jquery.js").read_text("utf-8")
    libraries = (
        "const held = {}, box = {exports: {}};"
        f"(function (define, exports, module) {{{d3}\n}}).call(held);"
        f"(function (define, module, exports) {{{jquery}\n}}).call(window, undefined, box, box.exports);"
        f"held.d3.schemeCategory10 = {json.dumps(HEADS)};"
        "const require = {config() {}}, requirejs = (names, use) => use(box.exports, held.d3);"
    )
    script = f"(() => {{{libraries}\n{script}}})();".replace("</", "<\\/")  # nothing may end the script
    script += "new ResizeObserver(() => { if (frameElement) frameElement.style.height = "
    script += "`${document.body.offsetHeight + 16}px`; }).observe(document.body);"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>bertviz</title></head>'
        f'<body style="margin:8px;background:#fff;color:#1f2328">{body}<script>{script}</script></body></html>'
    )
