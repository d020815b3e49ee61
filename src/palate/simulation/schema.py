"""Schema of a world: a two-level category tree, attributes, and the modalities that show each attribute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from palate.core.errors import ConfigError, did_you_mean

Codes = NDArray[np.int8]
Words = Mapping[str, Mapping[str, tuple[str, ...]]]
LEAF = "subcategory"


@dataclass(frozen=True)
class Attribute:
    """A hidden property of an item.

    Attributes:
        name: of the property.
        values: all its values.
    """

    name: str
    values: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Category:
    """A branch of the tree.

    Attributes:
        name: of the branch.
        leaves: names of its leaves.
        prices: usual price of each leaf.
    """

    name: str
    leaves: tuple[str, ...]
    prices: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Schema:
    """The tree, the attributes and the visibility matrix of a world.

    Attributes:
        categories: all with the same number of leaves, so that a leaf has a code within its category.
        attributes: hidden properties; tastes act on them and on the leaf.
        visibility: modality -> attribute -> clarity, the probability that the modality shows the true value.
            An attribute that is not listed for a modality is not shown by it at all.
        importance: mean weight of an attribute in users' tastes; also for ``subcategory``.
        words: attribute -> value -> several words for it, so that no single token is the attribute.
        claims: attribute -> voice -> sentences that say a ``{word}``.
        emphasis: category -> attribute -> factor of its importance in that category, 1 where not listed.
        headlines: titles that say ``{leaf}`` and words of attributes that the text shows; without them a title is the
            brand and the leaf.
        rivals: whether a picture has objects in several regions, of which that of the category holds the item's.

    Raises:
        ConfigError: categories differ in size, a modality shows an unknown attribute, or an unknown category is
            emphasised.
    """

    categories: tuple[Category, ...]
    attributes: tuple[Attribute, ...]
    visibility: Mapping[str, Mapping[str, float]]
    importance: Mapping[str, float]
    words: Words = field(default_factory=dict)
    claims: Words = field(default_factory=dict)
    emphasis: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    headlines: tuple[str, ...] = ()
    rivals: bool = False

    def __post_init__(self) -> None:
        if len({len(category.leaves) for category in self.categories}) != 1:
            raise ConfigError("categories differ in their number of leaves", key="categories")
        for modality, shown in self.visibility.items():
            for name in shown:
                if name not in self.names:
                    raise ConfigError(
                        f"{modality} shows an unknown attribute", key=name, hint=did_you_mean(name, self.names)
                    )
        branches = [category.name for category in self.categories]
        for branch in self.emphasis:
            if branch not in branches:
                raise ConfigError("emphasis of an unknown category", key=branch, hint=did_you_mean(branch, branches))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Attribute names in column order of every ``codes`` array."""
        return tuple(attribute.name for attribute in self.attributes)

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """All leaves, category by category; a leaf's position is its code."""
        return tuple(leaf for category in self.categories for leaf in category.leaves)

    @property
    def per_category(self) -> int:
        """Leaves in one category: ``category = leaf // per_category``."""
        return len(self.categories[0].leaves)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First column of the leaf block, then of each attribute's block, then the width, in a taste vector."""
        return tuple(np.cumsum([0, self.per_category, *map(len, self.attributes)]).tolist())

    @property
    def width(self) -> int:
        """Length of a taste vector."""
        return self.offsets[-1]

    def factors(self, name: str) -> NDArray[np.float64]:
        """Factors of the importance of an attribute, or of ``subcategory``, in each category, float64 [categories]."""
        return np.array([self.emphasis.get(category.name, {}).get(name, 1.0) for category in self.categories])

    def column(self, name: str) -> int:
        """Column of an attribute in ``codes``.

        Raises:
            ConfigError: the attribute is unknown.
        """
        if name not in self.names:
            raise ConfigError("unknown attribute", key=name, hint=did_you_mean(name, self.names))
        return self.names.index(name)

    def values(self, name: str) -> tuple[str, ...]:
        """Values of an attribute.

        Raises:
            ConfigError: the attribute is unknown.
        """
        return self.attributes[self.column(name)].values
