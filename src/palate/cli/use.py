"""Commands that use a run: add, export, serve."""

from __future__ import annotations

from typing import Annotated

import typer

from palate.cli import show


def attach(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: the command line.
    """
    for command in (add, export, serve):
        app.command()(command)


def add(
    run: show.RunPath,
    items: Annotated[str, typer.Argument(metavar="ITEMS", help="table of new items, columns as in the catalogue")],
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Encode new items and make them recommendable; nothing is retrained."""
    from palate.evaluation.runs import run_add

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


def serve(
    run: show.RunPath,
    compare: Annotated[list[str] | None, typer.Option(help="further run that can answer, repeatable")] = None,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="number of processes")] = 1,
    state: Annotated[str | None, typer.Option(help="folder of the service's state [default: RUN-shop]")] = None,
    events: Annotated[str | None, typer.Option(help="database URL [default: SQLite in the state folder]")] = None,
    index: Annotated[str | None, typer.Option(help="URL of a Qdrant server for the index")] = None,
    keys: Annotated[str | None, typer.Option(help="file of API keys, one a line: KEY [use|manage]")] = None,
    open: Annotated[bool, typer.Option("--open", help="serve other machines without a key")] = False,
    rate: Annotated[float, typer.Option(min=0, help="requests per second and client, 0 for no limit")] = 100,
    queue: Annotated[int, typer.Option(min=1, help="requests in flight per process; further ones get 503")] = 32,
    page: Annotated[bool, typer.Option("--page/--no-page", help="serve the web page at /")] = True,
    cors: Annotated[list[str] | None, typer.Option(help="origin that may call the API, repeatable")] = None,
    debug: show.Debug = False,
) -> None:
    """Serve a run: HTTP API, events, new items, and a web page."""
    show.start()
    for folder in (run, *(compare or ())):
        _check_run(folder)
    from palate.serving.api.app import Settings
    from palate.serving.run import serve

    settings = Settings(
        run, state, tuple(compare or ()), events, keys, rate, queue, page=page, cors=tuple(cors or ()), index_url=index
    )
    typer.echo(f"serving {run} at http://{host}:{port}/, state in {settings.folder}")
    serve(settings, host, port, workers, open)


def _check_run(folder: str) -> None:
    from pathlib import Path

    from palate.core.errors import ArtefactError

    if not (Path(folder) / "manifest.json").is_file():
        raise ArtefactError("not a run folder", file=folder, hint="expected manifest.json, written by palate fit")
