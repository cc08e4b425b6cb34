"""What a human should look at: read from the source text alone, and never more than a remark.

An honest submission may have any of these. Nothing here changes a mark, but `takes_librarys`, which sees what a
worker under a submission's influence might deny.
"""

import ast
import builtins
import hashlib
import inspect
import re
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from functools import cache

from course_lib.grading import sources
from course_lib.grading.exercise import Exercise

NUMBERS = 20  # literals other than small integers, in one solution
SAME_PARTS = 45  # nodes of a syntax tree: shorter solutions are alike by nature
SAME_PARTS_RENAMED = 70
REACHES = {
    "ctypes", "gc", "inspect", "marshal", "mmap", "multiprocessing", "pickle", "resource", "signal", "socket",
    "subprocess", "threading", "urllib", "requests",
}  # fmt: skip
REACHES_BY_NAME = {
    "__subclasses__", "__globals__", "__builtins__", "_getframe", "_exit", "fork", "kill", "modules", "exec", "eval",
    "__import__", "import_module", "__reduce__", "__reduce_ex__", "__torch_function__", "settrace", "setprofile",
}  # fmt: skip
PRINTED_MARKS = re.compile(r"\b\d+ (?:of|/) \d+ points\b|✓|\bpassed\b", re.IGNORECASE)


def takes_librarys(exercise: Exercise, cells: Sequence[sources.Cell]) -> bool:
    """Whether the last definition is plainly the library's own: imported, renamed, a partial of it or derived from
    it."""
    statements = [statement for cell in cells for statement in cell.statements]
    own = exercise.reference.__name__

    def defined(name: str, before: int, depth: int = 0) -> bool:
        found = max((i for i in range(before) if name in statements[i].binds), default=None)
        if found is None:
            return name == own and any(
                s.is_star and s.source.split()[1].startswith("course_lib") for s in statements[:before]
            )
        if depth > 20:
            return False
        return any(gives(node, name, found, depth + 1) for node in ast.parse(statements[found].source).body)

    def gives(node: ast.AST, name: str, before: int, depth: int) -> bool:
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "course_lib":
                return any(alias.name == own and (alias.asname or alias.name) == name for alias in names)
            case ast.Assign(value=value) | ast.AnnAssign(value=value):
                return is_own(value, before, depth)
            case ast.ClassDef(bases=bases):
                return any(is_own(base, before, depth) for base in bases)
        return False

    def is_own(node: ast.AST | None, before: int, depth: int) -> bool:
        match node:
            case ast.Name(id=name):
                return defined(name, before, depth)
            case ast.Attribute(value=value, attr=attribute) if attribute == own:
                return comes_from_course(value, before)
            case ast.Call(func=ast.Name(id="partial") | ast.Attribute(attr="partial"), args=[first, *_]):
                return is_own(first, before, depth)
        return False

    def comes_from_course(node: ast.AST, before: int) -> bool:
        while isinstance(node, ast.Attribute):
            node = node.value
        if not isinstance(node, ast.Name):
            return False
        found = max((i for i in range(before) if node.id in statements[i].binds), default=None)
        return found is not None and statements[found].is_import and "course_lib" in statements[found].source

    return defined(exercise.id, len(statements))


def librarys(exercise: Exercise, cells: Sequence[sources.Cell]) -> list[str]:
    """Functions that do the exercise's work, the library's own among them, which the definition or its needs use."""
    source = sources.standalone(exercise.id, cells)
    if source is None:
        return []
    own = [exercise.reference.__name__] if "course_lib" in source else []
    return sources.library_calls(source, [*exercise.library_calls, *own])


def about_solution(exercise: Exercise, cells: Sequence[sources.Cell]) -> list[str]:
    """Remarks on the definition of an exercise and on what it needs."""
    source = sources.standalone(exercise.id, cells)
    if source is None or sources.same_code(source, exercise.starter):
        return []
    tree, flags = ast.parse(source), []
    numbers = [
        n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) in (int, float, complex)
    ]
    written = [number for number in numbers if number not in (-2, -1, 0, 1, 2, 3)]
    if len(written) >= NUMBERS:
        flags.append(f"numbers by hand: {exercise.id} contains {len(written)} written-out numbers")
    if names := _reaches(tree):
        flags.append(f"reaches outside: {exercise.id} uses {', '.join(names)}")
    if not _own_prints(exercise).isdisjoint(fingerprints(exercise, cells)):
        flags.append(f"same code as the course's own: {exercise.id}")
    return flags


