"""Printing of commands, a table or JSON with ``--json``, and reading of key=value options."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from palate.cli import workers
from palate.cli.config_file import read_config

DataPath = Annotated[str, typer.Argument(metavar="DATA", help="folder or file in any known layout")]
RunPath = Annotated[str, typer.Argument(metavar="RUN", help="a run folder written by palate fit")]
Out = Annotated[str, typer.Option("--out", help="folder to write")]
ModelName = Annotated[str, typer.Option(help="see palate models")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value of the model's config")]
Seed = Annotated[int, typer.Option(help="same seed, same bits on a CPU")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress")]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]
Layout = Annotated[str | None, typer.Option(help="force a layout instead of recognising it")]
SplitOption = Annotated[str | None, typer.Option("--split", help="kind or kind:key=value,... e.g. item_cold:seed=3")]
PositiveOption = Annotated[str | None, typer.Option("--positive", help="rating>=4, or event=click,purchase, or all")]
Encoders = Annotated[
    list[str] | None,
    typer.Option("--encoder", help="modality=encoder, e.g. text=minilm, or a folder that pretrain wrote"),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        callback=read_config,
        is_eager=True,
        help="YAML file of options, such as model, seed, set: {dim: 32}",
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="which data set, where a folder holds several")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N; auto takes CUDA when there is one")]
From = Annotated[str | None, typer.Option("--from", help="best.json of palate tune: its model and settings")]
Store = Annotated[
    str | None, typer.Option(help="folder that keeps encoded vectors (default in the user's cache, see PALATE_CACHE)")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="replace another result of the same kind in the folder; never other files")
]


def set_threads(number: int | None) -> int | None:
    """Limit the threads of numeric libraries: by the environment before they are imported, torch also afterwards.

    Args:
        number: value of ``--threads``; None leaves them as they are.
    """
    if number is None:
        return None
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = str(number)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)
    return number


Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, callback=set_threads, help="processor threads [default: all]"),
]


def start(quiet: bool = False) -> None:
    """Send logs to stderr and show progress as the terminal allows; of several processes only the first prints.

    Args:
        quiet: neither logs nor progress.
    """
    quiet = quiet or not workers.first()
    console = logging.StreamHandler()
    # the level of the console alone: log.txt of a run holds everything also when the console is quiet
    console.setLevel(logging.WARNING if quiet else logging.INFO)
    console.addFilter(lambda record: not getattr(record, "detail", False))
    logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[console])
    logging.getLogger("palate").setLevel(logging.INFO)
    if quiet:
        from palate.core.progress import set_mode

        set_mode("quiet")


def openings(count: int) -> None:
    """Say how often a test part was opened.

    Args:
        count: openings on this machine, the last one included.
    """
    times = "once" if count == 1 else f"{count} times"
    typer.echo(f"test part opened {times} on this machine, in all runs and folders")


def pairs(options: Iterable[str] | None, flag: str) -> dict[str, str]:
    """Read ``["a=1"]`` as ``{"a": "1"}``.

    Args:
        options: values of a repeatable option.
        flag: its name, for the error message.

    Raises:
        ConfigError: for a value that is not ``key=value``.
    """
    from palate.core.errors import ConfigError

    values = {}
    for option in options or ():
        key, sign, value = option.partition("=")
        if not sign or not key:
            raise ConfigError("expected key=value", key=option, hint=f"{flag} key=value")
        values[key.strip()] = value.strip()
    return values


def encoders(options: Iterable[str] | None) -> dict[str, str]:
    """Read ``["text=minilm", "pretrained/"]`` as specifications by feature name.

    Args:
        options: values of ``--encoder``; a folder stands for all its modalities.
    """
    from pathlib import Path

    from palate.features.saved import FACTS

    specifications: dict[str, str] = {}
    for option in options or ():
        inside = sorted(Path(option).glob(f"*/{FACTS}")) if "=" not in option else []
        specifications |= {file.parent.name: str(file.parent) for file in inside} or pairs([option], "--encoder")
    return specifications


def rates(text: str | None) -> list[float]:
    """Read ``"0,.3,.6"`` as ``[0.0, 0.3, 0.6]``.

    Args:
        text: value of ``--missing``; nothing is missing if not given.

    Raises:
        ConfigError: for what is not a number.
    """
    from palate.core.errors import ConfigError

    try:
        return [float(rate) for rate in (text or "0").split(",")]
    except ValueError as error:
        raise ConfigError("expected numbers", key=text, hint="--missing 0,.3,.6") from error


def settings(options: Iterable[str] | None) -> dict[str, Any]:
    """Read values of ``--set``: like :func:`pairs`, values as YAML, such as numbers, true and lists.

    Args:
        options: values of the option.
    """
    import yaml

    return {key: yaml.safe_load(value) for key, value in pairs(options, "--set").items()}


def tuned(file: str) -> tuple[str, dict[str, Any]]:
    """Model and settings that ``palate tune`` found.

    Args:
        file: ``best.json``, or the folder that holds it.

    Raises:
        ConfigError: for any other file.
    """
    from pathlib import Path

    from palate.core.errors import ConfigError
    from palate.core.files import read_json

    path = Path(file) / "best.json" if Path(file).is_dir() else Path(file)
    found = read_json(path) if path.is_file() else None
    if not isinstance(found, dict) or not isinstance(found.get("model"), str):
        raise ConfigError(
            "no result of palate tune", file=path, hint="--from DIR/best.json, written by palate tune --out DIR"
        )
    return found["model"], dict(found.get("settings") or {})


def positive(text: str | None) -> dict[str, Any] | None:
    """Read ``rating>=4``, ``event=click,purchase`` or ``all`` as a rule; a column of the log may be named, too.

    Args:
        text: value of ``--positive``; None for the rule of the data.

    Raises:
        ConfigError: for anything else.
    """
    import re

    from palate.core.errors import ConfigError

    if text is None:
        return None
    if text.strip() == "all":
        return {}
    rule = re.fullmatch(r"\s*([^<>=]+?)\s*(>=|<=|==|>|<)\s*(\S+)\s*", text)
    if rule:
        return {rule[1]: rule[2] + rule[3]}
    kinds = re.fullmatch(r"\s*([^<>=]+?)\s*=\s*(.+)", text)
    if kinds and kinds[2][0] not in "<>=":
        return {kinds[1]: [name.strip() for name in kinds[2].split(",")]}
    raise ConfigError(
        "cannot read the rule", key=text, hint="--positive 'rating>=4' or --positive event=click,purchase"
    )


def emit(value: Any, as_json: bool) -> None:
    """Print JSON if asked for; numbers that are not finite become null, which JSON can express.

    Args:
        value: what to print.
        as_json: whether ``--json`` was given.
    """
    if as_json:
        typer.echo(json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str))


def rows(values: Sequence[Mapping[str, Any]], as_json: bool, title: str | None = None) -> None:
    """Print rows as JSON, or as a table.

    Args:
        values: one mapping a row.
        as_json: whether ``--json`` was given.
        title: above the table.
    """
    if as_json:
        emit(values, True)
    else:
        table(values, title)


def table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Print rows as a table.

    Args:
        rows: one mapping a row; columns in the order in which they occur.
        title: above the table.
    """
    from palate.cli.tables import render

    render(rows, title)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value
