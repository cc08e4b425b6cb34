"""What an output can see: through a stack of convolutions, and through one attention."""

from course_lib.recurrent import receptive_field
from course_lib.views.frames import HtmlView, page

LENGTH = 24  # positions shown


def receptive_field_explorer(predict: bool = True) -> HtmlView:
    """Shows which inputs an output depends on, in a stack of convolutions and in one layer of attention beside it.

    The learner points at an output (or uses the arrow keys), and chooses kernel size, layers, dilation and whether the
    future may be seen.

    Args:
        predict: ask for a guess before the view appears.
    """
    right = receptive_field(3, 4)
    question = {
        "text": "Four convolutions above each other, kernel size 3, no dilation. How many inputs does one output see?",
        "options": [
            ["3", "One layer sees 3. Each further layer reads neighbours that see a little further."],
            [str(right), "1 + 4 · (3 − 1): every layer adds two."],
            ["12", "4 · 3 counts the overlaps twice: neighbours read mostly the same inputs."],
            ["81", "3 to the power of 4 would need neighbours that share nothing."],
        ],
        "right": 1,
    }
    alt = (
        f"{LENGTH} inputs, and above them a stack of convolutions; beside it the same inputs and one attention. "
        "The inputs that the chosen output depends on are marked and counted."
    )
    return page("receptive", {"length": LENGTH, "question": question if predict else None}, alt=alt, height=420)
