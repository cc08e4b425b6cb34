from typing import Annotated

import typer

EXAMPLE = "Example: course lab --chapter 3"


def lab(
    chapter: Annotated[int, typer.Option(help="Open this chapter.", min=0)] = 0,
    browser: Annotated[
        bool | None,
        typer.Option(
            "--browser/--no-browser",
            help="Open a browser; else print the address.",
            show_default="where there is a screen",
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Where to listen; the next free one is taken.", min=1, max=65535)] = 8888,
    ip: Annotated[str, typer.Option(help="Who may connect; 0.0.0.0 inside a container.")] = "localhost",
) -> None:
    """Open the course in JupyterLab.

    Stop it with Ctrl-C. Is the course on another machine than your browser? Let ssh bring the port here first:
    ssh -L 8888:localhost:8888 that-machine
    """
    from course_lib.lab import open_lab

    open_lab(chapter, browser=browser, port=port, ip=ip)
