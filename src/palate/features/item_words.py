"""Titles and bodies of items as ids of words, and the entities that titles name: tables that are indexed by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.core.errors import ArtefactError, DataError, did_you_mean
from palate.data.catalog import Catalog
from palate.data.schema import FIRST, OUT_OF_VOCABULARY, PADDING

IntArray = NDArray[np.int64]
WORD = r"[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*"
ENTITIES = "title_entities"
"""Column of linked entities as MIND has them: a JSON list of objects with ``WikidataId`` and ``SurfaceForms``."""
_ENTITY = pl.List(pl.Struct({"WikidataId": pl.String, "SurfaceForms": pl.List(pl.String)}))


def split_words(texts: pl.Series, length: int | None = None) -> pl.Series:
    """Words of texts in lower case, without punctuation: a list for each text, null for none.

    Args:
        texts: n texts.
        length: words kept of each; all by default.
    """
    words = texts.cast(pl.String).str.to_lowercase().str.extract_all(WORD)
    return words if length is None else words.list.head(length)


@dataclass(frozen=True)
class WordVocabulary:
    """Words and entities with their ids: 0 is padding, 1 is outside the vocabulary, 2 and more are known.

    Attributes:
        words: in the order of their ids.
        entities: identifiers of entities in the order of their ids; empty where the data link none.
        title: column of titles; None where items have no text.
        bodies: columns that are read as the body, joined in this order.
    """

    words: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    title: str | None = None
    bodies: tuple[str, ...] = ()

    @classmethod
    def fit(cls, items: Catalog, title: str | None = None, min_count: int = 1, size: int = 30_000) -> Self:
        """Words of the texts of ``items``, the most frequent first.

        Args:
            items: those whose content may be seen; others have null columns.
            title: column of titles; by default ``title`` or ``headline``, else the first column of text.
            min_count: rarer words are outside the vocabulary.
            size: words at most.

        Raises:
            DataError: for a title column that is not there.
        """
        columns = items.columns("text")
        if title is not None and title not in columns:
            raise DataError("no such column of text", column=title, hint=did_you_mean(title, columns))
        named = [column for column in columns if column.lower() in ("title", "headline")]
        title = title or next(iter([*named, *columns]), None)
        bodies = tuple(column for column in columns if column != title)
        if title is None:
            return cls()
        words = pl.concat([split_words(items.frame[column]).explode() for column in (title, *bodies)])
        counts = pl.DataFrame({"word": words}).drop_nulls().group_by("word").len()
        kept = counts.filter(pl.col("len") >= min_count).sort(["len", "word"], descending=[True, False]).head(size)
        found = _mentions(items)["entity"].unique().sort().to_list()
        return cls(tuple(kept["word"].to_list()), tuple(found), title, bodies)

    @property
    def size(self) -> int:
        """Number of ids of words; 0 without a column of titles."""
        return FIRST + len(self.words) if self.title is not None else 0

    def ids(self, texts: pl.Series, length: int) -> IntArray:
        """Ids int64 [n, length] of the first words of texts, padded with 0; null is all padding.

        Args:
            texts: n texts.
            length: words kept of each.
        """
        lists = split_words(texts, length)
        lengths = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
        out = np.zeros((len(texts), length), np.int64)
        if lengths.any():
            out[np.arange(length) < lengths[:, None]] = _lookup(lists.explode().drop_nulls(), self.words)
        return out

    def entity_ids(self, items: Catalog, length: int) -> IntArray:
        """Ids int64 [n, length] of the entity that each word of a title belongs to, 0 for none.

        Args:
            items: n items.
            length: words kept of a title.
        """
        out = np.zeros((len(items), length), np.int64)
        if self.title is None or not self.entities:
            return out
        words = pl.DataFrame({"word": split_words(items.frame[self.title], length)}).with_row_index("row")
        words = words.filter(pl.col("word").list.len() > 0)
        places = words.with_columns(at=pl.int_ranges(pl.col("word").list.len())).explode("word", "at")
        found = places.join(_mentions(items), on=["row", "word"], how="inner").unique(["row", "at"], keep="first")
        out[found["row"].to_numpy(), found["at"].to_numpy()] = _lookup(found["entity"], self.entities)
        return out

    def state(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "words": list(self.words),
            "entities": list(self.entities),
            "title": self.title,
            "bodies": list(self.bodies),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The vocabulary that :meth:`state` describes.

        Args:
            state: what :meth:`state` returned.

        Raises:
            ArtefactError: if the state was not written by :meth:`state`.
        """
        try:
            words, entities, bodies = (tuple(map(str, state[key])) for key in ("words", "entities", "bodies"))
            return cls(words, entities, state["title"], bodies)
        except (KeyError, TypeError) as error:
            raise ArtefactError(f"not the state of a vocabulary: {error}") from error