def about_notebook(cells: Sequence[sources.Cell]) -> list[str]:
    """Remarks on the cells as a whole: other people's functions that they change, marks that they print."""
    changed, printed = set(), False
    for cell in cells:
        if cell.error:
            continue
        tree = ast.parse(cell.source)
        imports = _imported_names(tree) | {"torch", "builtins", "sys", "math", "F", "nn"}
        for node in ast.walk(tree):
            for target in node.targets if isinstance(node, ast.Assign) else ():
                root = target
                while isinstance(root, ast.Attribute | ast.Subscript):
                    root = root.value
                if isinstance(target, ast.Attribute) and isinstance(root, ast.Name) and root.id in imports:
                    changed.add(ast.unparse(target))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
                texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
                printed |= any(PRINTED_MARKS.search(text) for text in texts)
    flags = [f"changes what is not its own: {', '.join(sorted(changed)[:5])}"] if changed else []
    return flags + (["prints by hand what looks like the result of a check"] if printed else [])


def fingerprints(exercise: Exercise, cells: Sequence[sources.Cell]) -> list[str]:
    """Two digests of a solution: with its names, and with its names replaced; none if it is short or the starter."""
    source = sources.definition_of(exercise.id, cells)
    if source is None or sources.same_code(source, exercise.starter):
        return []
    return _prints(source)


@cache
def _own_prints(exercise: Exercise) -> frozenset[str]:
    """Those of the course's own solution."""
    return frozenset(_prints(textwrap.dedent(inspect.getsource(exercise.reference))))


def _prints(source: str) -> list[str]:
    tree = _without_docstrings(ast.parse(source))
    parts = sum(1 for _ in ast.walk(tree))
    if parts < SAME_PARTS:
        return []
    found = [_digest(ast.dump(tree))]
    return found if parts < SAME_PARTS_RENAMED else [*found, _digest(ast.dump(_Renamed().visit(tree)))]


def same_code(prints: dict[str, dict[str, list[str]]]) -> dict[str, list[str]]:
    """For each submission, in which others the same code stands: "same code as bob.ipynb: softmax".

    Args:
        prints: submission -> exercise id -> `fingerprints`.
    """
    groups = defaultdict(set)
    for submission, by_exercise in prints.items():
        for id, digests in by_exercise.items():
            for digest in digests:
                groups[id, digest].add(submission)
    shared: dict[str, dict[str, set]] = defaultdict(lambda: defaultdict(set))
    for (id, _), members in groups.items():
        for one in members if len(members) > 1 else ():
            for other in members - {one}:
                shared[one][other].add(id)
    return {one: _in_words(others) for one, others in shared.items()}


def _in_words(others: dict[str, set[str]]) -> list[str]:
    """One line for each set of exercises, those with most exercises first."""
    by_exercises = defaultdict(list)
    for other, ids in others.items():
        by_exercises[tuple(sorted(ids))].append(other)
    lines = []
    for ids, names in sorted(by_exercises.items(), key=lambda item: (-len(item[0]), item[0])):
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines.append(f"same code as {', '.join(sorted(names)[:3])}{more}: {', '.join(ids)}")
    return lines


class _Renamed(ast.NodeTransformer):
    """Names by the order in which they appear; builtins and attributes stay."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def _new(self, name: str) -> str:
        return name if hasattr(builtins, name) else self.names.setdefault(name, f"v{len(self.names)}")

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._new(node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self._new(node.arg))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name, node.returns = self._new(node.name), None
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self._new(node.name)
        return self.generic_visit(node)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node, clean=False):
            node.body.pop(0)
    return tree


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def _reaches(tree: ast.AST) -> list[str]:
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases if alias.name.split(".")[0] in REACHES}
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in REACHES:
                names.add(module)
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in REACHES_BY_NAME:
                names.add(name)
    return sorted(names)


def _imported_names(tree: ast.AST) -> set[str]:
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).split(".")[0] for node in nodes for alias in node.names}
