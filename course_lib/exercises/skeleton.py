"""The skeleton of an exercise, as `course new-exercise` writes it. What is still to be done makes a test fail."""

import ast
import re
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.exercises import bank

HEADER = '''\
"""Chapter {chapter:02}. Chapter 03's module is the pattern."""

import torch
from torch import Tensor

from course_lib.grading.exercise import Check, Exercise, Misconception, not_attempted
from course_lib.grading.observe import check_gradients, check_values, generator, integers, normal
'''

BLOCK = '''
# --- {id} {line}


def {id}_reference(*arguments):
    """To do: write `{id}` in a module of course_lib, import it here, and name it as the reference below."""
    raise NotImplementedError("write the reference of {id}")


def {id}_authority(*arguments):
    """To do: the truth by another road than the reference's: PyTorch's own operator, a loop, a table."""
    raise NotImplementedError("write the authority of {id}")


{constant} = Exercise(
    id="{id}",
    chapter={chapter},
    title={title!r},
    signature="{signature}",
    statement="""To do: what to write, with shapes; what an edge case gives.""",
    minutes=10,
    difficulty=2,
    concepts=(),  # to do: "C12", …
    errata=(),
    reference={id}_reference,
    starter=\'\'\'def {signature}:
    """To do: the shapes."""
    raise NotImplementedError("\'\'\' + not_attempted("{id}") + \'\'\'")\'\'\',
    read_again="chapter {chapter:02}, “…”",
    library_calls=(),  # names of functions that do the exercise's work
    checks=(
        # To do: at least three: the value, a property, an edge. Sizes are pairwise distinct.
        # check_values(
        #     "values", 3, "A hint, never the solution.",
        #     lambda g: [(normal(g, 3, 4),), (normal(g, 2, 5, 6),)], {id}_authority,
        # ),
    ),
    misconceptions=(
        # To do: at least five.
        # Misconception("first_axis", lambda x: …, "These are exactly the values of … What …?"),
    ),
    alternatives=(
        # To do: at least two, written differently.
    ),
)  # fmt: skip
'''

EXERCISES = re.compile(r"^EXERCISES = \((?P<names>[^)]*)\)", re.MULTILINE)


def add_skeleton(id: str, chapter: int, title: str, signature: str, folder: Path) -> Path:
    """Write the skeleton into the chapter's module in this folder, which is begun if there is none.

    Raises:
        CourseError: the name is none or is taken, or the signature does not belong to it.
    """
    if not id.isidentifier():
        raise CourseError(f"{id!r} is no name that a learner could define: letters, digits and _, as in softmax")
    if id in bank():
        raise CourseError(f"there is an exercise {id} already, in chapter {bank()[id].chapter}")
    try:
        defined = ast.parse(f"def {signature}: pass").body[0].name
    except SyntaxError:
        defined = None
    if defined != id:
        raise CourseError(f"--signature {signature!r} does not define {id}: write it as in {id}(x, mask=None)")
    path = folder / f"chapter_{chapter:02}.py"
    constant = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", id).upper()
    try:
        text = (
            path.read_text(encoding="utf-8")
            if path.is_file()
            else HEADER.format(chapter=chapter) + "\nEXERCISES = ()\n"
        )
        found = EXERCISES.search(text)
        if found is None:
            raise CourseError(f"{path} has no line EXERCISES = (…)")
        block = BLOCK.format(
            id=id, chapter=chapter, title=title, signature=signature, constant=constant, line="-" * (113 - len(id))
        )
        names = [name.strip() for name in found["names"].split(",") if name.strip()] + [constant]
        listed = f"EXERCISES = ({', '.join(names)}{',' if len(names) == 1 else ''})"
        text = text[: found.start()].rstrip("\n") + "\n" + block + "\n" + listed + text[found.end() :]
        ast.parse(text)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CourseError(f"{path} cannot be written: {error.strerror}") from None
    return path