class ItemWords(nn.Module):
    """Words of all items as buffers, looked up by row; they are saved with the weights.

    Args:
        vocabulary: fitted on the training part.
        title: words kept of a title.
        body: words kept of a body; 0 keeps none.
    """

    title: Tensor
    body: Tensor
    entities: Tensor

    def __init__(self, vocabulary: WordVocabulary, title: int, body: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.lengths = {"title": title, "body": body if vocabulary.bodies else 0, "entities": title}
        for name, length in self.lengths.items():
            self.register_buffer(name, torch.zeros(0, length, dtype=torch.int64))

    def load(self, items: Catalog) -> None:
        """Read the texts of all items.

        Args:
            items: n items; columns that are missing count as empty.
        """
        kinds, device = self.vocabulary, self.title.device
        nothing = pl.Series([None] * len(items), dtype=pl.String)
        frame = items.frame
        title = frame[kinds.title] if kinds.title in frame.columns else nothing
        own = [pl.col(column) for column in kinds.bodies if column in frame.columns]
        body = frame.select(pl.concat_str(own, separator=" ", ignore_nulls=True)).to_series() if own else nothing
        tables = {
            "title": kinds.ids(title, self.lengths["title"]),
            "body": kinds.ids(body, self.lengths["body"]),
            "entities": kinds.entity_ids(items, self.lengths["title"]),
        }
        for name, ids in tables.items():
            self.register_buffer(name, torch.from_numpy(ids).to(device))

    def grow(self, n_items: int) -> None:
        """Append items of whose text nothing is known.

        Args:
            n_items: rows of the tables afterwards.
        """
        for name in self.lengths:
            table = self.get_buffer(name)
            extra = n_items - len(table)
            if extra > 0:
                self.register_buffer(name, torch.cat([table, table.new_zeros(extra, table.shape[1])]))

    def rows(self, name: str, rows: Tensor) -> Tensor:
        """Ids int64 [..., length] of ``title``, ``body`` or ``entities``; all padding for row -1.

        Args:
            name: of the table.
            rows: int64 [...].
        """
        ids: Tensor = self.get_buffer(name)[rows.clamp(min=0)]
        return torch.where((rows < 0)[..., None], PADDING, ids)


def _mentions(items: Catalog) -> pl.DataFrame:
    """Columns row, word, entity: words of the surface forms of the entities that each title names."""
    if ENTITIES not in items.frame.columns or items.frame[ENTITIES].dtype != pl.String:
        return pl.DataFrame(schema={"row": pl.UInt32, "word": pl.String, "entity": pl.String})
    texts = items.frame[ENTITIES]
    linked = texts.set(~texts.str.starts_with("[").fill_null(False), None)
    try:
        parsed = linked.str.json_decode(_ENTITY)
    except pl.exceptions.PolarsError as error:
        hint = "a JSON list of objects with WikidataId and SurfaceForms"
        raise DataError("linked entities cannot be read", file=items.file, column=ENTITIES, hint=hint) from error
    table = pl.DataFrame({"one": parsed}).with_row_index("row").explode("one").drop_nulls("one").unnest("one")
    forms = table.explode("SurfaceForms").drop_nulls(["WikidataId", "SurfaceForms"])
    words = forms.with_columns(word=split_words(forms["SurfaceForms"])).explode("word").drop_nulls("word")
    return words.select("row", "word", entity="WikidataId")


def _lookup(values: pl.Series, known: Sequence[str]) -> IntArray:
    table = pl.DataFrame(
        {"value": pl.Series(known, dtype=pl.String), "id": np.arange(FIRST, FIRST + len(known), dtype=np.int64)}
    )
    joined = pl.DataFrame({"value": values}).join(table, on="value", how="left", maintain_order="left")
    return joined["id"].fill_null(OUT_OF_VOCABULARY).to_numpy().astype(np.int64)
