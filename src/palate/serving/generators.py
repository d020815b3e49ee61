"""Generators of a server: made at first use, or read from the runs that hold them, then shared by all its requests."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from palate.contracts import Generator, generators
from palate.contracts.generator import MEDIA, ContentKind, Medium
from palate.core.config import TrainedConfig
from palate.core.errors import ConfigError, UnsupportedError, did_you_mean
from palate.generation.flows.generator import FlowGenerator
from palate.generation.registries import text_backends
from palate.training.saving import restore_as

DEFAULTS: dict[Medium, str] = {"text": "template", "image": "creative", "mixed": "creative", "video": "clip"}
"""Generators that need no model: they answer by default, and where another one fails or is late."""


class GeneratorPool:
    """One instance of each generator: it may hold a large model, so it is not made for every request.

    Args:
        runs: folders of generators that were fitted; each is named as its folder.
        text_backend: language model of generators that can use one, name or name:argument; texts come from it by
            default then. Empty for none: no client can have a model loaded that the operator did not name.

    Raises:
        ConfigError: for a folder that is named as another generator, and an unknown backend.
        ArtefactError: for a folder that is not a run.
        UnsupportedError: for a run that holds no generator.
    """

    def __init__(self, runs: Sequence[str | Path] = (), text_backend: str = "") -> None:
        if text_backend:
            text_backends.get(text_backend.partition(":")[0])
        self._text_backend = text_backend
        self._instances: dict[str, Generator] = {}
        self._lock = threading.Lock()
        for folder in runs:
            name = os.path.basename(os.path.abspath(folder))
            if name in self._instances or name in generators.names():
                raise ConfigError(
                    f"two generators would have the name {name!r}",
                    key=f"--generator {folder}",
                    hint="rename the folder, or give a link with another name",
                )
            self._instances[name] = restore_as(folder, Generator)
        self._fitted = dict(self._instances)

    def get(self, kind: ContentKind, name: str | None = None) -> tuple[str, Generator]:
        """Name and instance of a generator.

        Args:
            kind: content that it must be able to generate.
            name: as registered, or of the folder of a fitted one; by default the one that asks the language model, else
                the one that needs none, else the first that generates ``kind``.

        Raises:
            UnsupportedError: if no generator is registered, or none that generates ``kind``.
            ConfigError: for an unknown name.
        """
        # those whose network must be fitted first have nothing to say as they are
        registered: dict[str, type[Generator] | Generator] = {
            known: one for known, one in generators.items() if not issubclass(one.Config, TrainedConfig)
        }
        registered |= self._fitted
        if not registered:
            raise UnsupportedError(
                "this server has no generator",
                hint="install a package that registers one under the entry point group palate.generators",
            )
        if name is not None and name not in registered:
            raise ConfigError("no such generator", key=name, hint=did_you_mean(name, registered))
        suited = [known for known, generator in registered.items() if kind in generator.kinds]
        if name is None and not suited:
            raise UnsupportedError(f"no generator of this server generates {kind!r}", hint=_abilities(registered))
        if name is not None and name not in suited:
            hint = f"for {kind!r}: {', '.join(suited)}" if suited else _abilities(registered)
            raise UnsupportedError(f"the generator {name!r} does not generate {kind!r}", hint=hint)
        preferred = "prompted" if self._text_backend and MEDIA[kind] == "text" else DEFAULTS[MEDIA[kind]]
        chosen = name or (preferred if preferred in suited else suited[0])
        with self._lock:
            if chosen not in self._instances:
                known = generators.get(chosen)
                uses_text = issubclass(known, FlowGenerator)
                self._instances[chosen] = known(backend=self._text_backend) if uses_text else known()
            return chosen, self._instances[chosen]


def _abilities(registered: Mapping[str, type[Generator] | Generator]) -> str:
    return "; ".join(f"{name}: {', '.join(generator.kinds) or 'nothing'}" for name, generator in registered.items())
