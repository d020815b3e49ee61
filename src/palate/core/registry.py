"""Found by registration: a choice of many (readers, encoders, models) is one file each, imported on demand."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .errors import ConfigError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to objects of one kind.

    A module that lies in one of ``packages`` registers itself when imported. A file is best named like the
    thing it registers: then only that file is imported, otherwise all of them are.
    """

    def __init__(self, kind: str, packages: tuple[str, ...]) -> None:
        self.kind, self.packages = kind, packages
        self._known: dict[str, T] = {}
        self._complete = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: make ``name`` refer to the decorated object; a second owner of a name is refused."""

        def add(thing: T) -> T:
            held = self._known.get(name)
            if held is not None and getattr(held, "__qualname__", 0) != getattr(thing, "__qualname__", 1):
                raise ConfigError(f"two {self.kind}s claim the name", key=name)
            self._known[name] = thing
            return thing

        return add

    def get(self, name: str) -> T:
        """The object called ``name``; an unknown name is answered with the closest known ones."""
        if name not in self._known:
            for package in self.packages:
                module = f"{package}.{name}"
                if name.isidentifier() and importlib.util.find_spec(module) is not None:
                    importlib.import_module(module)
        if name not in self._known:
            self._import_all()
        if name not in self._known:
            raise ConfigError(f"unknown {self.kind}", key=name, hint=did_you_mean(name, self._known))
        return self._known[name]

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self._import_all()
        return sorted(self._known)

    def items(self) -> Iterator[tuple[str, T]]:
        """All (name, object) pairs, sorted by name."""
        for name in self.names():
            yield name, self._known[name]

    def _import_all(self) -> None:
        if self._complete:
            return
        for package in self.packages:
            for found in pkgutil.iter_modules(importlib.import_module(package).__path__):
                if not found.name.startswith("_"):
                    importlib.import_module(f"{package}.{found.name}")
        self._complete = True
