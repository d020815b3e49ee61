"""Commands on data: check, init, encode, world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palate.cli import show
from palate.cli.wording import for_command_line

if TYPE_CHECKING:
    from palate.data.dataset import Dataset


def attach(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: the command line.
    """
    app.command()(check)
    app.command()(init)
    app.command()(encode)
    app.command()(world)


def check(
    data: show.DataPath,
    layout: show.Layout = None,
    positive: show.PositiveOption = None,
    split: show.SplitOption = None,
    name: show.Name = None,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Counts, sparsity, missing modalities, duplicates, leaks; every fault with file and row."""
    from palate.data.check import check as examine
    from palate.features.default_encoders import GIVEN, default_encoder, pictures_notes

    rule = show.positive(positive)
    known = _with_rule(data, layout, {"positive": rule, "split": split, "name": name}) if rule else None
    source = data if known is None else known
    report = examine(source, layout=layout, probe=_probe, positive=rule, split=split, name=name)
    if report.modalities.get("image"):
        said = pictures_notes([("image", GIVEN if "image" in report.given else default_encoder("image"))])
        report = replace(report, notes=(*report.notes, *said))
    if json:
        show.emit(report.to_json(), True)
    else:
        typer.echo(for_command_line(report.render()))
    if not report.ok:
        raise typer.Exit(1)


def _with_rule(path: str, layout: str | None, options: Mapping[str, Any]) -> Dataset | None:
    """The data set; None where it cannot be read for another reason than its rule for positives, which is a finding.

    Args:
        path: a folder or file.
        layout: as for :func:`palate.load`.
        options: those of :func:`palate.load`.

    Raises:
        RuleError: if the rule cannot be read or does not fit the log.
    """
    import warnings

    import palate
    from palate.core.errors import PalateError
    from palate.data.interactions import RuleError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            data = palate.load(path, layout, **options)
        data.interactions.positives(data.positive)
    except RuleError:
        raise
    except PalateError:
        return None
    return data


def init(
    data: Annotated[str, typer.Argument(metavar="DATA", help="folder of tables")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace a palate.yaml that is there")] = False,
    debug: show.Debug = False,
) -> None:
    """Write a commented palate.yaml of all guesses, to be corrected."""
    from palate.data.proposal import write_settings

    typer.echo(f"wrote {write_settings(data, overwrite)}; check it, then: palate check {data}")


def _probe(kind: str, raw: Any) -> str | None:
    """What is wrong with a medium; decoders are imported where there is one."""
    from palate.features.media import probe_media

    return probe_media(raw, kind)


def encode(
    data: show.DataPath,
    encoder: show.Encoders = None,
    layout: show.Layout = None,
    name: show.Name = None,
    store: show.Store = None,
    ray: Annotated[int | None, typer.Option(help="processes of Ray Data that encode; on the machines it knows")] = None,
    json: show.Json = False,
    quiet: show.Quiet = False,
    debug: show.Debug = False,
) -> None:
    """Turn raw text, pictures, sound and video into vectors, once; a killed run resumes."""
    import palate
    from palate.core.cache import vectors_folder
    from palate.features.plan import plan_content
    from palate.features.ray_store import RayStore

    show.start(quiet)
    loaded = palate.load(data, layout, name=name)
    folder = store or vectors_folder(data)
    vectors = folder if ray is None else RayStore(folder, ray)
    content, features = plan_content(loaded, show.encoders(encoder), vectors).fit(loaded.select_view(), loaded)
    rows = [
        {
            "feature": name,
            "encoder": content.plan[name].encoder,
            "width": feature.dim,
            "present": int(feature.present.sum()),
        }
        for name, feature in features.items()
    ]
    faults = [{"feature": name, "row": fault.row + 1, "reason": fault.reason} for name, fault in content.failures]
    if json:
        show.emit({"features": rows, "faults": faults}, True)
        return
    show.table(rows, f"{loaded.name}: {loaded.n_items:,} items")
    if faults:
        show.table(faults[:20], f"{len(faults)} unreadable, treated as missing")


def world(
    out: Annotated[str, typer.Argument(metavar="OUT", help="folder to write")],
    items: Annotated[int | None, typer.Option(help="number of items")] = None,
    users: Annotated[int | None, typer.Option(help="number of users")] = None,
    interactions: Annotated[float | None, typer.Option(help="events of a user, on average")] = None,
    preset: Annotated[str, typer.Option(help="shop, news or ads; NAME@VERSION for an older one")] = "shop",
    seed: Annotated[int, typer.Option()] = 0,
    no_media: Annotated[bool, typer.Option("--no-media", help="no pictures, words or sounds: for scale")] = False,
    no_effect: Annotated[bool, typer.Option("--no-effect", help="taste independent of content")] = False,
    impression_share: Annotated[
        float | None, typer.Option(help="share of sessions whose impressions are written; 0 for scale")
    ] = None,
    overwrite: show.Overwrite = False,
    json: show.Json = False,
    quiet: show.Quiet = False,
    debug: show.Debug = False,
) -> None:
    """Simulate a shop, a newsroom or advertisements whose truth is known."""
    from palate.simulation.world import World

    show.start(quiet)
    given = {"n_items": items, "n_users": users, "interactions_per_user": interactions}
    given |= {"impression_share": impression_share}
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    simulated = World.make(preset=preset, seed=seed, media=not no_media, no_effect=no_effect, **changed)
    folder = simulated.write(out, overwrite=overwrite)
    show.emit({"folder": str(folder)}, json)
    if not json:
        typer.echo(f"wrote {folder}")
