"""RecoBERT (Malkiel et al., Findings of EMNLP 2020): does this description belong to this title? Without behaviour.

[CLS] title [SEP] description [SEP] goes through one Transformer; f_T and f_D are the means of the title's and of the
description's last states. L = w L_TDM + L_MLM: with s = (1 + cos(f_T, f_D)) / 2, L_TDM = BCE(s, y), y = 1 for the two
of one item and 0 where one of them was swapped; L_MLM predicts 15 % of the words. Inference: :meth:`total_score`.

Our choices. The title is the first text column of the catalogue, or the one named; the description is all other text
columns. About half of the pairs are swapped; equal texts belong together. Words are masked in the same pass; items
that have only one of the two texts take part in L_MLM alone. No segment embeddings: [SEP] marks the border. A small
Transformer from scratch stands for BERT-large. The exported encoder reads title and description as one text and gives
the mean of all its states. ``tdm=0`` switches matching off; then no pair is swapped.
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
from palate.core.context import RunContext
from palate.core.errors import ConfigError, did_you_mean
from palate.core.seeding import rng_for
from palate.losses.pointwise import cosine_match
from palate.models.pretrain.shared.documents import CHUNK, MaskedDocuments, weighted_sum
from palate.models.pretrain.shared.inputs import read_rows
from palate.models.pretrain.shared.streams import FIRST_WORD
from palate.modules.masking import sample_mismatched_pairs
from palate.modules.token_ids import concat_texts
from palate.modules.towers import PAD, UNKNOWN, pooled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.core.content import Features
    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

TITLE, BODY = "title", "body"
MAX_EVAL_ITEMS, EVAL_CANDIDATES = 200, 16


@pretrainers.register("recobert")
class RecoBERT(MaskedDocuments):
    """Title-description matching and masked words."""

    name = "recobert"
    paper = "Malkiel et al., RecoBERT: A Catalog Language Model for Text-Based Recommendations, EMNLP Findings 2020"
    caution = "training did not help where measured: recall of new items was .188 before it and .182 after"
    texts = 2

    class Config(MaskedDocuments.Config):
        """Settings of the title and the two terms."""

        title: str = Field("", description="text column of titles; the first text column if empty")
        tdm: float = Field(1.0, ge=0, description="weight of title-description matching; 0 switches it off")
        mlm: float = Field(1.0, ge=0, description="weight of masked words; 0 switches them off")

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        """Read titles, and all other text columns as descriptions.

        Args:
            items: the catalogue.

        Returns:
            Name -> (modality, reader, columns).

        Raises:
            ConfigError: if there is no such title column, or fewer than two text columns.
        """
        texts, title = items.columns("text"), self.config.title
        if title and title not in texts:
            raise ConfigError("the items have no such text column", key=title, hint=did_you_mean(title, texts))
        if len(texts) < 2:
            raise ConfigError(
                f"{self.name} needs two text columns, a title and a description, found {', '.join(texts) or 'none'}",
                key="model",
                hint="name both as text in palate.yaml",
            )
        title = title or texts[0]
        return {
            TITLE: ("text", "as:text", (title,)),
            BODY: ("text", "as:text", tuple(column for column in texts if column != title)),
        }

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build the Transformer, and hold out pairs of titles and descriptions.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if both weights are 0, fewer than 2 items have both texts, or as in
                :meth:`DocumentPretrainer.setup`.
        """
        super().setup(train, run)
        c = self.config
        if not c.tdm + c.mlm:
            raise ConfigError("both weights are 0, there is nothing to learn", key="tdm, mlm")
        if TITLE not in train.fields or BODY not in train.fields:
            raise ConfigError(f"{self.name} needs two text columns, a title and a description", key="model")
        self.columns_read: tuple[Features, Features] = (train.fields[TITLE], train.fields[BODY])
        self.has_both = self.columns_read[0].present & self.columns_read[1].present
        if self.has_both.sum() < 2:
            raise ConfigError(f"{self.name} needs at least 2 items with both title and description", key="model")
        order = rng_for(run.seed, "held", self.name).permutation(np.flatnonzero(self.has_both))
        self.eval_items = np.sort(order[: min(int(c.held * len(order)), MAX_EVAL_ITEMS)])
        self.train_items = np.setdiff1d(np.flatnonzero(self.has_text), self.eval_items)

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        return self.train_items[:, None]

    def text(self, column: int, rows: Tensor) -> Tensor:
        """Token ids of titles or descriptions.

        A column alone shows pieces that are cut off where a reader takes all columns as one text; these are unknown.

        Args:
            column: 0 for titles, 1 for descriptions.
            rows: int64 [B].

        Returns:
            int64 [B, T]; padding where there is no text.
        """
        features = self.columns_read[column]
        present = torch.from_numpy(features.present).to(rows.device)[rows]
        ids = torch.where(present[:, None], read_rows(features, rows), PAD).long()
        return torch.where(ids < self.vocabulary, ids, UNKNOWN)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, rows = self.config, batch.rows[:, 0]
        paired = torch.from_numpy(self.has_both).to(rows.device)[rows].nonzero()[:, 0]
        titled, described = rows.clone(), rows.clone()
        if c.tdm and len(paired) > 1:
            left, right = sample_mismatched_pairs(len(paired), rows.device)
            titled[paired], described[paired] = rows[paired[left]], rows[paired[right]]
        ids, part = concat_texts(self.text(0, titled), self.text(1, described), FIRST_WORD)
        masked, hidden = self.mask_tokens(ids)
        states = self.stream(masked)[0]
        title, body = (pooled((states, part == segment))[paired] for segment in (1, 2))
        same = [(self.text(column, titled) == self.text(column, described)).all(1)[paired] for column in (0, 1)]
        return weighted_sum(
            {
                "tdm": (c.tdm, lambda: cosine_match(title, body, same[0] | same[1])),
                "mlm": (c.mlm, lambda: self.mlm_loss(states, hidden, ids)),
            }
        )

    def match(self, titles: Tensor, bodies: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read titles with descriptions, row by row.

        Args:
            titles: token ids int64 [B, T].
            bodies: token ids int64 [B, T].

        Returns:
            Unit f_T [B, d], unit f_D [B, d] and their cosine [B]; zero where a text is missing.
        """
        parts = []
        with torch.inference_mode():
            for title, body in zip(titles.split(CHUNK), bodies.split(CHUNK)):
                ids, part = concat_texts(title, body, FIRST_WORD)
                states = self.stream(ids)[0]
                parts.append(torch.stack([F.normalize(pooled((states, part == segment)), dim=1) for segment in (1, 2)]))
        a, b = torch.cat(parts, 1)
        return a, b, (a * b).sum(1)

    def total_score(self, seed: tuple[Tensor, Tensor], titles: Tensor, bodies: Tensor) -> Tensor:
        """Similarity of n candidates to a seed item: TotalScore.

        The sum of cos(T_s, T_c), cos(D_s, D_c), TDM(T_s, D_c) and TDM(T_c, D_s), each standardised over the candidates.
        T and D of an item come from its own two texts; the two TDM terms read seed and candidate together, 2 n passes.
        A term that a missing text leaves unknown counts as the candidates' mean.

        Args:
            seed: token ids int64 [T] of the seed's title and description.
            titles: int64 [n, T], of the candidates.
            bodies: int64 [n, T], of the candidates.

        Returns:
            float32 [n].
        """
        title, body = (ids.expand(len(titles), -1) for ids in seed)
        (own_t,), (own_d,), _ = self.match(title[:1], body[:1])
        t, d, _ = self.match(titles, bodies)
        terms = [t @ own_t, d @ own_d, self.match(title, bodies)[2], self.match(titles, body)[2]]
        present = [(ids != PAD).any(1) for ids in (title, body, titles, bodies)]
        known = [present[0] & present[2], present[1] & present[3], present[0] & present[3], present[2] & present[1]]
        return torch.stack([standardised(term, mask) for term, mask in zip(terms, known)]).sum(0)

    def validation_score(self) -> float:
        """Mean reciprocal rank, by TDM, of a held-out title's description among up to 16 descriptions."""
        rows = torch.from_numpy(self.eval_items).to(self.device)
        if len(rows) < 2:
            return 0.0
        titles, bodies = self.text(0, rows), self.text(1, rows)
        columns = [self.match(titles, bodies.roll(shift, 0))[2] for shift in range(min(EVAL_CANDIDATES, len(rows)))]
        scores = torch.stack(columns, 1)
        return float((1 / (scores >= scores[:, :1]).sum(1)).mean())


def standardised(values: Tensor, known: Tensor) -> Tensor:
    """Shift and scale ``values`` [n] to mean 0 and deviation 1 over those ``known``; the others are 0."""
    count = known.sum().clamp(min=1)
    centred = torch.where(known, values - torch.where(known, values, 0).sum() / count, 0)
    return centred / (centred.square().sum() / count).sqrt().clamp(min=1e-6)
