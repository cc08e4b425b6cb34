"""The one kind of error that the person at the keyboard can mend."""


class CourseError(Exception):
    """Bad input, data or options: one line that says what is wrong and what would be right.

    The `course` command prints it as `course: …` and exits with this status; a notebook shows the line alone.
    """

    status = 2

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class Stopped(CourseError):
    """Ctrl-C ended it in good order: what was done is saved, and the line says how to go on."""

    status = 130
