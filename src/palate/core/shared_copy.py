"""A module beside a module: the same tensors, so that one can be given new content while the other goes on scoring."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def shared_copy(module: M, _made: dict[int, nn.Module] | None = None) -> M:
    """A copy that shares every tensor, and whose tables of tensors and submodules are its own.

    Replacing tensors (as ``update_items`` does) leaves ``module`` as it was; writing into them does not. O(modules).
    """
    made = {} if _made is None else _made
    if id(module) in made:
        return made[id(module)]  # type: ignore[return-value]
    copy = object.__new__(type(module))
    made[id(module)] = copy
    copy.__dict__ = dict(module.__dict__)
    for table in ("_parameters", "_buffers"):
        copy.__dict__[table] = dict(module.__dict__[table])
    copy.__dict__["_non_persistent_buffers_set"] = set(module.__dict__["_non_persistent_buffers_set"])
    inner = module.__dict__["_modules"]
    copy.__dict__["_modules"] = {
        name: part if part is None else shared_copy(part, made) for name, part in inner.items()
    }
    return copy
