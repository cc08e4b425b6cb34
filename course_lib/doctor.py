"""What the course finds on this machine, and what to do about each problem."""

import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """The path of a Chromium or Chrome on this machine, None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
