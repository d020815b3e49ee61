"""Commands that answer for users: recommend, rank, rank-impressions."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from palate.cli import show


def attach(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: the command line.
    """
    for command in (recommend, rank, rank_impressions):
        app.command()(command)


def recommend(
    run: show.RunPath,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", help="user ids, comma separated; repeatable, also for an id that holds a comma"),
    ] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(help="item ids a visitor took, comma separated, oldest first; repeatable, as --user"),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="every known user; needs --out")] = False,
    k: Annotated[int, typer.Option("-k", help="list length")] = 10,
    on_unknown: Annotated[
        Literal["error", "skip", "fallback"],
        typer.Option(help="unknown users are an error, left out, or get the most popular items"),
    ] = "error",
    out: Annotated[str | None, typer.Option("--out", help="file to write: .parquet, .csv or .jsonl")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the file that --out names")] = False,
    why: Annotated[bool, typer.Option("--why", help="why each item is recommended, in a sentence")] = False,
    threads: show.Threads = None,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """The best items for users or for a visitor's history, with titles."""
    from palate.models.base import Recommender
    from palate.training.deployment import deployment_of
    from palate.training.lists import known_or_split, with_titles, write_lists
    from palate.training.saving import restore_as

    _check(user, history, all_, out, why)
    show.start()
    model = restore_as(run, Recommender)
    known = deployment_of(model)
    users = known_or_split(user, known.users) if user else None
    if out:
        _check_file(run, out)
        rows = write_lists(model, known, out, k, users, on_unknown, overwrite)
        show.emit({"file": out, "rows": rows}, json)
        if not json:
            typer.echo(f"wrote {rows:,} rows: {out}")
        return
    taken = known_or_split(history, known.items.ids) if history else None
    lists = with_titles(model.recommend(users=users, k=k, history=taken, on_unknown=on_unknown), known.items)
    if why:
        from palate.serving.list_reasons import with_reasons

        lists = with_reasons(run, lists, taken)
    if json:
        show.emit(lists.to_dicts(), True)
        return
    if len(lists):
        show.table(lists.drop("user").to_dicts() if history else lists.to_dicts())
    elif history:
        typer.echo("nothing left for this history")
    listed = set(lists["user"].cast(str)) if users else set()
    for name in users or ():
        if str(name) not in listed:
            typer.echo(f"nothing left for {name}")


def _check_file(run: str, out: str) -> None:
    """Refuse to write lists over a file of the run or of its data.

    Args:
        run: the run folder.
        out: value of ``--out``.

    Raises:
        ArtefactError: naming the file.
    """
    from pathlib import Path

    from palate.core.errors import ArtefactError
    from palate.core.output import check_not_protected
    from palate.evaluation.runs import source_of

    owned = {"the run": Path(run).resolve()}
    with suppress(ArtefactError):
        data = Path(str(source_of(run)["path"])).resolve()
        owned["the data"] = data if data.is_dir() else data.parent
    check_not_protected(out)
    for name, folder in owned.items():
        if Path(out).resolve().is_relative_to(folder) and Path(out).exists():
            raise ArtefactError(f"is a file of {name}", file=out, hint="nothing was changed; name another file")


def _check(user: list[str] | None, history: list[str] | None, everybody: bool, out: str | None, why: bool) -> None:
    """Refuse options of ``recommend`` that do not go together.

    Args:
        user: values of ``--user``.
        history: values of ``--history``.
        everybody: whether ``--all`` was given.
        out: value of ``--out``.
        why: whether ``--why`` was given.

    Raises:
        ConfigError: saying what to give.
    """
    from palate.core.errors import ConfigError

    if sum(map(bool, (user, history, everybody))) != 1:
        hint = "--user U for known users, --history ITEM,ITEM for a visitor, or --all --out lists.parquet for everybody"
        raise ConfigError("say whom to recommend to", hint=hint)
    if everybody and not out:
        raise ConfigError(
            "lists of all users go to a file", key="--all", hint="add --out lists.parquet, .csv or .jsonl"
        )
    if out and why:
        raise ConfigError("reasons are printed, not written to a file", key="--why", hint="leave out --why or --out")
    if out and history:
        raise ConfigError("a file holds lists of known users", key="--out", hint="leave out --history or --out")


def rank(
    run: show.RunPath,
    items: Annotated[
        list[str],
        typer.Option(help="item ids to rank, comma separated; repeatable, also for an id that holds a comma"),
    ],
    user: Annotated[str | None, typer.Option(help="user id")] = None,
    history: Annotated[list[str] | None, typer.Option(help="item ids the user took, oldest first; as --items")] = None,
    context: Annotated[list[str] | None, typer.Option(help="column=value of the context, repeatable")] = None,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Order given items for a user, by the probability of a click."""
    import yaml

    from palate.models.base import RankingModel
    from palate.training.deployment import deployment_of
    from palate.training.lists import known_or_split
    from palate.training.saving import restore_as

    values = {key: yaml.safe_load(value) for key, value in show.pairs(context, "--context").items()}
    model = restore_as(run, RankingModel)
    known = deployment_of(model).items.ids
    taken = known_or_split(history, known) if history else None
    rows = model.rank(known_or_split(items, known), user, history=taken, context=values).to_dicts()
    if json:
        show.emit(rows, True)
    else:
        show.table(rows)


def rank_impressions(
    run: show.RunPath,
    folder: Annotated[Path, typer.Argument(help="folder in MIND's layout, with or without click labels")],
    out: Annotated[Path, typer.Option(help="file to write, such as prediction.txt")],
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Rank the impressions of a MIND folder and write the file of its leaderboard."""
    from palate.evaluation.mind_predictions import write_predictions
    from palate.models.base import RankingModel
    from palate.training.saving import restore_as

    done = {"impressions": write_predictions(restore_as(run, RankingModel), folder, out), "file": str(out)}
    show.emit(done, True) if json else show.table([done])
