"""Commands that learn: pretrain, fit, tune, compare, evaluate."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from palate.cli import show, workers
from palate.cli.options import ContentOptions, DataOptions, spread
from palate.cli.search_help import SearchHelp


def attach(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: the command line.
    """
    for command in (pretrain, fit, compare):
        app.command()(spread(command))
    app.command(cls=SearchHelp)(spread(tune))
    app.command()(evaluate)


def pretrain(
    options: DataOptions,
    model: show.ModelName,
    set_: show.Settings = None,
    reader: Annotated[list[str] | None, typer.Option(help="modality=reader, e.g. image=pixels?side=96")] = None,
    start: Annotated[
        list[str] | None, typer.Option(help="modality=encoder to go on from: minilm, hf:PATH, a pretrained folder")
    ] = None,
    tuning: Annotated[
        str, typer.Option(help="of what --start names: full, partial:N (upper layers) or lora:RANK")
    ] = "full",
    seed: show.Seed = 0,
) -> None:
    """Learn encoders on the catalogue itself; encode, fit and compare take the folder as --encoder."""
    from palate.contracts import parse, pretrainers
    from palate.core.locks import locked
    from palate.training.pretrain import pretrain as run
    from palate.training.replacing import checkpoint_of

    data = options.load()
    checkpoint = checkpoint_of(options.out)
    with locked(checkpoint, wait=0.0, shown=options.out) if workers.first() else nullcontext():
        encoders = run(
            parse(model, pretrainers, show.settings(set_)),
            data,
            options.out,
            seed=seed,
            readers=show.pairs(reader, "--reader"),
            start=show.encoders(start),
            tuning=tuning,
            store=options.store_folder,
            checkpoint=checkpoint,
            overwrite=options.overwrite,
        )
    rows = [{"modality": m, "encoder": e.identity, "width": e.dim} for m, e in encoders.items()]
    show.rows(rows, options.json, f"{data.name} ({data.spec}), {model}")


def fit(
    options: ContentOptions,
    model: show.ModelName = "blend",
    set_: show.Settings = None,
    seed: show.Seed = 0,
    init_from: Annotated[str | None, typer.Option(help="a run whose weights to start from")] = None,
    no_test: Annotated[bool, typer.Option("--no-test", help="leave the test part sealed")] = False,
    baselines: Annotated[bool, typer.Option(help="fit popularity and EASE too, for the report")] = True,
) -> None:
    """Read, encode, train, select on validation, open the test part once, write a run with a report."""
    from palate.evaluation.runs import run_fit

    data = options.load()
    result = run_fit(
        data,
        model,
        options.out,
        settings=show.settings(set_),
        seed=seed,
        content=options.content(data),
        init_from=init_from,
        test=not no_test,
        baselines=baselines,
        overwrite=options.overwrite,
    )
    if options.json:
        show.emit(result, True)
        return
    for note in data.notes:
        typer.echo(f"  {note}")
    show.table(result["headline"], f"{data.name} ({data.spec}), positives: {data.positive}")
    if not no_test:
        show.openings(result["openings_of_test"])
    for sentence in result["verdict"]:
        typer.echo(sentence)
    typer.echo(f"report: {options.out}/report.html")


def tune(
    options: ContentOptions,
    model: show.ModelName,
    trials: Annotated[int, typer.Option(help="settings to try")] = 20,
    space: Annotated[list[str] | None, typer.Option(help="key=a,b,c or key=low..high or key=low..high:log")] = None,
    seed: show.Seed = 0,
) -> None:
    """Search settings on validation only; all trials are kept, a killed search resumes."""
    from palate.training.tune import tune as search

    data = options.load()
    content = options.content(data)
    result = search(data, model, trials, show.pairs(space, "--space"), seed, options.out, content, options.overwrite)
    if options.json:
        show.emit(result, True)
        return
    show.table(result["best"], f"best of {len(result['trials'])} trials")


def compare(
    options: ContentOptions,
    models: Annotated[str, typer.Option(help="names, comma separated; name@preset or name:key=value;key=value")],
    seeds: Annotated[int, typer.Option(help="number of seeds (of draws in item_cold)")] = 3,
    axis: Annotated[list[str] | None, typer.Option(help="key=v1,v2: every model with every value")] = None,
    missing: Annotated[
        str | None, typer.Option(help="chances that an item lacks a modality at test: 0,.3,.6; leaves a plot")
    ] = None,
    missing_of: Annotated[str | None, typer.Option(help="only these modalities may be missing: text,image")] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="what the others are tested against (default: best by validation without content)"),
    ] = None,
) -> None:
    """Models x seeds on one split, paired tests with Holm, time and memory; one result file."""
    from palate.evaluation.compare import compare as run

    data = options.load()
    result = run(
        data,
        [name.strip() for name in models.split(",")],
        options.out,
        seeds=range(seeds),
        axes={key: value.split(",") for key, value in show.pairs(axis, "--axis").items()},
        missing=show.rates(missing),
        missing_of=missing_of.split(",") if missing_of else None,
        baseline=baseline,
        encoders=show.encoders(options.encoder),
        store=options.store_folder,
        overwrite=options.overwrite,
    )
    if options.json:
        show.emit(result, True)
        return
    rows = [{key: value for key, value in row.items() if not key.endswith("by seed")} for row in result["table"]]
    show.table(rows, f"{data.name} ({data.spec}), baseline {result['baseline']}")
    show.openings(result["openings_of_test"])
    typer.echo(f"differences with Holm's p: {options.out}/result.md")
    if len(show.rates(missing)) > 1:
        typer.echo(f"score against missing modalities: {options.out}/missing.md, {options.out}/missing.svg")


def evaluate(
    run: show.RunPath,
    data: Annotated[str, typer.Option(help="the data the run was fitted on")],
    layout: show.Layout = None,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Open the test part for a saved run; every opening is counted, in the run and on this machine."""
    import palate
    from palate.evaluation.runs import run_evaluate

    result = run_evaluate(run, lambda given: palate.load(data, layout, **given))
    if json:
        show.emit(result, True)
    else:
        show.table([{"metric": name, "value": value} for name, value in result["metrics"].items()])
        show.openings(result["openings_of_test"])
