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
        typer.echo(f"added {added} item{'' if added == 1 else 's'}")


def export(
    run: show.RunPath,
    out: show.Out,
    onnx: Annotated[bool, typer.Option("--onnx", help="the scorer as an ONNX graph, too")] = False,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Vectors as Parquet and safetensors where the model or its members have some, else lists, for another system."""
    import palate
    from palate.evaluation.export import export_model

    files = export_model(palate.restore(run), out, onnx)
    show.emit(files, json)
    if not json:
        typer.echo("\n".join(files))


def serve(
    run: show.RunPath,
    compare: Annotated[list[str] | None, typer.Option(help="further run that can answer, repeatable")] = None,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on, 0 for any that is free")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="number of processes")] = 1,
    state: Annotated[str | None, typer.Option(help="folder of the service's state [default: RUN-shop]")] = None,
    events: Annotated[str | None, typer.Option(help="database URL [default: SQLite in the state folder]")] = None,
    index: Annotated[str | None, typer.Option(help="URL of a Qdrant server for the index")] = None,
    keys: Annotated[str | None, typer.Option(help="file of API keys, one a line: KEY [use|manage]")] = None,
    open: Annotated[bool, typer.Option("--open", help="serve other machines without a key")] = False,
    host_name: Annotated[
        list[str] | None, typer.Option(help="name that the server answers to, besides its address, repeatable")
    ] = None,
    proxy_headers: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="proxy whose X-Forwarded-For and -Proto are believed, repeatable"),
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="requests per second and client, 0 for no limit")] = 100,
    queue: Annotated[int, typer.Option(min=1, help="requests in flight per process; further ones get 503")] = 32,
    connections: Annotated[int, typer.Option(min=1, help="connections per process")] = 1000,
    client_connections: Annotated[int, typer.Option(min=1, help="connections of one client per process")] = 500,
    head_timeout: Annotated[float, typer.Option(min=0.01, help="seconds for the head of a request")] = 10,
    body_timeout: Annotated[float, typer.Option(min=0.01, help="seconds for the body of a request")] = 10,
    idle_timeout: Annotated[float, typer.Option(min=0.01, help="seconds that a connection may be idle")] = 10,
    page: Annotated[bool, typer.Option("--page/--no-page", help="serve the web page at /")] = True,
    cors: Annotated[list[str] | None, typer.Option(help="origin that may call the API, repeatable")] = None,
    blocklist: Annotated[
        str | None, typer.Option(help="file of words, one a line, that generated content may not hold")
    ] = None,
    text_backend: Annotated[
        str | None, typer.Option(help="language model of generated texts, such as smollm2 or server:URL#MODEL")
    ] = None,
    generation_seconds: Annotated[float, typer.Option(min=0.05, help="seconds for one generated content")] = 20,
    generator: Annotated[
        list[str] | None, typer.Option(metavar="RUN", help="run of a fitted generator, named as its folder, repeatable")
    ] = None,
    debug: show.Debug = False,
) -> None:
    """Serve a run: HTTP API, events, new items, and a web page."""
    import os

    show.start()
    from palate.serving.network.limits import Limits
    from palate.serving.run import serve
    from palate.serving.settings import Settings

    limits = Limits(
        head_seconds=head_timeout,
        body_seconds=body_timeout,
        idle_seconds=idle_timeout,
        connections=connections,
        client_connections=client_connections,
    )
    # a folder may be given as "."; its name addresses the run
    extra_runs = tuple(os.path.abspath(folder) for folder in compare or ())
    settings = Settings(
        run, state, extra_runs, events, keys, rate, queue, page=page, cors=tuple(cors or ()), index_url=index,
        host_names=tuple(host_name or ()), proxies=tuple(proxy_headers or ()), limits=limits, blocklist=blocklist,
        text_backend=text_backend or "", generation_seconds=generation_seconds,
        generators=tuple(os.path.abspath(folder) for folder in generator or ()),
    )  # fmt: skip
    serve(
        settings, host, port, workers, open,
        on_ready=lambda url: typer.echo(f"serves {run} at {url}, state in {settings.folder}"),
    )  # fmt: skip
