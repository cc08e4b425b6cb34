"""Predict first: a question whose answer shows once the reader has committed to one."""

import base64
import html
import io
import re
from collections.abc import Sequence

from course_lib.views.frames import HtmlView, page


def predict(
    question: str,
    options: Sequence[str | tuple[str, str]],
    answer: str,
    why: str,
    *,
    picture=None,
    alt: str = "",
) -> HtmlView:
    """Asks a question with options; the right one and the reason show after the reader has committed.

    The texts may hold simple HTML (`d<sub>k</sub>`, `<b>`, `<code>`); a literal `<` is written `&lt;`. No kernel is
    needed: the view also works in an exported notebook.

    Args:
        question: what the reader is to predict.
        options: the answers on offer, two or more; a pair (answer, remark) has a remark for those who choose it.
        answer: the right one, as it stands in `options`.
        why: the reason, in a sentence or two.
        picture: shown with the answer: HTML, or a matplotlib figure.
        alt: one sentence that says what a figure shows.

    Raises:
        ValueError: fewer than two options, the same one twice, or `answer` is not among them; a figure without `alt`.
    """
    pairs = [(option, "") if isinstance(option, str) else tuple(option) for option in options]
    texts = [text for text, _ in pairs]
    if len(set(texts)) < max(2, len(texts)):
        raise ValueError(f"options={texts}: two or more different ones are needed")
    if answer not in texts:
        raise ValueError(f"answer={answer!r} is not among the options: {', '.join(texts)}")
    data = {"options": [{"text": text, "remark": remark} for text, remark in pairs], "answer": texts.index(answer)}
    return _card(question, why, data, picture, alt, height=120 + 32 * len(texts))


def predict_number(
    question: str,
    answer: float,
    why: str,
    *,
    within: float = 0.0,
    unit: str = "",
    picture=None,
    alt: str = "",
) -> HtmlView:
    """Asks for a number; the right one and the reason show after the reader has committed.

    Args:
        question, why, picture, alt: as for `predict`.
        answer: the right number.
        within: how far off a prediction may be and still counts as right.
        unit: what stands behind the number: "MiB", "%".

    Raises:
        ValueError: `within` is negative; a figure without `alt`.
    """
    if within < 0:
        raise ValueError(f"within={within} must not be negative")
    return _card(question, why, {"options": None, "answer": answer, "within": within, "unit": unit}, picture, alt, 150)


def _card(question: str, why: str, data: dict, picture, alt: str, height: int) -> HtmlView:
    data |= {"question": question, "why": why, "picture": _as_html(picture, alt)}
    plain = html.unescape(re.sub("<[^>]*>", "", question))
    return page("prediction", data, alt=f"Predict first: {plain}", height=height)


def _as_html(picture, alt: str) -> str:
    if picture is None or isinstance(picture, str):
        return picture or ""
    if not alt:
        raise ValueError("a figure needs alt: one sentence that says what it shows")
    file = io.BytesIO()
    picture.savefig(file, format="png", dpi=150, bbox_inches="tight")
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'
