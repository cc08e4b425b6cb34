"""The one kind of error that the person at the keyboard can mend."""


class CourseError(Exception):
    """Bad input, data or options: one line that says what is wrong and what would be right.

    The `course` command prints it as `course: …` and exits with status 2; a notebook shows the line alone.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]
