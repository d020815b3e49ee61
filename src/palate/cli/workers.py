"""One command in several processes, as torchrun starts them: which commands share the work, and who prints."""

from __future__ import annotations

import os
import sys

import typer

SHARED = ("fit", "pretrain")


def attach(app: typer.Typer) -> None:
    """See to it before any command runs."""
    app.callback()(before)


def before(context: typer.Context) -> None:
    """Refuse what processes would do twice; silence all but the first."""
    from palate.core.errors import ConfigError

    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and context.invoked_subcommand not in SHARED:
        raise ConfigError(
            "runs in one process", key=context.invoked_subcommand, hint=f"torchrun is for {' and '.join(SHARED)}"
        )
    if not first():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def first() -> bool:
    """Whether this process speaks for all."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"
