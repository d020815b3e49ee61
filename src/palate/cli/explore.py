"""Commands to look around: models, demo, bench."""

from __future__ import annotations

from typing import Annotated

import typer

from palate.cli import show


def attach(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: the command line.
    """
    for command in (models, demo, bench):
        app.command()(command)


def models(json: show.Json = False) -> None:
    """Every system: task, stage, paper, capabilities; with --json also requirements and all settings."""
    from palate.contracts.describe import all_systems, describe

    systems = [describe(kind) for kind in all_systems().values()]
    if json:
        show.emit(systems, True)
        return
    columns = ("name", "task", "stage", "capabilities", "exports", "presets", "paper")
    rows = [system | {"presets": dict.fromkeys(system["presets"], True)} for system in systems]
    show.table([{column: _cell(row[column]) for column in columns} for row in rows])


def _cell(value: object) -> str:
    """Names of what is on, or the text itself."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return ", ".join(name for name, on in value.items() if on) if isinstance(value, dict) else str(value)


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
    content = plan_content(data, store=folder / "store")
    result = run_fit(data, "blend", folder / "run", content=content, seed=seed, overwrite=overwrite)
    report = str(folder / "run" / "report.html")
    if json:
        show.emit({**result, "report": report}, True)
        return
    show.table(result["headline"], "test part of the simulated shop")
    typer.echo(f"report: {report}\nshop:   palate serve {folder / 'run'}")


def bench(json: show.Json = False, debug: show.Debug = False) -> None:
    """Speed ratios of this machine: propagation and full ranking against their bounds."""
    from palate.evaluation.speed import measure

    rows = measure()
    if json:
        show.emit(rows, True)
    else:
        show.table(rows)
