"""BLIP-2's Q-Former, first stage (Li et al., ICML 2023): learnt queries extract from a picture the content of its text.

Three objectives, summed, share all weights and differ in the mask of self-attention:

- itc (queries and words apart): s_ij = max_q cos(query_q of picture i, [CLS] of text j); symmetric softmax of s / tau.
- itm (together): does the text fit the picture? The mean over queries of a logit; negatives are drawn by the batch's s.
- itg (causal words that see the queries): -sum_t log P(w_t | w_<t, queries), the text opened by a token of its own.

Our choices. Pictures are read by a frozen encoder as in the paper, whose vector becomes ``tokens`` tokens, or, read as
pixels, by a small tower trained with the rest. Cross-attention in every second block as in the paper, pre-norm. Texts
of the same words are not each other's negatives in itm. An exported picture is the mean of its queries, projected and
of unit length, and validation is by its retrieval on held-out items; a text is its [CLS]. Items without picture or text
are left out: all three objectives need both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.features.encoders.tower import Tower
from palate.models.pretrain.shared.contrastive import clipped_scale
from palate.models.pretrain.shared.image_text import ImageTextPretrainer
from palate.models.pretrain.shared.image_text_fusion import matching_loss
from palate.models.pretrain.shared.streams import HEADS, MASK
from palate.modules.masking import sample_hard_negatives
from palate.modules.qformer import QFormer
from palate.modules.stream import TokenEmbedding, WordHead
from palate.modules.towers import PAD, VectorTower, make_tower

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.views import TrainView

CHUNK = 256


@pretrainers.register("blip2")
class BLIP2(ImageTextPretrainer):
    """Contrast, matching and generation through learnt queries."""

    name = "blip2"
    paper = "Li et al., BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image Encoders, ICML 2023"

    class Config(ImageTextPretrainer.Config):
        """Settings of the Q-Former."""

        queries: int = Field(8, ge=1, description="number of learnt queries")
        tokens: int = Field(4, ge=1, description="tokens made of a picture's vector, where it is read as a vector")
        width: int = Field(128, ge=2, description="width of the shared space")
        tau: float = Field(0.07, gt=0, description="initial temperature; it is learnt")
        objectives: tuple[Literal["itc", "itm", "itg"], ...] = Field(
            ("itc", "itm", "itg"),
            min_length=1,
            description="objectives that are summed: contrast (itc), matching (itm), generation (itg)",
        )
        hard: bool = Field(True, description="draw negatives of itm by similarity, else uniformly")

    config: Config

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        c, d = self.config, self.config.dim
        self.former_sizes = {"queries": c.queries, "layers": c.layers, "heads": HEADS}
        self.image_network: dict[str, Any] = {"kind": "image", "dim": d}
        if self.inputs.frozen("image"):
            inputs = self.inputs.features["image"].dim
            self.image_network = {"kind": "vector", "inputs": inputs, "dim": d, "tokens": c.tokens}
        self.words, self.tower = TokenEmbedding(self.vocabulary, d, self.length), make_tower(**self.image_network)
        if isinstance(self.tower, VectorTower):
            self.tower.fit(self.inputs.read("image", torch.from_numpy(self.train_items)))
        self.former = QFormer(d, **self.former_sizes)
        self.of_image, self.of_text = nn.Linear(d, c.width), nn.Linear(d, c.width)
        self.match, self.write = nn.Linear(d, 1), WordHead(d, self.vocabulary)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / c.tau)))

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        rows = batch.rows[:, 0]
        image, ids = self.tower(self.inputs.read("image", rows))[0], self.ids(rows)
        scores = self.similarities(image, ids)
        terms = {
            "itc": lambda: self.itc(scores),
            "itm": lambda: self.itm(image, ids, scores.detach()),
            "itg": lambda: self.itg(image, ids),
        }
        out: dict[str, Tensor] = {name: terms[name]() for name in self.config.objectives}
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def similarities(self, image: Tensor, ids: Tensor) -> Tensor:
        """Similarities of pictures and texts: the best query's cosine, over tau.

        Args:
            image: float [B, R, d], tokens of pictures.
            ids: int64 [B, T].

        Returns:
            float [B, B], pictures by texts.
        """
        queries, words = self.former(image, self.words(ids), "apart")
        a, b = F.normalize(self.of_image(queries), dim=2), F.normalize(self.of_text(words[:, 0]), dim=1)
        cosines: Tensor = torch.einsum("iqd,jd->ijq", a, b).amax(2)
        return cosines * clipped_scale(self.scale)

    def itc(self, scores: Tensor) -> Tensor:
        """Symmetric cross-entropy of a picture's text and a text's picture."""
        own = torch.arange(len(scores), device=scores.device)
        return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2

    def itm(self, image: Tensor, ids: Tensor, scores: Tensor) -> Tensor:
        """Cross-entropy of matching: each pair, each picture with a wrong text, each text with a wrong picture.

        Args:
            image: float [B, R, d], tokens of pictures.
            ids: int64 [B, T].
            scores: float [B, B], similarities by which wrong partners are drawn.

        Returns:
            A scalar.
        """
        same_text = (ids[:, None] == ids[None, :]).all(2)
        scores = scores if self.config.hard else torch.zeros_like(scores)
        own = torch.arange(len(ids), device=ids.device)
        (a, wrong_text), (b, wrong_image) = (
            sample_hard_negatives(scores, same_text),
            sample_hard_negatives(scores.T, same_text),
        )
        pictures, texts = torch.cat([own, a, wrong_image]), torch.cat([own, wrong_text, b])
        queries, _ = self.former(image[pictures], self.words(ids[texts]), "together")
        return matching_loss(self.match(queries)[:, :, 0].mean(1), len(ids))

    def itg(self, image: Tensor, ids: Tensor) -> Tensor:
        """Cross-entropy of every next word; arguments as in :meth:`similarities`."""
        opened = ids[:, :-1].clone()
        # no text holds the mask token, so it can open a text that is to be generated
        opened[:, 0] = MASK
        _, states = self.former(image, self.words(opened), "causal")
        logits = self.write(states, self.words.words.weight)
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=PAD)

    def pictures(self, rows: Tensor) -> Tensor:
        """Unit vectors float32 [B, width] of pictures, as exported."""
        queries, _ = self.former(self.tower(self.inputs.read("image", rows))[0], None)
        return F.normalize(self.of_image(queries.mean(1)), dim=1)

    def texts(self, rows: Tensor) -> Tensor:
        """Unit vectors float32 [B, width] of texts, as exported."""
        _, words = self.former(None, self.words(self.ids(rows)))
        return F.normalize(self.of_text(words[:, 0]), dim=1)

    def validation_score(self) -> float:
        """Mean reciprocal rank of an item's other modality among the held-out items, both ways."""
        rows = torch.from_numpy(self.eval_items).to(self.device)
        if len(rows) < 2:
            return float("nan")
        with torch.inference_mode():
            a, b = (torch.cat([encode(part) for part in rows.split(CHUNK)]) for encode in (self.pictures, self.texts))
        logits = a @ b.T
        ranks = [(scores >= scores.diagonal()[:, None]).sum(1) for scores in (logits, logits.T)]
        return float((1 / torch.cat(ranks)).mean())

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        sizes: dict[str, Any] = {"dim": self.config.dim, "former": self.former_sizes}
        text = {"kind": "qformer-text", "vocabulary": self.vocabulary, "length": self.length, **sizes}
        image = {"kind": "qformer-image", "reader": self.image_network, **sizes}
        parts = {"image": (image, self.tower, self.of_image), "text": (text, self.words, self.of_text)}
        out: dict[str, Encoder] = {}
        for modality, (network, reader, head) in parts.items():
            tower = nn.ModuleDict({"reader": reader, "former": self.former})
            weights = nn.ModuleDict({"tower": tower, "head": head}).state_dict()
            out[modality] = Tower(readers[modality], network, self.config.width).load_weights(weights, fitted_on)
        return out
