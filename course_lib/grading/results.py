"""Marks and messages: as text, as HTML for a notebook, and as JSON."""

from dataclasses import dataclass, field
from html import escape

SIGNS = {"passed": "✓", "failed": "✗", "error": "✗", "timeout": "✗", "not_run": "–", "missing": "–"}
COLOURS = {
    "✓": "var(--jp-success-color1, #2e7d32)",
    "✗": "var(--jp-error-color1, #d32f2f)",
    "–": "var(--jp-content-font-color2, #757575)",
}


@dataclass(frozen=True)
class CheckResult:
    """One check: `message` says what was expected and what came, and on further lines what may be behind it."""

    id: str
    points: int
    max_points: int
    status: str  # passed | failed | not_run | error | timeout | missing
    message: str = ""
    misconception: str | None = None

    def to_json(self) -> dict:
        return {
            "id": self.id,
            "points": self.points,
            "max_points": self.max_points,
            "status": self.status,
            "message": self.message,
            "misconception": self.misconception,
        }


@dataclass(frozen=True)
class ExerciseResult:
    """All checks of one exercise. `notes` are lines to show below them; they are not part of the JSON."""

    id: str
    title: str
    checks: tuple[CheckResult, ...]
    seed: int
    read_again: str = ""
    library_object: bool = False
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        return sum(check.points for check in self.checks)

    @property
    def max_points(self) -> int:
        return sum(check.max_points for check in self.checks)

    @property
    def passed(self) -> bool:
        return all(check.status == "passed" for check in self.checks)

    @property
    def missing(self) -> bool:
        return all(check.status == "missing" for check in self.checks)

    def to_json(self) -> dict:
        return {
            "id": self.id,
            "points": self.points,
            "max_points": self.max_points,
            "checks": [check.to_json() for check in self.checks],
        }

    def __str__(self) -> str:
        """Plain text, a line for each check."""
        lines = [f"{self.id}: {self.verdict()}"]
        for check in self._rows():
            first, *more = check.message.splitlines() or [""]
            marks = f"{check.id} ({check.points}/{check.max_points})"
            lines.append(f"  {SIGNS[check.status]} {marks}" + (f": {first}" if first else ""))
            lines += [f"      {line}" for line in more]
        return "\n".join(lines + [f"  {note}" for note in self.closing()])

    def verdict(self) -> str:
        if self.missing or self.library_object:
            return self.checks[0].message
        return f"{self.points} of {self.max_points} points"

    def _rows(self) -> tuple[CheckResult, ...]:
        return () if self.missing or self.library_object else self.checks

    def closing(self) -> list[str]:
        """The lines below the checks: where to read again, and the notes."""
        stumbled = any(check.status in ("failed", "error", "timeout") for check in self.checks)
        again = [f"Read again: {self.read_again}"] if stumbled and self.read_again and not self.library_object else []
        return again + list(self.notes)

    def _repr_html_(self) -> str:
        """A small card that reads well on light and dark ground, without scripts."""
        sign, name = "✓" if self.passed else "–" if self.missing else "✗", code(f"`{self.id}`")
        below = "".join(
            f'<div style="margin-top:.4em;color:var(--jp-content-font-color2, inherit)">{code(line)}</div>'
            for line in self.closing()
        )
        return (
            '<div role="status" style="max-width:54em;margin:.3em 0;padding:.5em .9em;border-radius:4px;'
            f"border:1px solid var(--jp-border-color2, #9e9e9e66);border-left:4px solid {COLOURS[sign]};"
            'font-family:var(--jp-content-font-family, system-ui, sans-serif);font-size:14px;line-height:1.45">'
            '<div style="display:flex;flex-wrap:wrap;gap:0 1em;justify-content:space-between">'
            f'<span><b style="color:{COLOURS[sign]}">{sign}</b> <b>{escape(self.title)}</b> {name}</span>'
            f"<span>{code(self.verdict())}</span></div>{''.join(map(_row, self._rows()))}{below}</div>"
        )


@dataclass(frozen=True)
class SubmissionResult:
    """All exercises of one submission, and what a human should look at."""

    submission: str
    exercises: tuple[ExerciseResult, ...]
    flags: tuple[str, ...] = field(default=())

    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.exercises)

    @property
    def max_points(self) -> int:
        return sum(exercise.max_points for exercise in self.exercises)

    def to_json(self) -> dict:
        return {
            "submission": self.submission,
            "exercises": [exercise.to_json() for exercise in self.exercises],
            "points": self.points,
            "max_points": self.max_points,
            "flags": list(self.flags),
        }

    def __str__(self) -> str:
        total = f"{self.submission}: {self.points} of {self.max_points} points"
        return "\n".join([*map(str, self.exercises), total, *(f"note: {flag}" for flag in self.flags)])


def code(text: str) -> str:
    """Escaped HTML with `code` between backticks."""
    parts = escape(text, quote=False).split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner
        parts[-2:] = ["`".join(parts[-2:])]
    style = "background:none;padding:0;color:inherit"
    return "".join(f'<code style="{style}">{part}</code>' if i % 2 else part for i, part in enumerate(parts))


def _row(check: CheckResult) -> str:
    sign = SIGNS[check.status]
    first, *more = check.message.splitlines() or [""]
    marks = f'<span style="opacity:.75">{check.points}/{check.max_points}</span>'
    said = f' <span style="opacity:.9">· {code(first)}</span>' if first else ""
    advice = "".join(f"<div>{code(line)}</div>" for line in more)
    return (
        '<div style="display:flex;margin-top:.3em">'
        f'<b style="color:{COLOURS[sign]};flex:none;width:1.6em">{sign}</b>'
        f"<div>{escape(check.id)} {marks}{said}{advice}</div></div>"
    )
