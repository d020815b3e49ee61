"""``palate tune --model NAME --help``: the ranges that a search of this model tries."""

from __future__ import annotations

import contextlib
from typing import Any

from typer.core import TyperCommand


class SearchHelp(TyperCommand):
    """A command whose help ends with the search space of the model that ``--model`` names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note the model before ``--help`` ends parsing."""
        ctx.meta["model"] = _model_of(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, then the search space."""
        super().format_help(ctx, formatter)
        import typer

        from palate.cli import show

        name = ctx.meta.get("model")
        if name is None:
            typer.echo("Searched unless --space is given: see palate tune --model NAME --help")
            return
        from palate.contracts import models
        from palate.core.settings import settings_of

        rows = [
            {"setting": one.name, "search": one.search, "description": one.description}
            for one in settings_of(models.get(name.partition("@")[0]).Config)
            if one.search
        ]
        show.table(rows, f"searched for {name} unless --space is given" if rows else f"{name} has no search space")


def _model_of(args: list[str]) -> str | None:
    for place, argument in enumerate(args):
        if argument.startswith("--model="):
            return argument.partition("=")[2]
        if argument == "--model":
            with contextlib.suppress(IndexError):
                return args[place + 1]
    return None
