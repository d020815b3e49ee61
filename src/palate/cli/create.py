"""Commands that generate content: generate, gallery."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from palate.cli import show

Language = Annotated[str, typer.Option(help="language to write in, such as en, de or zh")]


def attach(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: the command line.
    """
    for command in (generate, gallery):
        app.command()(command)


def generate(
    run: show.RunPath,
    item: Annotated[str, typer.Option(help="id of the item")],
    kind: Annotated[str, typer.Option(help="explanation, headline, banner, cover, video, ...")] = "explanation",
    user: Annotated[str | None, typer.Option(help="id of the user; nobody in particular by default")] = None,
    prompt: Annotated[str | None, typer.Option(help="the user's own words, such as a question")] = None,
    generator: Annotated[
        str | None,
        typer.Option(help="registered generator, or run folder of a fitted one; one without a model by default"),
    ] = None,
    backend: Annotated[str | None, typer.Option(help="backend of the generator, name or name:argument")] = None,
    settings: show.Settings = None,
    language: Language = "en",
    max_words: Annotated[int | None, typer.Option(min=1, help="length of a text, at most")] = None,
    format: Annotated[str | None, typer.Option(help="banner, card, portrait or story")] = None,
    seed: show.Seed = 0,
    out: Annotated[str | None, typer.Option(help="file to write instead of the screen")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the file")] = False,
    why: Annotated[bool, typer.Option("--why", help="print what the content says, and where it stands")] = False,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Generate a text, picture or clip about an item for a user: true to the catalogue, in the user's taste."""
    show.start(quiet=True)
    from palate.contracts.generator import MEDIA
    from palate.serving.content_request import ContentOptions, content_request
    from palate.serving.offline import OfflineRun

    check_target(kind, out, overwrite)
    medium = MEDIA[kind]
    opened = OfflineRun(run)
    model = make_generator(generator, kind, backend, show.settings(settings))
    options = ContentOptions(prompt, language, max_words, options={} if format is None else {"format": format})
    asked = content_request(opened.resolved, kind, opened.row(item), opened.user(user), user, options)  # type: ignore[arg-type]
    made = model.generate([asked], seed=seed)[0]
    rows = [
        {"source": one.source, "id": one.id, "column": one.column, "value": str(one.value)} for one in made.evidence
    ]
    if out is not None:
        from palate.core.files import atomic_path

        with atomic_path(out) as aside:
            aside.write_bytes(made.image or made.video or (f"{made.text or ''}\n").encode())
    printed = {"text": made.text, "file": out, "evidence": rows, "provenance": dict(made.provenance)}
    show.emit(printed | {"scores": dict(made.scores)}, json)
    if json:
        return
    if made.text and (out is None or medium != "text"):
        typer.echo(made.text)
    if out is not None:
        typer.echo(f"wrote {out}")
    if note := made.provenance.get("fallback"):
        typer.echo(f"note: {note}", err=True)
    if why:
        show.table(rows)


def gallery(
    run: show.RunPath,
    out: show.Out,
    user: Annotated[list[str] | None, typer.Option(help="id of a user, repeatable [default: three users]")] = None,
    item: Annotated[
        list[str] | None, typer.Option(help="id of an item, repeatable [default: the most popular]")
    ] = None,
    language: Language = "en",
    seed: show.Seed = 0,
    json: show.Json = False,
    debug: show.Debug = False,
) -> None:
    """Write a page that compares plain and personal content of the same item for several users, with scores."""
    show.start(quiet=True)
    from palate.core.files import write_text
    from palate.core.output import claimed
    from palate.serving.gallery import gallery_page
    from palate.serving.offline import OfflineRun

    opened = OfflineRun(run)
    snapshot = opened.snapshot
    popular = snapshot.stats.popular_rows
    items = item or [snapshot.ids[int(popular[0])]]
    users = user or _varied_users(opened)
    page = gallery_page(opened, users, items, language, seed)
    with claimed(out, "gallery") as folder:
        write_text(folder / "index.html", page)
    file = f"{out}/index.html"
    show.emit({"file": file, "users": users, "items": items}, json)
    if not json:
        typer.echo(f"wrote {file}")


def check_target(kind: str, out: str | None, overwrite: bool) -> None:
    """Refuse what cannot be answered before a run is opened.

    Args:
        kind: kind of content.
        out: file to write, or None.
        overwrite: whether it may exist.

    Raises:
        ConfigError: for an unknown kind, or a picture or clip without a file to write.
        ArtefactError: for a file that exists.
    """
    from pathlib import Path

    from palate.contracts.generator import MEDIA
    from palate.core.errors import ArtefactError, ConfigError, did_you_mean

    if kind not in MEDIA:
        raise ConfigError("unknown kind of content", key=kind, hint=did_you_mean(kind, MEDIA))
    if MEDIA[kind] != "text" and out is None:
        raise ConfigError(f"{kind} is no text", key="--out", hint="name a file to write")
    if out is not None and Path(out).exists() and (not overwrite or not Path(out).is_file()):
        raise ArtefactError("exists already", file=out, hint="nothing was changed; another name, or --overwrite")


def make_generator(name: str | None, kind: str, backend: str | None, settings: dict[str, Any]) -> Any:
    """A generator with its settings, or from its run folder.

    Args:
        name: as registered, or a run folder; the one that needs no model by default.
        kind: content that it must generate.
        backend: name of its backend, or None.
        settings: of the generator.

    Raises:
        ConfigError: for an unknown name, a generator that must be fitted first, or a backend for one that takes none.
        ArtefactError: for a folder that is not a run.
        UnsupportedError: for a generator that does not generate the kind, or a run that holds none.
    """
    import os

    from palate.contracts import Generator, generators
    from palate.core.errors import ConfigError, UnsupportedError
    from palate.generation.flows.generator import FlowGenerator
    from palate.models.fittable import FittableModel
    from palate.serving.generators import DEFAULTS, GeneratorPool
    from palate.training.saving import restore_as

    if name is None and backend is None and not settings:
        return GeneratorPool().get(kind)[1]  # type: ignore[arg-type]
    from palate.contracts.generator import MEDIA

    if name is not None and name not in generators.names() and os.path.isdir(name):
        if backend is not None or settings:
            raise ConfigError("a fitted generator has its settings", key=name, hint="leave --set and --backend out")
        fitted = restore_as(name, Generator)
        if kind not in fitted.kinds:
            raise UnsupportedError(f"the generator {name!r} does not generate {kind!r}", hint=", ".join(fitted.kinds))
        return fitted
    # a language model is asked by the generator that asks it for every kind of text
    chosen = generators.get(name or ("prompted" if MEDIA[kind] == "text" and backend else DEFAULTS[MEDIA[kind]]))
    asks_backend = issubclass(chosen, FlowGenerator)
    if issubclass(chosen, FittableModel) and not (backend and asks_backend):
        hint = f"palate fit DATA --model {chosen.name} --out FOLDER, then --generator ./FOLDER"
        raise ConfigError(
            f"{chosen.name} must be fitted first",
            key="--generator",
            hint=f"{hint}; or name a language model by --backend" if asks_backend else hint,
        )
    if kind not in chosen.kinds:
        raise UnsupportedError(f"{chosen.name} does not generate {kind!r}", hint=", ".join(chosen.kinds))
    if backend is not None:
        if "backend" not in chosen.Config.model_fields:
            raise ConfigError(f"{chosen.name} takes no backend", key=backend, hint="name another with --generator")
        settings = {**settings, "backend": backend}
    return chosen(**settings)


def _varied_users(opened: Any) -> list[str]:
    """Three users of different tastes, with histories of some length."""
    snapshot, taste = opened.snapshot, opened.snapshot.stats.taste
    chosen, tastes = list[str](), list[set[tuple[str, str]]]()
    known = sorted(snapshot.users.items(), key=lambda one: -len(opened.user(one[0]).history))[:60]
    for user, _ in known:
        history = opened.user(user).history[-50:]
        cells = {int(row): snapshot.items.frame.row(int(row), named=True) for row in history}
        likes = {(one.column, one.value) for one in taste.likes(cells)[:5]}
        if all(len(likes & other) < 2 for other in tastes):
            chosen.append(user)
            tastes.append(likes)
        if len(chosen) == 3:
            break
    return chosen
