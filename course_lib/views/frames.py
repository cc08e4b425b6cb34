"""One self-contained HTML page in an iframe: what every kernel-free view is made of.

The page carries its data, style and script with it and may load nothing (its own security policy forbids it), so it
works offline, in exported HTML, and cannot disturb the notebook around it. It has a white ground of its own, because
weights of 0 are white; that is legible in light and dark themes alike.
"""

import html
import json
import math
from pathlib import Path

from course_lib.views import palette

ASSETS = Path(__file__).with_name("assets")
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


class HtmlView:
    """A page that a notebook shows in an iframe.

    Arguments:
        document: the whole page, `<!doctype html>…`.
        alt: one sentence that says what is to be seen, for those who cannot see it.
        height: pixels until the page has measured itself.
    """

    def __init__(self, document, alt, height):
        self.document, self.alt, self.height = document, alt, height

    @property
    def html(self):
        """The iframe, as HTML: `ipywidgets.HTML(view.html)` shows it too."""
        return (
            f'<div><iframe title="{html.escape(self.alt)}" height="{self.height}" '
            'style="width:100%;border:0;background:#fff;border-radius:6px;color-scheme:light" '
            f'srcdoc="{html.escape(self.document)}"></iframe></div>'
        )

    def save(self, path):
        """Writes the page to a file that any browser opens."""
        Path(path).write_text(self.document, encoding="utf-8")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": self.html, "text/plain": self.alt}


def embed(data):
    """Returns `data` as JSON that may stand inside a script element, whatever its strings hold (`</script>`)."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def rounded(tensor, decimals=4):
    """Returns a tensor as nested lists of short numbers: rounded in float64, where 0.1234 stays 0.1234 in JSON."""
    return tensor.detach().cpu().double().round(decimals=decimals).tolist()


def significant(tensor, digits=7):
    """Returns a tensor as nested lists with `digits` significant digits, None for ±∞: exact to float32."""

    def short(x):
        if isinstance(x, list):
            return [short(y) for y in x]
        return float(f"{x:.{digits}g}") if math.isfinite(x) else None

    return short(tensor.detach().cpu().double().tolist())


def page(name, data, *, alt, height):
    """Builds the view whose script and style are `assets/<name>.js` and `assets/<name>.css`.

    Arguments:
        name: of the two files; `frame.js` and `frame.css`, which all views share, come before them.
        data: what the script finds as `data`: anything that JSON can hold.
        alt, height: as for `HtmlView`.
    """
    style, script = ((ASSETS / f"frame.{e}").read_text("utf-8") + (ASSETS / f"{name}.{e}").read_text("utf-8")
                     for e in ("css", "js"))  # fmt: skip
    colors = {key.lower(): getattr(palette, key) for key in ("HEADS", "SEQUENTIAL", "SIGNED", "ACCENT")}
    document = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{html.escape(alt)}</title>'
        f'<style>{style}</style></head><body><p class="alt">{html.escape(alt)}</p><main id="view"></main>'
        f'<script type="application/json" id="data">{embed(data)}</script>'
        f'<script>"use strict";(() => {{const palette = {embed(colors)};\n{script}}})();</script></body></html>'
    )
    return HtmlView(document, alt, height)
