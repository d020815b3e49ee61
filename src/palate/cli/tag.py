"""The command tag: labels of items that have none, keywords of users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palate.cli import show

if TYPE_CHECKING:
    from palate.data.dataset import Dataset
    from palate.models.tag.shared.tagging_model import TaggingModel

SHOWN = 20
"""Rows that are printed."""
SPLIT = "item_cold:valid=0.2,test=0"
"""A share of the labelled items chooses epochs and thresholds; then training is repeated on all of them."""


def attach(app: typer.Typer) -> None:
    """Add this command.

    Args:
        app: the command line.
    """
    app.command()(tag)


def tag(
    data: show.DataPath,
    model: Annotated[
        str, typer.Option(help="tagger, see palate models, or the run folder of a fitted one")
    ] = "content_tagger",
    column: Annotated[
        str | None, typer.Option(help="column whose values are the labels [default: the only attribute that has some]")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="labels to choose from, comma separated, for zero_shot_tagger")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", help="table of tags (.parquet, .csv, .jsonl), or folder for a copy of the data with them"
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--every", help="also predict labels of items that have some")] = False,
    users: Annotated[bool, typer.Option("--users", help="keywords of users by their histories instead")] = False,
    user: Annotated[list[str] | None, typer.Option(help="with --users: only this user, repeatable")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="with --users: keywords of a user at most")] = 10,
    set_: show.Settings = None,
    encoder: show.Encoders = None,
    store: show.Store = None,
    seed: show.Seed = 0,
    device: show.Device = "auto",
    positive: show.PositiveOption = None,
    threads: show.Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the file that --out names")] = False,
    layout: show.Layout = None,
    name: show.Name = None,
    json: show.Json = False,
    quiet: show.Quiet = False,
    debug: show.Debug = False,
) -> None:
    """Predict labels of items that have none, from their content; or by which keywords users choose (--users)."""
    import palate

    _check(data, user, users, out, overwrite)
    show.start(quiet)
    loaded = palate.load(data, layout, positive=show.positive(positive), split=SPLIT, name=name)
    if users:
        _show_users(loaded, data, user, k, out, overwrite, json)
        return
    settings = show.settings(set_) | ({} if column is None else {"column": column})
    if labels is not None:
        settings["labels"] = [label.strip() for label in labels.split(",") if label.strip()]
    tagger = _tagger(loaded, data, model, settings, show.encoders(encoder), store, seed, device)
    _show_items(loaded, data, tagger, every, out, overwrite, json)


def _check(data: str, user: list[str] | None, users: bool, out: str | None, overwrite: bool) -> None:
    """Refuse options that do not go together, and a place to write that is taken, before anything is read.

    Raises:
        ConfigError: for ``--user`` without ``--users``, or what ``--out`` names exists.
        ArtefactError: for a file of the data.
    """
    from palate.core.errors import ConfigError
    from palate.models.tag.shared.catalog_tags import check_target

    if user and not users:
        raise ConfigError("users have keywords, items have labels", key="--user", hint="add --users")
    if out is not None:
        check_target(out, data, overwrite)


def _tagger(
    loaded: Dataset,
    data: str,
    model: str,
    settings: dict[str, Any],
    encoders: dict[str, str],
    store: str | None,
    seed: int,
    device: str,
) -> TaggingModel:
    """A tagger that was fitted before, or is fitted here.

    Raises:
        ConfigError: for settings of a tagger that was fitted before, or a model that does not tag.
    """
    from palate.contracts.parse import parse_model
    from palate.core.cache import vectors_folder
    from palate.core.errors import ConfigError
    from palate.features.plan import plan_content
    from palate.models.tag.shared.tagging_model import TaggingModel
    from palate.training.saving import restore_as

    if Path(model).is_dir():
        if settings:
            raise ConfigError("a fitted tagger has its settings", key=model, hint="leave out --set, --column, --labels")
        return restore_as(model, TaggingModel)
    made = parse_model(model, settings)
    if not isinstance(made, TaggingModel):
        hint = "content_tagger, zero_shot_tagger or majority_tagger; palate models shows the task of each"
        raise ConfigError(f"{made.name} does not tag", key="--model", hint=hint)
    plan = plan_content(loaded, encoders, store or vectors_folder(data))
    return made.fit(loaded, seed=seed, device=device, content=plan)


def _show_items(
    loaded: Dataset, data: str, tagger: TaggingModel, every: bool, out: str | None, overwrite: bool, json: bool
) -> None:
    """Print or write the labels of items."""
    from palate.models.tag.shared.catalog_tags import predicted_tags, write_tags
    from palate.training.deployment import log_of
    from palate.training.lists import with_titles

    tags = predicted_tags(tagger, loaded, every)
    file = None if out is None else write_tags(tags, loaded, tagger.column, out, data, overwrite)
    fitted = log_of(tagger)
    found = {
        "column": tagger.column,
        "labels": len(tagger.labels()),
        "items": loaded.n_items,
        "without a label": len(tags),
        "tagged": len(tags) - tags[:, 1].null_count(),
        fitted.metric: fitted.valid,
        "file": None if file is None else str(file),
    }
    if json:
        show.emit(found | {"tags": tags.to_dicts()}, True)
        return
    shown = with_titles(tags.rename({tags.columns[0]: "item"}).head(SHOWN), loaded.items)
    rows = [
        {**{key: row[key] for key in row if key in ("item", "title")}, tags.columns[1]: _sentence(row, tags.columns)}
        for row in shown.to_dicts()
    ]
    show.table(rows, f"{tagger.column} as predicted by {tagger.name}; behind each label its probability")
    valid = "" if fitted.valid is None else f"; {fitted.metric} on validation {fitted.valid:.4f}"
    asked = "items" if every else f"of {loaded.n_items:,} items have no {tagger.column}"
    bare = tags[:, 1].null_count()
    left = f", {bare:,} without content are not" if bare else ""
    typer.echo(f"{len(tags):,} {asked}; {found['tagged']:,} are tagged{left}{valid}")
    if file is not None:
        typer.echo(f"wrote {file}")


def _show_users(
    loaded: Dataset, data: str, user: list[str] | None, k: int, out: str | None, overwrite: bool, json: bool
) -> None:
    """Print or write the keywords of users.

    Raises:
        ConfigError: for a folder to write.
    """
    from palate.models.tag.interests import interest_keywords
    from palate.models.tag.shared.catalog_tags import write_table

    table = interest_keywords(loaded, user, k)
    file = None if out is None else write_table(table, out, data, overwrite)
    if json:
        show.emit({"file": None if file is None else str(file), "keywords": table.to_dicts()}, True)
        return
    rows = [
        {**row, "evidence": ", ".join(map(str, row["evidence"][:3])) + ", ..." * (len(row["evidence"]) > 3)}
        for row in table.head(SHOWN).to_dicts()
    ]
    show.table(rows, "keywords of users: how much more often than people they take items with them, and which items")
    typer.echo(f"{len(table):,} keywords of {table['user'].n_unique():,} users")
    if file is not None:
        typer.echo(f"wrote {file}")


def _sentence(row: dict[str, Any], columns: list[str]) -> str:
    """``Drama 0.81, Crime 0.55``."""
    pairs = zip(row[columns[1]] or (), row[columns[2]] or ())
    return ", ".join(f"{label} {probability:.2f}" for label, probability in pairs)
