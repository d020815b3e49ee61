"""Commands in several processes, as torchrun starts them: which share the work, and which process prints."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

SHARED = ("fit", "pretrain")


def attach(app: typer.Typer) -> None:
    """Check before any command runs.

    Args:
        app: the command line.
    """
    app.callback()(before)


def show_version(wanted: bool) -> None:
    """Print the version and end.

    Args:
        wanted: whether ``--version`` was given.

    Raises:
        Exit: where it was.
    """
    if wanted:
        import palate

        typer.echo(f"palate {palate.__version__}")
        raise typer.Exit


def before(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="print the version and end")
    ] = False,
) -> None:
    """Multimodal pretraining, adaptation and generation for recommendation.

    In several processes, commands that would run twice are refused, and all processes but the first are silent.

    Args:
        context: names the command.
        version: print the version and end.

    Raises:
        ConfigError: in several processes, for a command that does not share work.
    """
    from palate.core.errors import ConfigError

    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and context.invoked_subcommand not in SHARED:
        raise ConfigError(
            "runs in one process", key=context.invoked_subcommand, hint=f"torchrun is for {' and '.join(SHARED)}"
        )
    if not first():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def first() -> bool:
    """Whether this process prints."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"
