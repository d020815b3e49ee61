"""Commands for ratings by people: rate, rate-pairs, rate-report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from palate.cli import show

Pairs = Annotated[str, typer.Argument(metavar="PAIRS", help="file of pairs, .csv or .jsonl: id, a, b, ...")]


def attach(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: the command line.
    """
    app.command()(rate)
    app.command("rate-pairs")(rate_pairs)
    app.command("rate-report")(rate_report)


def rate(
    pairs: Pairs,
    out: Annotated[str, typer.Option(help="file of ratings, .jsonl; one that exists is continued")],
    seed: show.Seed = 0,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on, 0 for any that is free")] = 8000,
    debug: show.Debug = False,
) -> None:
    """Serve a page on which people say which content of a pair is better, without knowing what made it."""
    show.start(quiet=True)
    from palate.serving.rating_server import serve_ratings

    serve_ratings(
        pairs, out, seed, host, port, lambda url: typer.echo(f"rate {pairs} at {url}, answers are added to {out}")
    )


def rate_pairs(
    run: show.RunPath,
    out: Annotated[str, typer.Option(help="file of pairs to write, .csv or .jsonl")],
    kind: Annotated[str, typer.Option(help="kind of text: headline, explanation, ...")] = "headline",
    number: Annotated[int, typer.Option(min=1, help="pairs of a user and an item")] = 40,
    generator: Annotated[str | None, typer.Option(help="registered generator of the personal side")] = None,
    backend: Annotated[str | None, typer.Option(help="backend of the generator, name or name:argument")] = None,
    settings: show.Settings = None,
    language: Annotated[str, typer.Option(help="language to write in")] = "en",
    seed: show.Seed = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the file")] = False,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Write pairs to rate: plain beside personal texts of a run, for recommended items of users with a history."""
    show.start(quiet=True)
    from palate.cli.create import check_target, make_generator
    from palate.evaluation.rating.pairs import write_pairs
    from palate.serving.offline import OfflineRun
    from palate.serving.rating_pairs import personal_pairs

    check_target(kind, out, overwrite)
    model = make_generator(generator, kind, backend, show.settings(settings))
    pairs = personal_pairs(OfflineRun(run), model, kind, number, language, seed)  # type: ignore[arg-type]
    write_pairs(out, pairs)
    show.emit({"file": out, "pairs": len(pairs)}, json)
    if not json:
        typer.echo(f"wrote {out}: {len(pairs)} pairs")


def rate_report(
    ratings: Annotated[str, typer.Argument(metavar="RATINGS", help="file of ratings, .jsonl or .csv")],
    pairs: Annotated[str, typer.Option(help="file of the pairs that were rated")],
    seed: show.Seed = 0,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Win rate of each system against each other with its interval, and how far raters agree."""
    from palate.evaluation.rating.pairs import read_pairs
    from palate.evaluation.rating.ratings import read_ratings
    from palate.evaluation.rating.report import agreement, win_rates

    known = read_pairs(pairs)
    given = read_ratings(ratings, known)
    rates, found = [asdict(one) for one in win_rates(known, given, seed=seed)], asdict(agreement(given))
    show.emit({"win_rates": rates, "agreement": found}, json)
    if json:
        return
    show.table(rates, "how often a system is preferred, ties as half")
    show.table([found], "agreement: Krippendorff's alpha, and share of equal answers")
