"""Reads submissions, notebooks or Python files, as source text; nothing is run here.

A submission is a list of cells. IPython's magics and shell lines are taken out, so that a cell is plain Python.
"""

import ast
import builtins
import json
import re
import symtable
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

from course_lib.errors import CourseError

PERCENT = re.compile(r"^#\s*%%.*$", re.MULTILINE)
BLANK_LINES = re.compile(r"([ \t]*\n)*")
BODY_MAGIC = re.compile(r"\s*%%(time|timeit|capture|prun)\b.*\n")
MAX_BLANKS = 8 << 20  # empty lines before statements, which give them their numbers
CHECK_CALL = re.compile(r"""\bcheck\(\s*["'](\w+)["']""")
COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")  # functions to Python, but they run where they stand


@dataclass(frozen=True)
class Cell:
    """One cell as plain Python; `error` says why it cannot be read as such."""

    name: str
    source: str
    exercise: str | None = None
    error: str | None = None

    @cached_property
    def statements(self) -> tuple["Statement", ...]:
        return () if self.error else tuple(_statements(self.source))


@dataclass(frozen=True)
class Submission:
    """What was read from a file."""

    name: str
    folder: Path
    cells: tuple[Cell, ...]

    def named(self) -> set[str]:
        """The exercises that the cells name, as a problem sheet does: in their metadata or in `check("…")`."""
        marked = {cell.exercise for cell in self.cells if cell.exercise}
        return marked | {name for cell in self.cells for name in CHECK_CALL.findall(cell.source)}

    def defined(self) -> set[str]:
        """The names that the cells define at the top level, other than by importing them."""
        return {name for cell in self.cells for s in cell.statements if not s.is_import for name in s.binds}


@dataclass(frozen=True)
class Statement:
    """A top-level statement and the names it has to do with.

    Args:
        binds: names that it defines.
        now: names that it needs when it runs.
        later: names that its functions need when they are called.
        changes: names of objects of which it sets an attribute or an item.
    """

    source: str
    binds: frozenset[str]
    now: frozenset[str]
    later: frozenset[str]
    changes: frozenset[str]
    is_import: bool
    is_star: bool
    is_future: bool


def read(path: Path | str) -> Submission:
    """Read a notebook or a Python file.

    Raises:
        CourseError: there is no such file, or it is neither.
    """
    path = Path(path)
    kind = path.name.lower().rpartition(".")[2]  # a file may be called just ".py"
    if kind not in ("ipynb", "py"):
        raise CourseError(f"{path} is neither a notebook (.ipynb) nor a Python file (.py)")
    if not path.is_file():
        raise CourseError(f"there is no file {path}")
    try:
        cells = _read_notebook(path) if kind == "ipynb" else _read_python(path)
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}") from None
    return Submission(path.name, path.resolve().parent, tuple(cells))


def from_history(sources: Iterable[str]) -> tuple[Cell, ...]:
    """Cells from source texts, the inputs of a running notebook say."""
    return tuple(_cell(f"cell {i}", source) for i, source in enumerate(sources, 1))


def definition_of(name: str, cells: Sequence[Cell]) -> str | None:
    """The source of the last top-level definition of `name` (def, class, assignment or import); None without one."""
    statements = [statement for cell in cells for statement in cell.statements]
    last = max((i for i, statement in enumerate(statements) if name in statement.binds), default=None)
    if last is None:
        return None
    return "\n".join([statements[last].source] + [s.source for s in statements[last + 1 :] if name in s.changes])


