"""Options that several commands share, stated once: a dataclass whose fields a command takes as its own options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, MISSING, Field, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from palate.cli import show

if TYPE_CHECKING:
    from palate.data.dataset import Dataset
    from palate.features.plan import ContentPlan

R = TypeVar("R")


@dataclass(frozen=True)
class DataOptions:
    """What is read, how it is split, where vectors are kept and how results are printed."""

    data: show.DataPath
    out: show.Out
    split: show.SplitOption = None
    positive: show.PositiveOption = None
    store: show.Store = None
    _: KW_ONLY
    overwrite: show.Overwrite = False
    layout: show.Layout = None
    name: show.Name = None
    config: show.Config = None
    json: show.Json = False
    quiet: show.Quiet = False
    debug: show.Debug = False

    def load(self) -> Dataset:
        """Set up logging and progress, and read the data.

        Raises:
            ArtefactError: for an ``out`` that may not be written, before anything is read.
        """
        import palate
        from palate.core.output import check_not_protected

        show.start(self.quiet)
        check_not_protected(self.out, self.data)
        rule = show.positive(self.positive)
        return palate.load(self.data, self.layout, positive=rule, split=self.split, name=self.name)

    @property
    def source(self) -> dict[str, str | None]:
        """Where the data are, for a later ``palate evaluate``."""
        from pathlib import Path

        return {"path": str(Path(self.data).resolve()), "layout": self.layout, "name": self.name}

    @property
    def store_folder(self) -> str:
        """Folder of encoded vectors; in the user's cache unless ``--store`` names one."""
        from palate.core.cache import vectors_folder

        return self.store or str(vectors_folder(self.data))


@dataclass(frozen=True)
class ContentOptions(DataOptions):
    """The same, with encoders for content that is read as it is."""

    encoder: show.Encoders = None

    def content(self, data: Dataset) -> ContentPlan:
        """Plan the encoders of ``data``."""
        from palate.features.plan import plan_content

        return plan_content(data, show.encoders(self.encoder), self.store_folder)


def spread(command: Callable[..., R]) -> Callable[..., R]:
    """Let a command take the fields of its dataclass parameter as options of its own.

    Args:
        command: a function with one parameter ``options`` of a dataclass type, all others as typer takes them.

    Returns:
        A function whose parameters are those of ``command``, with the fields in place of ``options`` and keyword-only
        fields at the end.
    """
    hints = get_type_hints(command, include_extras=True)
    kind = hints.pop("options")
    own = get_type_hints(kind, include_extras=True)
    shared = {one.name: _parameter(one, own[one.name]) for one in fields(kind)}
    last = {one.name for one in fields(kind) if one.kw_only}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name == "options":
            parameters += [one for key, one in shared.items() if key not in last]
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
    parameters += [shared[name] for name in shared if name in last]

    def run(**given: Any) -> R:
        return command(
            options=kind(**{name: value for name, value in given.items() if name in shared}),
            **{name: value for name, value in given.items() if name not in shared},
        )

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _parameter(one: Field[Any], annotation: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if one.default is MISSING else one.default
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
