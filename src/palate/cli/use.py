"""Commands that use a run: recommend, add, export."""

from __future__ import annotations

from typing import Annotated

import typer

from . import show


def attach(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (recommend, add, export):
        app.command()(command)


def recommend(
    run: show.RunPath,
    user: Annotated[list[str] | None, typer.Option("--user", help="user id, repeatable")] = None,
    history: Annotated[str | None, typer.Option(help="item ids a visitor took, comma separated")] = None,
    k: Annotated[int, typer.Option("-k", help="list length")] = 10,
    on_unknown: Annotated[str, typer.Option(help="error, skip or fallback")] = "error",
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """The best items for a user or for a visitor's history."""
    import palate

    model = palate.restore(run)
    taken = [item.strip() for item in history.split(",")] if history else None
    table = model.recommend(users=user, k=k, history=taken, on_unknown=on_unknown)  # type: ignore[operator]
    rows = table.to_dicts()
    if json:
        show.emit(rows, True)
    else:
        show.table(rows)


def add(
    run: show.RunPath,
    items: Annotated[str, typer.Argument(metavar="ITEMS", help="table of new items, columns as in the catalogue")],
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Encode new items and make them recommendable; nothing is retrained."""
    from palate.evaluation.job import run_add

    added = run_add(run, items)
    show.emit({"added": added}, json)
    if not json:
        typer.echo(f"added {added} items")


def export(
    run: show.RunPath,
    out: show.Out,
    onnx: Annotated[bool, typer.Option("--onnx", help="the scorer as an ONNX graph, too")] = False,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Vectors as Parquet and safetensors, for an index or another system."""
    import palate
    from palate.evaluation.export import export_vectors

    files = export_vectors(palate.restore(run), out, onnx)
    show.emit(files, json)
    if not json:
        typer.echo("\n".join(files))
