"""Found by registration: a choice of many (readers, encoders, models) is one file each, imported on demand."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from palate.core.errors import ConfigError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to objects of one kind.

    A module that lies in one of ``packages`` registers itself when imported. A file is best named like the
    thing it registers: then only that file is imported, otherwise all of them are. Installed packages add to a registry
    by an entry point ``name = "module"`` in ``group``: the module registers the name when it is imported.

    Args:
        kind: what is registered, for error messages.
        packages: where to look.
        group: entry point group of plug-ins; None takes none.
    """

    def __init__(self, kind: str, packages: tuple[str, ...], group: str | None = None) -> None:
        self.kind, self.packages, self.group = kind, packages, group
        self._known: dict[str, T] = {}
        self._complete = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: make ``name`` refer to the decorated object.

        Args:
            name: unique among the registered.

        Raises:
            ConfigError: when another object has the name.
        """

        def add(thing: T) -> T:
            held = self._known.get(name)
            if held is not None and getattr(held, "__qualname__", 0) != getattr(thing, "__qualname__", 1):
                raise ConfigError(f"two {self.kind}s claim the name", key=name)
            self._known[name] = thing
            return thing

        return add

    def get(self, name: str) -> T:
        """The object called ``name``.

        Args:
            name: as registered.

        Raises:
            ConfigError: for an unknown name, with the closest known ones.
        """
        if name not in self._known:
            self._import_own(name)
        if name not in self._known:
            self._import_plugins(name)
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

    def _import_own(self, name: str) -> None:
        for package in self.packages:
            module = f"{package}.{name}"
            if name.isidentifier() and _exists(package) and importlib.util.find_spec(module) is not None:
                importlib.import_module(module)

    def _import_plugins(self, name: str | None = None) -> None:
        for point in entry_points(group=self.group) if self.group else ():
            if name is None or point.name == name:
                try:
                    point.load()
                except Exception as error:
                    raise ConfigError(
                        f"the plug-in cannot be imported: {error}",
                        key=f"{point.group}: {point.name} = {point.value}",
                        hint="repair or uninstall the package that declares it",
                    ) from error
                if point.name not in self._known:
                    raise ConfigError(
                        f"the plug-in registers no {self.kind} of this name",
                        key=f"{point.group}: {point.name} = {point.value}",
                        hint="the entry point names the module whose import registers the name",
                    )

    def _import_all(self) -> None:
        if self._complete:
            return
        for package in filter(_exists, self.packages):
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                if not module.name.startswith("_"):
                    importlib.import_module(f"{package}.{module.name}")
        self._import_plugins()
        self._complete = True


def _exists(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False
