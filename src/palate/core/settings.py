"""Settings of a model as data: what documentation, the command line and searches say about them."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: as in ``key=value``.
        type: readable type, such as ``int``, ``float or none`` or ``adam | sgd``.
        default: its value unless given.
        description: one phrase; empty where the model gives none.
        range: allowed values of a number or a text, such as ``>= 1``; empty where there is no bound.
        search: values that a search tries: ``a,b,c`` or ``low..high`` or ``low..high:log``; None searches none.
    """

    name: str
    type: str
    default: Any
    description: str
    range: str
    search: str | None

    def to_json(self) -> dict[str, Any]:
        """All attributes, JSON-able."""
        return asdict(self)


def settings_of(kind: type[BaseModel]) -> list[Setting]:
    """Every setting of a ``Config``, in the order in which it declares them.

    Args:
        kind: a class of settings.
    """
    return [_setting(name, field) for name, field in kind.model_fields.items()]


def _setting(name: str, field: FieldInfo) -> Setting:
    extra = field.json_schema_extra
    search = str(extra["search"]) if isinstance(extra, dict) and "search" in extra else None
    default = field.get_default(call_default_factory=True, validated_data={})
    return Setting(
        name,
        _type_name(field.annotation),
        list(default) if isinstance(default, tuple) else default,
        field.description or "",
        ", ".join(_bounds(field.metadata)),
        search,
    )


_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of", "min_length": "length >=",
          "max_length": "length <="}  # fmt: skip


def _bounds(metadata: Sequence[Any]) -> list[str]:
    found = []
    for constraint in metadata:
        if isinstance(constraint, annotated_types.BaseMetadata):
            for name, sign in _SIGNS.items():
                bound = getattr(constraint, name, None)
                if bound is not None:
                    found.append(f"{sign} {bound}")
    return found


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "none"
    if origin is Literal:
        return " | ".join(str(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is list:
        return f"list of {_type_name(arguments[0])}"
    if origin is not None and len(arguments) == 2:
        return f"{_type_name(arguments[0])} -> {_type_name(arguments[1])}"
    if origin is not None and hasattr(annotation, "__metadata__"):
        return _type_name(arguments[0])
    return getattr(annotation, "__name__", str(annotation))
