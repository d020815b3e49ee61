"""``palate``: the commands, each in its own file, imported when it runs so that ``--help`` is instant."""

from __future__ import annotations

import os
import sys
import warnings

import typer

from palate.cli import create, data, draw, explore, learn, lists, rate, tag, use, workers

app = typer.Typer(
    name="palate",
    help="Multimodal pretraining, adaptation and generation for recommendation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (workers, data, learn, draw, lists, tag, use, create, rate, explore):
    group.attach(app)


def run() -> None:
    """Run the command line; a user's mistake is one line and exit code 2, never a traceback."""
    from palate.cli.wording import for_command_line
    from palate.core.boundary import DEBUG
    from palate.core.errors import PalateError

    if "--debug" in sys.argv:
        os.environ[DEBUG] = "1"
    else:
        # without the place in the code, which says nothing to who uses the command line
        warnings.formatwarning = _one_line
    try:
        app()
    except PalateError as error:
        if "--debug" in sys.argv:
            raise
        typer.secho("error: " + for_command_line(" ".join(str(error).split())), fg="red", err=True)
        sys.exit(2)
    except OSError as error:
        if "--debug" in sys.argv:
            raise
        place = f"file {str(error.filename)!r}: " if error.filename else ""
        typer.secho(f"error: {place}{error.strerror or error}", fg="red", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.secho("stopped; run the same command again to resume", fg="yellow", err=True)
        sys.exit(130)


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    return f"warning: {' '.join(str(message).split())}\n"