def standalone(name: str, cells: Sequence[Cell]) -> str | None:
    """The last definition of `name` with the top-level imports and definitions it needs, as one Python source."""
    statements = [statement for cell in cells for statement in cell.statements]
    chosen: set[int] = set()

    def take(name: str, before: int) -> None:
        """Choose the last statement before this one that defines the name, and all that that one needs."""
        found = max((i for i in range(before) if name in statements[i].binds), default=None)
        if found is None:
            if not hasattr(builtins, name):
                chosen.update(i for i in range(before) if statements[i].is_star)
            return
        include(found)
        for i in range(found + 1, len(statements)):
            if name in statements[i].changes:
                include(i)

    def include(i: int) -> None:
        if i not in chosen:
            chosen.add(i)
            for needed in sorted(statements[i].now):
                take(needed, i)
            for needed in sorted(statements[i].later):
                take(needed, len(statements))

    take(name, len(statements))
    if not any(name in statements[i].binds for i in chosen):
        return None
    chosen.update(i for i, statement in enumerate(statements) if statement.is_future)
    ordered = sorted(chosen, key=lambda i: (not statements[i].is_future, i))
    return "\n\n".join(statements[i].source for i in ordered) + "\n"


def same_code(a: str, b: str) -> bool:
    """Whether two sources are the same but for comments, layout and docstrings."""
    try:
        return _skeleton(a) == _skeleton(b)
    except SyntaxError:
        return False


def library_calls(source: str, names: Iterable[str]) -> list[str]:
    """Which of these functions of PyTorch or the course a source uses: `F.softmax`, `x.softmax`, or imported."""
    wanted, found = set(names), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in wanted:
            found.add(node.attr)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("torch", "course_lib"):
            found |= {alias.name for alias in node.names if alias.name in wanted}
    return sorted(found)


def _read_notebook(path: Path) -> list[Cell]:
    import nbformat

    try:
        text = path.read_text(encoding="utf-8-sig")
        json.loads(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old notebooks without cell ids
            notebook = nbformat.reads(text, as_version=4)
            nbformat.validate(notebook)
    except json.JSONDecodeError as error:
        problem = f"no JSON in line {error.lineno}" if text.strip() else "it is empty"
        raise CourseError(f"{path} is not a notebook: {problem}") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path} is not a notebook: its text is not UTF-8") from None
    except OSError:
        raise
    except Exception as error:  # of many kinds, from nbformat's depths
        raise CourseError(f"{path} is not a notebook: JSON, but not of its format ({type(error).__name__})") from None
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    marks = [cell.metadata.get("exercise") for cell in cells]
    marks = [mark if isinstance(mark, str) else None for mark in marks]
    return [_cell(f"code cell {i}", cell.source, mark) for i, (cell, mark) in enumerate(zip(cells, marks), 1)]


def _read_python(path: Path) -> list[Cell]:
    """The cells between `# %%` lines, or else each top-level statement as a cell of its own."""
    try:
        with tokenize.open(path) as file:
            text = file.read()
    except (SyntaxError, UnicodeDecodeError):
        raise CourseError(f"{path} is not a Python file: its text is not UTF-8") from None
    starts = [0, *(match.start() for match in PERCENT.finditer(text)), len(text)]
    if len(starts) > 2:
        pieces = [text[a:b] for a, b in pairwise(starts)]
        return [_cell(f"cell {i}", piece) for i, piece in enumerate((p for p in pieces if p.strip()), 1)]
    whole = _cell("the file", text)
    if whole.error:
        return [whole]
    lines = whole.source.splitlines(keepends=True)
    groups = list(_line_groups(ast.parse(whole.source).body))
    if sum(start for start, _ in groups) > MAX_BLANKS:
        return [whole]
    return [Cell(f"line {start}", "\n" * (start - 1) + "".join(lines[start - 1 : end])) for start, end in groups]


def _line_groups(body: list[ast.stmt]) -> Iterator[tuple[int, int]]:
    """First and last lines of statements; those that share a line stay together."""
    groups: list[list[int]] = []
    for node in body:
        start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        if groups and start <= groups[-1][1]:
            groups[-1][1] = node.end_lineno
        else:
            groups.append([start, node.end_lineno])
    return ((start, end) for start, end in groups)


