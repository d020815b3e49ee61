"""Commands to look around: models, encoders, demo, bench."""

from __future__ import annotations

from typing import Annotated

import typer

from palate.cli import show


def attach(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: the command line.
    """
    for command in (models, encoders, demo, bench):
        app.command()(command)


DEFAULT = "blend"
ABILITIES = {
    "new_items": ("new items", "scores items that were added after fitting, from their content"),
    "new_users": ("new users", "answers for visitors of whom only a history is known"),
    "content": ("content", "reads texts, pictures, sounds or attributes"),
    "tuning": ("trains encoders", "can train the encoders of its content with it (--set tuning=...)"),
    "vectors": ("vectors", "palate export writes a vector of each item and user"),
}


def models(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="one system, with all its settings")] = None,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Recommenders by task, then generators and systems that pretrain encoders; NAME shows one with its settings."""
    if json or name:
        from palate.contracts.describe import all_kinds, describe

        if json and not name:
            show.emit([describe(kind) for kind in all_kinds()], True)
            return
        _one_model(str(name), json)
        return
    from palate.models.systems import systems

    found = [system for system in systems() if system["task"] not in ("pretrain", "generate")]
    found.sort(key=lambda system: (system["task"] != "match", system["task"], system["name"]))
    rows = [
        {
            "name": f"{system['name']} (default)" if system["name"] == DEFAULT else system["name"],
            "task": system["task"],
            "can do": ", ".join(word for key, (word, _) in ABILITIES.items() if system["capabilities"].get(key)),
            "presets": ", ".join(f"@{preset}" for preset in system["presets"]),
        }
        for system in found
    ]
    show.table(rows, "models: palate fit DATA --model NAME, NAME@preset or NAME:key=value")
    used = [key for key in ABILITIES if any(key in system["capabilities"] for system in found)]
    typer.echo("\n".join(f"{ABILITIES[key][0]}: {ABILITIES[key][1]}" for key in used))
    writers = ", ".join(system["name"] for system in systems() if system["task"] == "generate")
    typer.echo(f"\nGenerators of texts, pictures and clips (palate generate RUN --generator NAME): {writers}")
    learners = ", ".join(system["name"] for system in systems() if system["task"] == "pretrain")
    typer.echo(f"\nSystems that pretrain encoders (palate pretrain DATA --model NAME): {learners}")
    for system in systems():
        if system["caution"]:
            typer.echo(f"{system['name']}: {system['caution']}")
    typer.echo("\npalate models NAME shows the paper and all settings of one.")


def _one_model(name: str, json: bool) -> None:
    from palate.contracts.describe import all_systems, describe
    from palate.core.errors import ConfigError, did_you_mean

    known = all_systems()
    if name not in known:
        raise ConfigError("unknown model", key=name, hint=did_you_mean(name, known))
    system = describe(known[name])
    if json:
        show.emit(system, True)
        return
    able = [word for key, (word, _) in ABILITIES.items() if system["capabilities"].get(key)]
    typer.echo(f"{name}: {system['paper']}\ntask: {system['task']}; can do: {', '.join(able) or 'no more than that'}")
    if system["caution"]:
        typer.echo(f"caution: {system['caution']}")
    for preset, settings in system["presets"].items():
        typer.echo(f"{name}@{preset}: {', '.join(f'{key}={value}' for key, value in settings.items())}")
    columns = ("name", "default", "range", "description")
    rows = [
        {column: one[column] if one[column] is not None else "none" for column in columns} for one in system["settings"]
    ]
    show.table(rows, "settings: --set name=value")


def encoders(json: show.Json = False, debug: show.Debug = False) -> None:
    """Encoders of each modality: which is the default, which can be used here, what to install for the others."""
    from palate.features.available import available_encoders

    rows = available_encoders()
    if json:
        show.emit(rows, True)
        return
    show.table(rows, "encoders: --encoder modality=encoder; modality=none leaves a modality out")
    typer.echo(
        "Also a folder that palate pretrain wrote (--encoder FOLDER), and pca:ENCODER?dim=64 of another encoder."
    )


def demo(
    out: Annotated[str, typer.Argument(metavar="OUT", help="folder to write")] = "demo",
    items: Annotated[int, typer.Option(help="items of the simulated shop")] = 1000,
    users: Annotated[int, typer.Option(help="users of the simulated shop")] = 1500,
    seed: Annotated[int, typer.Option()] = 0,
    overwrite: show.Overwrite = False,
    json: show.Json = False,
    quiet: show.Quiet = False,
    debug: show.Debug = False,
) -> None:
    """Simulate a shop, encode it, fit popularity, ID-only and multimodal models, write a report."""
    from pathlib import Path

    import palate
    from palate.evaluation.runs import run_fit
    from palate.features.plan import plan_content
    from palate.simulation.world import World

    show.start(quiet)
    folder = Path(out)
    world = World.make(preset="shop", seed=seed, n_items=items, n_users=users)
    shop = world.write(folder / "shop", overwrite=overwrite or world.is_written(folder / "shop"))
    data = palate.load(shop)
    # its pictures are drawn shapes, and a demonstration is to be quick
    content = plan_content(data, {"image": "image_stats"}, store=folder / "store")
    result = run_fit(data, "blend", folder / "run", content=content, seed=seed, overwrite=overwrite)
    report = str(folder / "run" / "report.html")
    if json:
        show.emit({**result, "report": report}, True)
        return
    show.table(result["headline"], "test part of the simulated shop")
    typer.echo(
        f"report:  {report}\nshop:    palate serve {folder / 'run'}\n"
        f"gallery: palate gallery {folder / 'run'} --out {folder / 'gallery'}"
    )


def bench(json: show.Json = False, debug: show.Debug = False) -> None:
    """Speed ratios of this machine: propagation and full ranking against their bounds."""
    from palate.evaluation.speed import measure

    rows = measure()
    if json:
        show.emit(rows, True)
    else:
        show.table(rows)
