"""Commands that learn: pretrain, fit, tune, compare, evaluate."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Any

import typer

from palate.cli import show, workers
from palate.cli.config_file import as_text
from palate.cli.options import ContentOptions, DataOptions, spread
from palate.cli.search_help import SearchHelp

Epochs = Annotated[int | None, typer.Option("--epochs", help="epochs at most, as --set epochs=N")]


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
    epochs: Epochs = None,
    reader: Annotated[list[str] | None, typer.Option(help="modality=reader, e.g. image=pixels?side=96")] = None,
    start: Annotated[
        list[str] | None, typer.Option(help="modality=encoder to go on from: minilm, hf:PATH, a pretrained folder")
    ] = None,
    tuning: Annotated[
        str, typer.Option(help="of what --start names: full, partial:N (upper layers) or lora:RANK")
    ] = "full",
    seed: show.Seed = 0,
    device: show.Device = "auto",
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
            parse(model, pretrainers, _settings(set_, epochs)),
            data,
            options.out,
            seed=seed,
            device=device,
            readers=show.pairs(reader, "--reader"),
            start=show.encoders(start),
            tuning=tuning,
            store=options.store_folder,
            checkpoint=checkpoint,
            overwrite=options.overwrite,
        )
    if options.json:
        show.emit([{"modality": m, "encoder": e.identity, "width": e.dim} for m, e in encoders.items()], True)
        return
    rows = [{"modality": m, "encoder": f"{options.out}/{m}", "width": e.dim} for m, e in encoders.items()]
    show.table(rows, f"{data.name} ({data.spec}), {model}")
    typer.echo(f"wrote {options.out}\nnext:  palate fit {options.data} --encoder {options.out} --out RUN")


def fit(
    options: ContentOptions,
    model: Annotated[str | None, typer.Option(help="see palate models [default: blend]")] = None,
    pipeline: Annotated[
        str | None, typer.Option(help="stages instead of a model: match=blend,rank=din,rerank=ssd")
    ] = None,
    set_: show.Settings = None,
    from_: show.From = None,
    epochs: Epochs = None,
    seed: show.Seed = 0,
    device: show.Device = "auto",
    init_from: Annotated[str | None, typer.Option(help="a run whose weights to start from")] = None,
    no_test: Annotated[bool, typer.Option("--no-test", help="leave the test part sealed")] = False,
    baselines: Annotated[bool, typer.Option(help="fit popularity and EASE too, for the report")] = True,
    threads: show.Threads = None,
    tensorboard: Annotated[
        str | None, typer.Option("--tensorboard", help="folder for event files of every epoch (extra track)")
    ] = None,
) -> None:
    """Read, encode, train, select on validation, open the test part once, write a run with a report.

    Raises:
        ConfigError: for a pipeline beside a model.
    """
    from palate.contracts.parse import parse_pipeline
    from palate.core.errors import ConfigError
    from palate.evaluation.runs import run_fit

    if pipeline and (model or from_):
        raise ConfigError("a pipeline names its own models", key="--pipeline", hint="leave --model and --from out")
    tuned_model, tuned = show.tuned(from_) if from_ else (None, {})
    stages = parse_pipeline(pipeline) if pipeline else {}
    data = options.load()
    result = run_fit(
        data,
        "funnel" if pipeline else model or tuned_model or "blend",
        options.out,
        settings={**tuned, **stages, **_settings(set_, epochs)},
        seed=seed,
        device=device,
        callbacks=_callbacks(tensorboard),
        source=options.source,
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
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value that stays fixed")] = None,
    epochs: Epochs = None,
    seed: show.Seed = 0,
    device: show.Device = "auto",
) -> None:
    """Search settings on validation only; all trials are kept, a killed search resumes."""
    from palate.training.tune import tune as search

    data = options.load()
    content = options.content(data)
    fixed = _settings(set_, epochs)
    ranges = show.pairs(space, "--space")
    result = search(
        data, model, trials, ranges, seed, options.out, content, options.overwrite, fixed=fixed, device=device
    )
    if options.json:
        show.emit(result, True)
        return
    show.table(result["best"], f"{model}: best of {len(result['trials'])} trials, trial 1 is the default")
    typer.echo(f"next: palate fit {options.data} --from {options.out}/best.json --out RUN")


def compare(
    options: ContentOptions,
    models: Annotated[
        str | None, typer.Option(help="names, comma separated; name@preset or name:key=value;key=value")
    ] = None,
    from_: Annotated[
        list[str] | None, typer.Option("--from", help="best.json of palate tune: that model, too; repeatable")
    ] = None,
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
    from palate.cli.comparison import comparison_rows
    from palate.evaluation.compare import compare as run

    named = _compared(models, from_)
    data = options.load()
    result = run(
        data,
        named,
        options.out,
        seeds=seeds,
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
    show.table(
        comparison_rows(result),
        f"{data.name} ({data.spec}); difference: {result['headline']} minus that of {result['baseline']}",
    )
    show.openings(result["openings_of_test"])
    typer.echo(f"all metrics, costs and settings: {options.out}/result.md, {options.out}/result.json")
    if len(show.rates(missing)) > 1:
        typer.echo(f"score against missing modalities: {options.out}/missing.md, {options.out}/missing.svg")


def evaluate(
    run: show.RunPath,
    data: Annotated[
        str | None, typer.Option(help="the data the run was fitted on [default: where they were then]")
    ] = None,
    layout: show.Layout = None,
    name: show.Name = None,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Open the test part for a saved run; every opening is counted, in the run and on this machine."""
    import palate
    from palate.evaluation.runs import run_evaluate, source_of

    source = source_of(run) if data is None else {"path": data, "layout": layout, "name": name}
    path, kind, which = source["path"], layout or source["layout"], name or source["name"]
    result = run_evaluate(run, lambda given: palate.load(str(path), kind, name=which, **given))
    if json:
        show.emit(result, True)
    else:
        show.table([{"metric": metric, "value": value} for metric, value in result["metrics"].items()])
        show.openings(result["openings_of_test"])


def _settings(options: list[str] | None, epochs: int | None) -> dict[str, Any]:
    """Settings of ``--set`` and ``--epochs``."""
    return {**({} if epochs is None else {"epochs": epochs}), **show.settings(options)}


def _compared(models: str | None, tuned: list[str] | None) -> list[str]:
    """Names of the models to compare: those of ``--models``, and results of ``palate tune`` with their settings.

    Args:
        models: value of ``--models``.
        tuned: files of ``--from``.

    Raises:
        ConfigError: if there are none.
    """
    from palate.core.errors import ConfigError

    named = [name.strip() for name in (models or "").split(",") if name.strip()]
    for file in tuned or ():
        model, settings = show.tuned(file)
        pairs = ";".join(f"{key}={as_text(value)}" for key, value in settings.items())
        named.append(f"{model}{';' if ':' in model else ':'}{pairs}" if pairs else model)
    if not named:
        raise ConfigError("name the models to compare", key="--models", hint="--models popularity,ease,blend")
    return named


def _callbacks(tensorboard: str | None) -> list[Any]:
    if tensorboard is None:
        return []
    from palate.training.tensorboard import TensorBoard

    return [TensorBoard(tensorboard)]