@lru_cache(maxsize=4096)  # a notebook's history is read again at every check
def _cell(name: str, source: str, exercise: str | None = None) -> Cell:
    try:
        return Cell(name, _to_python(source), exercise)
    except SyntaxError as error:
        return Cell(name, source, exercise, f"SyntaxError in line {error.lineno or 1}: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes; nesting beyond what the parser takes
        return Cell(name, source, exercise, f"it cannot be read as Python: {error}")


def _to_python(source: str) -> str:
    """Plain Python from the text of a cell: magics and shell lines become `pass`. SyntaxError if it is none."""
    try:
        tree = _parse(source)
    except SyntaxError:
        if body := BODY_MAGIC.match(source):  # %%time and the like run their body here
            return _to_python("\n" * body.group().count("\n") + source[body.end() :])
        from IPython.core.inputtransformer2 import TransformerManager

        blank = BLANK_LINES.match(source).group().count("\n")  # IPython drops them
        source = "\n" * blank + TransformerManager().transform_cell(source)
        tree = _parse(source)
    lines = source.splitlines(keepends=True)
    magics = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and _is_magic(node)]
    for node in sorted(magics, key=lambda node: node.lineno, reverse=True):
        first, last = lines[node.lineno - 1].encode(), lines[node.end_lineno - 1].encode()
        height = node.end_lineno - node.lineno
        replaced = first[: node.col_offset].decode() + "pass" + "\n" * height + last[node.end_col_offset :].decode()
        lines[node.lineno - 1 : node.end_lineno] = replaced.splitlines(keepends=True)
    return "".join(lines)


def _parse(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" and the like: the learner hears of them when the cell runs
        return ast.parse(source)


def _is_magic(node: ast.stmt) -> bool:
    """`get_ipython().run_line_magic(…)`, also assigned: what IPython makes of %, ! and ? lines."""
    call = getattr(node, "value", None) if isinstance(node, ast.Expr | ast.Assign) else None
    made_by = getattr(getattr(call, "func", None), "value", None)
    return isinstance(made_by, ast.Call) and getattr(made_by.func, "id", "") == "get_ipython"


def _statements(source: str) -> Iterator[Statement]:
    lines = source.splitlines(keepends=True)
    for start, end in _line_groups(_parse(source).body):
        text = "".join(lines[start - 1 : end]).rstrip()
        try:
            yield _analyse(text)
        except SyntaxError:  # parsed, but does not compile: `return` outside a function, say
            continue


def _analyse(text: str) -> Statement:
    nodes = _parse(text).body
    binds, now, later, changes = set(), set(), set(), set()

    def visit(table: symtable.SymbolTable, names: set[str], top: bool = False) -> None:
        for symbol in table.get_symbols():
            if top and (symbol.is_assigned() or symbol.is_imported()):
                binds.add(symbol.get_name())
            if symbol.is_referenced() and (top or symbol.is_global()):
                names.add(symbol.get_name())
            if not top and symbol.is_declared_global() and symbol.is_assigned():
                later.add(symbol.get_name())
        for child in table.get_children():
            runs_later = child.get_type() == "function" and child.get_name() not in COMPREHENSIONS
            visit(child, later if runs_later else names)

    visit(symtable.symtable(text, "cell", "exec"), now, top=True)
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(node, ast.AugAssign) and isinstance(target, ast.Name):
                now.add(target.id)
            if isinstance(target, ast.Attribute | ast.Subscript):
                while isinstance(target, ast.Attribute | ast.Subscript):
                    target = target.value
                if isinstance(target, ast.Name):
                    changes.add(target.id)
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return Statement(
        text,
        frozenset(binds),
        frozenset(now),
        frozenset(later),
        frozenset(changes),
        is_import=len(imports) == len(nodes),
        is_star=any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in imports),
        is_future=any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in imports),
    )


def _skeleton(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node, clean=False):
            node.body.pop(0)
    return ast.dump(tree)
