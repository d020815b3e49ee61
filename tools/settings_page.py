"""The page of settings: every model, generator and pretrainer with its own settings, and those that many share once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from palate.contracts import Model, generators, models, pretrainers
from palate.core.config import AdaptedConfig, ContentConfig, TrainedConfig
from palate.core.settings import Setting, settings_of
from palate.models.generate.shared.text_generator import TextConfig

SHARED = {
    "Training": (TrainedConfig, "Models that are trained in epochs."),
    "Content": (ContentConfig, "Models that read content."),
    "Content that is trained": (AdaptedConfig, "Models whose encoders can be trained with them."),
    "Texts": (TextConfig, "Generators that learn to write texts."),
}
HEAD = """# Settings

Written by `tools/generate.py` from the code; `palate models NAME` prints the same. Set them by `--set key=value`, or in
Python by `Class(key=value)`, with the class that stands below the name; "search" is what `palate tune` tries unless
`--space` is given. A model's table lists its own settings and those shared ones whose default it changes.
"""


def render() -> str:
    """Text of ``docs/settings.md``."""
    parts = [HEAD, "## Shared settings\n"]
    known: dict[str, Setting] = {}
    for title, (kind, about) in SHARED.items():
        own = [one for one in settings_of(kind) if one.name not in known]
        known |= {one.name: one for one in own}
        parts.append(f"### {title}\n{about}\n\n{table(own)}")
    for title, registry in (("Models", models), ("Generators", generators), ("Pretraining", pretrainers)):
        parts.append(f"## {title}\n")
        parts += [_section(kind, known) for _, kind in registry.items() if kind.__module__.startswith("palate.")]
    return "\n".join(parts)


def table(settings: Sequence[Setting]) -> str:
    """A Markdown table of settings."""
    rows = [
        (f"`{one.name}`", one.type, _value(one.default), one.range, one.description, _code(one.search))
        for one in settings
    ]
    return _markdown(("setting", "type", "default", "range", "description", "search"), rows)


def _section(kind: type[Model], shared: dict[str, Setting]) -> str:
    own = [one for one in settings_of(kind.Config) if shared.get(one.name) != one]
    presets = [f"`{name}`: {_preset(values)}" for name, values in kind.presets.items()]
    bases = [title for title, (base, _) in SHARED.items() if issubclass(kind.Config, base)]
    more = f"\nAlso: {', '.join(title.lower() for title in bases)}.\n" if bases else ""
    lines = f"\nPresets: {'; '.join(presets)}.\n" if presets else ""
    python = f"`palate.models.{kind.__name__}`. " if kind.task_name not in ("pretrain", "generate") else ""
    settings = table(own) if own else "No settings of its own.\n"
    caution = f"\n\nCaution: {kind.caution}." if kind.caution else ""
    return f"### {kind.name}\n{python}{kind.paper}{caution}\n\n{settings}{more}{lines}"


def _preset(values: object) -> str:
    assert isinstance(values, dict)
    return ", ".join(f"{key}={_plain(value)}" for key, value in values.items()) or "the defaults"


def _value(value: object) -> str:
    return f"`{_plain(value)}`"


def _plain(value: object) -> str:
    return "none" if value is None else str(value).replace("'", "")


def _code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
