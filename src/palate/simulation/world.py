"""World: a catalogue with media, users and a log whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from palate.core.files import read_json
from palate.core.output import kind_of
from palate.simulation import pictures, sounds, words
from palate.simulation.items import Items, make_items
from palate.simulation.log import Block, Log
from palate.simulation.presets import WorldConfig, configure
from palate.simulation.relations import make_relations
from palate.simulation.tables import impression_table, interaction_table, search_table
from palate.simulation.tastes import Population, Users, concat_users
from palate.simulation.truth import Truth
from palate.simulation.write import check_target, write_world


class World:
    """A simulated world; everything is drawn lazily and depends on the settings alone.

    Args:
        config: its settings.

    Example:
        ``World.make("shop", seed=1, n_users=500).write("my-shop")``
    """

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.population = Population(config)

    @classmethod
    def make(
        cls, preset: str = "shop", seed: int = 0, n_items: int | None = None, n_users: int | None = None,
        media: bool = True, no_effect: bool = False, **overrides: Any,
    ) -> World:  # fmt: skip
        """Make a world of ``preset``.

        Args:
            preset: ``shop``, ``news`` or ``ads``; ``news@1`` is an older version.
            seed: of all random streams.
            n_items: number of items, the preset's own if None.
            n_users: number of users, the preset's own if None.
            media: False leaves out pictures, texts and sounds, for scale.
            no_effect: content is shuffled over items while behaviour stays the same to the bit.
            **overrides: any field of :class:`WorldConfig`, or ``n_interactions``.

        Raises:
            ConfigError: an unknown preset or setting, or a value out of range.
        """
        sizes = {name: size for name, size in (("n_items", n_items), ("n_users", n_users)) if size is not None}
        return cls(configure(preset, overrides | sizes | {"seed": seed, "media": media, "no_effect": no_effect}))

    @classmethod
    def load(cls, folder: str | Path) -> World:
        """Restore the world written to ``folder`` from its settings."""
        return cls(WorldConfig(**read_json(Path(folder) / "world.json")["config"]))

    @cached_property
    def items(self) -> Items:
        """All items."""
        return make_items(self.config)

    @cached_property
    def log(self) -> Log:
        """The simulator of sessions."""
        return Log(self.items, self.population, self.config)

    def blocks(self) -> Iterator[tuple[Users, Block]]:
        """Users and their part of the log, block by block, in bounded memory."""
        impressions = 0
        for number in range(len(self.log)):
            users = self.population.block(number)
            block = self.log.block(number, users, impressions)
            impressions += block.sessions
            yield users, block

    @cached_property
    def _all(self) -> tuple[Users, dict[str, pl.DataFrame]]:
        ids, user_blocks, parts = self.items.ids(), [], []
        for users, block in self.blocks():
            names = users.ids(self.config.n_users)
            user_blocks.append(users)
            tables = [
                interaction_table(block, names, ids, users.first),
                impression_table(block, names, ids, users.first, self.log.contexts),
            ]
            if self.config.media:
                tables.append(search_table(block, names, ids, users.first, self.items, self.log.contexts))
            parts.append(tables)
        named = zip(("interactions", "impressions", "searches"), zip(*parts))
        return concat_users(user_blocks), {name: pl.concat(list(blocks)) for name, blocks in named}

    @property
    def users(self) -> Users:
        """All users, in memory."""
        return self._all[0]

    @property
    def interactions(self) -> pl.DataFrame:
        """user_id, item_id, timestamp, event, dwell, value; by time within blocks of users."""
        return self._all[1]["interactions"]

    @property
    def impressions(self) -> pl.DataFrame:
        """Items shown, see :func:`palate.simulation.tables.impression_table`."""
        return self._all[1]["impressions"]

    @property
    def searches(self) -> pl.DataFrame | None:
        """user_id, timestamp, query, item_id; None without media."""
        return self._all[1].get("searches")

    @cached_property
    def relations(self) -> pl.DataFrame:
        """source, relation, target, weight."""
        return make_relations(self.items, self.population, self.config)

    @cached_property
    def truth(self) -> Truth:
        """Hidden attributes, tastes and probabilities of the world."""
        return Truth(self.config, self.items, self.users)

    def picture(self, row: int, size: int | None = None, view: int = 0) -> Image.Image:
        """Render a picture of an item, also of one whose picture is missing in the catalogue.

        Args:
            row: of the item.
            size: height and width in pixels, ``config.image_size`` if None.
            view: number of the view.
        """
        return pictures.render(self.items, row, self.config, size, view)

    def detail(self, row: int, size: int | None = None) -> Image.Image:
        """Render the close-up of an advertisement, also of one without.

        Args:
            row: of the item.
            size: height and width in pixels, ``config.image_size`` if None.

        Raises:
            ConfigError: the world has no close-ups.
        """
        return pictures.render_detail(self.items, row, self.config, size)

    def sound(self, row: int, seconds: float | None = None) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Synthesise the clip of an item, float32 in [-1, 1] at ``config.audio_rate``.

        Args:
            row: of the item.
            seconds: length, ``config.audio_seconds`` if None.
        """
        return sounds.synthesise(self.items, row, self.config, seconds)

    def copy(self, row: int) -> words.Copy:
        """Write title, description, tags and facts of an item."""
        return words.write_copy(self.items, row, self.config)

    def is_written(self, folder: str | Path) -> bool:
        """Whether a folder holds this very world.

        Args:
            folder: of a world, or anything else.
        """
        file = Path(folder) / "world.json"
        return kind_of(folder) == "world" and read_json(file).get("config_hash") == self.config.hash

    def write(self, folder: str | Path, overwrite: bool = False) -> Path:
        """Write the world as a plain folder with its ``truth/``, atomically.

        Args:
            folder: target.
            overwrite: replace a world that is there; files that others put there stay.

        Returns:
            The folder.

        Raises:
            DataError: the folder exists (without ``overwrite``), or is not a world.
        """
        folder = Path(folder)
        check_target(folder, overwrite)
        return write_world(folder, self.config, self.items, self.relations, self.log, self.blocks())
