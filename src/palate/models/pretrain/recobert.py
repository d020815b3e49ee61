"""RecoBERT (Malkiel et al., Findings of EMNLP 2020): does this description belong to this title? No behaviour needed.

[CLS] title [SEP] description [SEP] goes through one Transformer; f_T and f_D are the means of the title's and of the
description's last states. L = w L_TDM + L_MLM: with s = (1 + cos(f_T, f_D)) / 2, L_TDM = BCE(s, y), y = 1 for the two
of one item and 0 where one of them was swapped; L_MLM guesses 15 % of the words. Inference: :meth:`total_score`.

Our choices. The title is the first text column of the catalogue, or the one named; the description is all other text
columns. About half of the pairs are swapped; equal texts belong together. Words are masked in the same pass; items
that have only one of the two texts take part in L_MLM alone. No segment embeddings: [SEP] marks the border. A small
Transformer from scratch stands for BERT-large. The exported encoder reads title and description as one text and gives
the mean of all its states. ``tdm=0`` takes matching away; then no pair is swapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.errors import ConfigError, did_you_mean
from palate.core.seeding import rng_for
from palate.losses.pointwise import cosine_match
from palate.modules.masking import sample_mismatched_pairs
from palate.modules.token_ids import concat_texts
from palate.modules.towers import PAD, UNKNOWN, pooled

from ._documents import CHUNK, MaskedDocuments, weighted
from ._inputs import read_rows
from ._streams import FIRST_WORD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.core.content import Features
    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

TITLE, BODY = "title", "body"
JUDGED, RIVALS = 200, 16


@pretrainers.register("recobert")
class RecoBERT(MaskedDocuments):
    """Title-description matching and masked words."""

    name = "recobert"
    paper = "Malkiel et al., RecoBERT: A Catalog Language Model for Text-Based Recommendations, EMNLP Findings 2020"
    texts = 2

    class Config(MaskedDocuments.Config):
        """Settings.

        Attributes:
            title: column of titles, the first text column if empty. tdm, mlm: weights of the two terms, 0 for none.
        """

        title: str = ""
        tdm: float = Field(1.0, ge=0)
        mlm: float = Field(1.0, ge=0)

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        found, title = items.columns("text"), self.config.title
        if title and title not in found:
            raise ConfigError("the items have no such text column", key=title, hint=did_you_mean(title, found))
        if len(found) < 2:
            raise ConfigError(
                f"{self.name} needs two text columns, a title and a description, found {', '.join(found) or 'none'}",
                key="model",
                hint="name both as text in palate.yaml",
            )
        title = title or found[0]
        return {
            TITLE: ("text", "as:text", (title,)),
            BODY: ("text", "as:text", tuple(column for column in found if column != title)),
        }

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c = self.config
        if not c.tdm + c.mlm:
            raise ConfigError("both weights are 0, nothing is left to learn", key="tdm, mlm")
        if TITLE not in train.fields or BODY not in train.fields:
            raise ConfigError(f"{self.name} needs two text columns, a title and a description", key="model")
        self.sides: tuple[Features, Features] = (train.fields[TITLE], train.fields[BODY])
        self.both = self.sides[0].present & self.sides[1].present
        if self.both.sum() < 2:
            raise ConfigError(f"{self.name} needs at least 2 items with both title and description", key="model")
        order = rng_for(train.seed, "held", self.name).permutation(np.flatnonzero(self.both))
        self.kept = np.sort(order[: min(int(c.held * len(order)), JUDGED)])
        self.trained = np.setdiff1d(np.flatnonzero(self.told), self.kept)

    def examples(self, view: TrainView) -> IntArray:
        return self.trained[:, None]

    def text(self, side: int, rows: Tensor) -> Tensor:
        """Token ids int64 [B, T] of titles (0) or descriptions (1), padding where there is none.

        A column alone shows pieces that are cut off where a reader takes all columns as one text; nobody knows these.
        """
        found = self.sides[side]
        there = torch.from_numpy(found.present).to(rows.device)[rows]
        ids = torch.where(there[:, None], read_rows(found, rows), PAD).long()
        return torch.where(ids < self.vocabulary, ids, UNKNOWN)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, rows = self.config, batch.rows[:, 0]
        paired = torch.from_numpy(self.both).to(rows.device)[rows].nonzero()[:, 0]
        titled, described = rows.clone(), rows.clone()
        if c.tdm and len(paired) > 1:
            left, right = sample_mismatched_pairs(len(paired), rows.device)
            titled[paired], described[paired] = rows[paired[left]], rows[paired[right]]
        ids, part = concat_texts(self.text(0, titled), self.text(1, described), FIRST_WORD)
        shown, hidden = self.hide(ids)
        states = self.stream(shown)[0]
        title, body = (pooled((states, part == side))[paired] for side in (1, 2))
        same = [(self.text(side, titled) == self.text(side, described)).all(1)[paired] for side in (0, 1)]
        return weighted(
            {
                "tdm": (c.tdm, lambda: cosine_match(title, body, same[0] | same[1])),
                "mlm": (c.mlm, lambda: self.guessed(states, hidden, ids)),
            }
        )

    def match(self, titles: Tensor, bodies: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unit f_T [B, d], unit f_D [B, d] and their cosine [B]; zero where a text is missing.

        Args:
            titles, bodies: token ids int64 [B, T], row by row.
        """
        found = []
        with torch.inference_mode():
            for title, body in zip(titles.split(CHUNK), bodies.split(CHUNK)):
                ids, part = concat_texts(title, body, FIRST_WORD)
                states = self.stream(ids)[0]
                found.append(torch.stack([F.normalize(pooled((states, part == side)), dim=1) for side in (1, 2)]))
        a, b = torch.cat(found, 1)
        return a, b, (a * b).sum(1)

    def total_score(self, seed: tuple[Tensor, Tensor], titles: Tensor, bodies: Tensor) -> Tensor:
        """How similar each of n candidates is to a seed item: TotalScore, float32 [n].

        The sum of cos(T_s, T_c), cos(D_s, D_c), TDM(T_s, D_c) and TDM(T_c, D_s), each standardised over the candidates.
        T and D of an item come from its own two texts; the two TDM terms read seed and candidate together, 2 n passes.
        A term that a missing text leaves unknown counts as the candidates' mean.

        Args:
            seed: token ids int64 [T] of its title and description. titles, bodies: int64 [n, T], of the candidates.
        """
        title, body = (ids.expand(len(titles), -1) for ids in seed)
        (own_t,), (own_d,), _ = self.match(title[:1], body[:1])
        t, d, _ = self.match(titles, bodies)
        terms = [t @ own_t, d @ own_d, self.match(title, bodies)[2], self.match(titles, body)[2]]
        told = [(ids != PAD).any(1) for ids in (title, body, titles, bodies)]
        known = [told[0] & told[2], told[1] & told[3], told[0] & told[3], told[2] & told[1]]
        return torch.stack([standardised(term, there) for term, there in zip(terms, known)]).sum(0)

    def validation_score(self) -> float:
        """Mean reciprocal rank, by TDM, of a held-out title's description among up to 16 descriptions."""
        rows = torch.from_numpy(self.kept).to(self.device)
        if len(rows) < 2:
            return 0.0
        titles, bodies = self.text(0, rows), self.text(1, rows)
        scores = [self.match(titles, bodies.roll(shift, 0))[2] for shift in range(min(RIVALS, len(rows)))]
        found = torch.stack(scores, 1)
        return float((1 / (found >= found[:, :1]).sum(1)).mean())


def standardised(values: Tensor, known: Tensor) -> Tensor:
    """Mean 0 and spread 1 over what is ``known``, 0 elsewhere and where all are equal."""
    count = known.sum().clamp(min=1)
    centred = torch.where(known, values - torch.where(known, values, 0).sum() / count, 0)
    return centred / (centred.square().sum() / count).sqrt().clamp(min=1e-6)
