"""``--config FILE``: options of a command in a YAML file; one on the command line replaces that of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer


def read_config(context: typer.Context, file: str | None) -> str | None:
    """Take the options of a file as the defaults of a command.

    Keys are names of options without dashes in front (``no-test`` or ``no_test``), and ``data``. An option that is
    given several times, such as ``--set``, is a mapping or a list.

    Args:
        context: of the command.
        file: value of ``--config``.

    Raises:
        ConfigError: for a file that cannot be read, and for a key that is no option of the command.
    """
    if file is None:
        return None
    from palate.core.errors import ConfigError, did_you_mean

    options = {name: parameter for parameter in context.command.params for name in _names(parameter.opts)}
    switched_off = {name: one for one in context.command.params for name in _names(one.secondary_opts)}
    defaults: dict[str, Any] = {}
    for key, value in _mapping(file).items():
        name = str(key).replace("-", "_")
        if name in switched_off:
            defaults[str(switched_off[name].name)] = not value
            continue
        if name not in options or name == "config":
            shown = [known.replace("_", "-") for known in options if known != "config"]
            hint = did_you_mean(str(key), shown)
            raise ConfigError(f"palate {context.command.name} has no such option", file=file, key=key, hint=hint)
        parameter = options[name]
        defaults[str(parameter.name)] = _value(parameter, value)
    context.default_map = {**(context.default_map or {}), **defaults}
    return file


def _names(written: Sequence[str]) -> list[str]:
    return [option.lstrip("-").replace("-", "_") for option in written]


def _mapping(file: str) -> Mapping[Any, Any]:
    from pathlib import Path

    import yaml

    from palate.core.errors import ConfigError

    try:
        found = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot be read ({' '.join(str(error).split())})", file=file) from error
    if not isinstance(found, Mapping):
        raise ConfigError("expected options, one a line", file=file, hint="write model: bpr, seed: 3, set: {dim: 32}")
    return found


def _value(parameter: Any, value: Any) -> Any:
    """What the command line would have given: texts, and lists of texts for options that may be given several times."""
    if getattr(parameter, "multiple", False):
        if isinstance(value, Mapping):
            return [f"{key}={as_text(one)}" for key, one in value.items()]
        return [as_text(one) for one in (value if isinstance(value, list) else [value])]
    if isinstance(value, Mapping):
        return _rule(value)
    if isinstance(value, list):
        return ",".join(as_text(one) for one in value)
    return value


def _rule(value: Mapping[Any, Any]) -> str:
    """``{"rating": ">=4"}`` or ``{"event": ["buy"]}`` as ``--positive`` reads it; with ``kind`` it is a split."""
    if "kind" in value:
        settings = ",".join(f"{key}={as_text(one)}" for key, one in value.items() if key != "kind")
        return f"{value['kind']}:{settings}" if settings else str(value["kind"])
    (key, one), *_ = value.items()
    return f"{key}={','.join(map(as_text, one))}" if isinstance(one, list) else f"{key}{one}"


def as_text(value: Any) -> str:
    """A value as YAML on one line; text as it is.

    Args:
        value: of a setting.
    """
    import yaml

    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).removesuffix("...\n").strip()
