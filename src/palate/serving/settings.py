"""How a run is served; importing this loads neither models nor a web framework."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from palate.core.errors import ConfigError
from palate.serving.moderation import Moderator
from palate.serving.network.limits import Limits

MAIN = "main"
"""Name of the run that is served, and of a run's own model."""


@dataclass(frozen=True)
class Settings:
    """How a run is served.

    Attributes:
        run: run folder.
        state: folder of the service's state, ``<run>-shop`` by default.
        extra_runs: folders of further runs that can answer.
        events: URL of the database.
        keys: file of API keys.
        rate: requests per second and client; 0 for no limit.
        queue: requests that one worker processes at once.
        threads: threads of one worker that process requests.
        page: whether the web page is served.
        cors: origins whose pages may call the API.
        index_url: URL of a Qdrant server.
        host: address that the server listens on; requests for another host are refused. None answers to any.
        host_names: further names that the server answers to.
        proxies: addresses of trusted proxies, whose ``X-Forwarded-For`` and ``-Proto`` are believed.
        limits: sizes, deadlines and numbers of connections.
        blocklist: file of words and phrases, one a line, that generated content may not hold.
        moderate: judge of generated content before it is shown, instead of ``blocklist``: says why it is withheld.
        generation_seconds: seconds for one generated content; then the generator without a model answers.
        text_backend: language model that writes the texts of ``/v1/generate``, name or name:argument; empty for none.
        generators: run folders of fitted generators, which requests name as the folders are named.
    """

    run: str
    state: str | None = None
    extra_runs: tuple[str, ...] = ()
    events: str | None = None
    keys: str | None = None
    rate: float = 100.0
    queue: int = 32
    threads: int = 8
    page: bool = True
    cors: tuple[str, ...] = ()
    index_url: str | None = None
    host: str | None = None
    host_names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    blocklist: str | None = None
    moderate: Moderator | None = None
    generation_seconds: float = 20.0
    text_backend: str = ""
    generators: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The state folder."""
        run = Path(self.run)
        return Path(self.state) if self.state else run.parent / f"{run.name}-shop"


def run_names(run: str | Path, extra_runs: Sequence[str | Path] = ()) -> dict[str, Path]:
    """Name -> folder of the runs that answer; further runs are called as their folders are.

    Args:
        run: run that is served, called :data:`.MAIN`.
        extra_runs: further runs.

    Raises:
        ConfigError: for a further run that is called :data:`.MAIN`, or as another one.
    """
    names = {MAIN: Path(run)}
    for folder in map(Path, extra_runs):
        name = os.path.basename(os.path.abspath(folder))
        if name in names:
            other = "the served run" if name == MAIN else f"{str(names[name])!r}"
            raise ConfigError(
                f"two runs would have the name {name!r}: {other} is known by it",
                key=f"--compare {folder}",
                hint="rename the folder, or give a link with another name",
            )
        names[name] = folder
    return names
