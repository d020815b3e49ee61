"""Commands that learn: pretrain, fit, tune, compare, evaluate."""

from __future__ import annotations

from typing import Annotated

import typer

from . import show


def attach(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (pretrain, fit, tune, compare, evaluate):
        app.command()(command)


def pretrain(
    data: show.DataPath,
    model: show.ModelName,
    out: show.Out,
    set_: show.Settings = None,
    reader: Annotated[list[str] | None, typer.Option(help="modality=reader, e.g. image=pixels?side=96")] = None,
    start: Annotated[
        list[str] | None, typer.Option(help="modality=encoder to go on from: minilm, hf:PATH, a pretrained folder")
    ] = None,
    tuning: Annotated[
        str, typer.Option(help="of what --start names: full, partial:N (upper layers) or lora:RANK")
    ] = "full",
    split: show.SplitOption = None,
    positive: show.PositiveOption = None,
    seed: show.Seed = 0,
    store: show.Store = None,
    layout: show.Layout = None,
    json: show.Json = False,
    quiet: show.Quiet = False,
    debug: show.Debug = False,
) -> None:
    """Learn encoders on the catalogue itself; encode, fit and compare take the folder as --encoder."""
    import palate
    from palate.contracts import parse, pretrainers
    from palate.training.pretrain import pretrain as run

    from .data import store_of

    show.start(quiet)
    loaded = palate.load(data, layout, positive=show.positive(positive), split=split)
    made = run(
        parse(model, pretrainers, show.settings(set_)),
        loaded,
        out,
        seed=seed,
        readers=show.pairs(reader, "--reader"),
        start=show.encoders(start),
        tuning=tuning,
        store=store or store_of(data),
        checkpoint=f"{out}.checkpoint",
    )
    rows = [{"modality": m, "encoder": e.identity, "width": e.dim} for m, e in made.items()]
    if json:
        show.emit(rows, True)
    else:
        show.table(rows, f"{loaded.name} ({loaded.spec}), {model}")


def fit(
    data: show.DataPath,
    out: show.Out,
    model: show.ModelName = "blend",
    set_: show.Settings = None,
    split: show.SplitOption = None,
    positive: show.PositiveOption = None,
    seed: show.Seed = 0,
    encoder: show.Encoders = None,
    store: show.Store = None,
    init_from: Annotated[str | None, typer.Option(help="a run whose weights to start from")] = None,
    no_test: Annotated[bool, typer.Option("--no-test", help="leave the test part sealed")] = False,
    baselines: Annotated[bool, typer.Option(help="fit popularity and EASE too, for the report")] = True,
    layout: show.Layout = None,
    json: show.Json = False,
    quiet: show.Quiet = False,
    debug: show.Debug = False,
) -> None:
    """Read, encode, train, select on validation, open the test part once, write a run with a report."""
    import palate
    from palate.evaluation.runs import run_fit
    from palate.features.plan import plan_content

    from .data import store_of

    show.start(quiet)
    loaded = palate.load(data, layout, positive=show.positive(positive), split=split)
    content = plan_content(loaded, show.encoders(encoder), store or store_of(data))
    result = run_fit(
        loaded,
        model,
        out,
        settings=show.settings(set_),
        seed=seed,
        content=content,
        init_from=init_from,
        test=not no_test,
        baselines=baselines,
    )
    if json:
        show.emit(result, True)
        return
    for note in loaded.notes:
        typer.echo(f"  {note}")
    show.table(result["headline"], f"{loaded.name} ({loaded.spec}), positives: {loaded.positive}")
    typer.echo(f"report: {out}/report.html")


def tune(
    data: show.DataPath,
    model: show.ModelName,
    out: show.Out,
    trials: Annotated[int, typer.Option(help="settings to try")] = 20,
    space: Annotated[list[str] | None, typer.Option(help="key=a,b,c or key=low..high or key=low..high:log")] = None,
    split: show.SplitOption = None,
    positive: show.PositiveOption = None,
    seed: show.Seed = 0,
    encoder: show.Encoders = None,
    store: show.Store = None,
    layout: show.Layout = None,
    json: show.Json = False,
    quiet: show.Quiet = False,
    debug: show.Debug = False,
) -> None:
    """Search settings on validation only; all trials are kept, a killed search resumes."""
    import palate
    from palate.features.plan import plan_content
    from palate.training.tune import tune as search

    from .data import store_of

    show.start(quiet)
    loaded = palate.load(data, layout, positive=show.positive(positive), split=split)
    content = plan_content(loaded, show.encoders(encoder), store or store_of(data))
    result = search(loaded, model, trials, show.pairs(space, "--space"), seed, out, content)
    if json:
        show.emit(result, True)
        return
    show.table(result["best"], f"best of {len(result['trials'])} trials")


def compare(
    data: show.DataPath,
    models: Annotated[str, typer.Option(help="names, comma separated; name@preset or name:key=value;key=value")],
    out: show.Out,
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
    split: show.SplitOption = None,
    positive: show.PositiveOption = None,
    encoder: show.Encoders = None,
    store: show.Store = None,
    layout: show.Layout = None,
    json: show.Json = False,
    quiet: show.Quiet = False,
    debug: show.Debug = False,
) -> None:
    """Models x seeds on one split, paired tests with Holm, time and memory; one result file."""
    import palate
    from palate.evaluation.compare import compare as run

    from .data import store_of

    show.start(quiet)
    loaded = palate.load(data, layout, positive=show.positive(positive), split=split)
    result = run(
        loaded,
        [name.strip() for name in models.split(",")],
        out,
        seeds=range(seeds),
        axes={key: value.split(",") for key, value in show.pairs(axis, "--axis").items()},
        missing=show.rates(missing),
        missing_of=missing_of.split(",") if missing_of else None,
        baseline=baseline,
        encoders=show.encoders(encoder),
        store=store or store_of(data),
    )
    if json:
        show.emit(result, True)
        return
    rows = [{key: value for key, value in row.items() if not key.endswith("by seed")} for row in result["table"]]
    show.table(rows, f"{loaded.name} ({loaded.spec}), baseline {result['baseline']}")
    typer.echo(f"differences with Holm's p: {out}/result.md")
    if len(show.rates(missing)) > 1:
        typer.echo(f"score against missing modalities: {out}/missing.md, {out}/missing.svg")


def evaluate(
    run: show.RunPath,
    data: Annotated[str, typer.Option(help="the data the run was fitted on")],
    layout: show.Layout = None,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Open the test part for a saved run; every opening is counted in the run."""
    import palate
    from palate.evaluation.runs import run_evaluate

    result = run_evaluate(run, lambda options: palate.load(data, layout, **options))
    if json:
        show.emit(result, True)
    else:
        show.table([{"metric": name, "value": value} for name, value in result["metrics"].items()])
