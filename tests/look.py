"""Take pictures of every output of notebooks, in the light and the dark theme, so that a person can look at them.

    python -m tests.look notebooks/03_attention.ipynb pictures/ [--theme light|dark|both] [--width 900]

Writes pictures/03_attention/NN_cell-id_light.png and _dark.png, and says what is wrong on the page. Views that ask for
a prediction first get an answer, so that they are seen.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.browser import jupyter_lab, notebook_page


def look(notebooks: list[Path], out: Path, themes: list[str], width: int) -> int:
    """Photograph the notebooks; the number of problems found."""
    problems = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for notebook in notebooks:
            shutil.copy(notebook, folder)
        for theme in themes:
            with jupyter_lab(folder, dark=theme == "dark") as lab:
                for notebook in notebooks:
                    with notebook_page(lab, width=width) as page:
                        problems += _photograph(page, notebook, out / notebook.stem, theme)
    return problems


def _photograph(page, notebook: Path, out: Path, theme: str) -> int:
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"*_{theme}.png"):
        old.unlink()
    page.open(notebook.name)
    problems = [f"cell raised {error}" for error in page.run_all_cells()]
    page.answer_predictions()
    ids = [cell.get("id", "") for cell in json.loads(notebook.read_text())["cells"]]
    taken = 0
    for number, cell in enumerate(page.cells()):
        area = cell.locator(".jp-Cell-outputWrapper")
        if not area.count() or not area.locator(".jp-OutputArea-child").count():
            continue
        page.screenshot(area.first, out / f"{number:02}_{ids[number]}_{theme}.png")
        taken += 1
    problems += page.problems()
    print(f"{notebook.name} {theme}: {taken} pictures in {out}/, {len(problems)} problems")
    for problem in problems:
        print("  ", problem)
    return len(problems)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path, help="notebooks, and last the folder for the pictures")
    parser.add_argument("--theme", choices=["light", "dark", "both"], default="both")
    parser.add_argument("--width", type=int, default=1300, help="of the browser window, in pixels")
    options = parser.parse_args()
    *notebooks, out = options.paths
    if not notebooks:
        parser.error("name a notebook and a folder")
    themes = ["light", "dark"] if options.theme == "both" else [options.theme]
    return 1 if look(notebooks, out, themes, options.width) else 0


if __name__ == "__main__":
    sys.exit(main())
