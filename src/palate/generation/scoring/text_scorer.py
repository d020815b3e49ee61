"""The scores that every generated text carries: relevance, personal fit, factual support, fluency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palate.contracts import Generated
from palate.core.encoder import Encoder
from palate.generation.facts import FactualScorer
from palate.generation.scoring.fluency import NgramModel
from palate.generation.scoring.personal import PersonalFit, describe, history_words
from palate.generation.scoring.semantic import unit_vectors

NAN = float("nan")


class TextScorer:
    """A bundle of scorers of texts; a score whose part is not given is nan.

    ``relevance``: cosine to the item's values. ``personal``: share of other users whose history is less close to the
    text; without histories of others, the share of its content words that the user's items have. ``factual`` and
    ``unsupported_sentences``: the check of facts. ``fluency``: mean log-probability of a word in the catalogue's texts.

    Args:
        encoder: of texts, for ``relevance``.
        personal: fit against other users.
        factual: the check of facts.
        language_model: of the catalogue's texts.
    """

    def __init__(
        self,
        encoder: Encoder | None = None,
        personal: PersonalFit | None = None,
        factual: FactualScorer | None = None,
        language_model: NgramModel | None = None,
    ) -> None:
        self.encoder, self.personal = encoder, personal
        self.factual, self.language_model = factual or FactualScorer(), language_model

    def score(
        self, item: Mapping[str, Any], user: Sequence[Mapping[str, Any]], generated: Generated
    ) -> Mapping[str, float]:
        """Scores by name; all nan without a text.

        Args:
            item: id and columns of the item.
            user: the user's history.
            generated: what to judge.
        """
        text = generated.text or ""
        out = {"relevance": NAN, "personal": NAN, "fluency": NAN, **self.factual.score(item, user, generated)}
        if not text.strip():
            return out
        if self.encoder is not None:
            pair = unit_vectors(self.encoder, [text, describe(item)])
            out["relevance"] = float(pair[0] @ pair[1])
        out["personal"] = self.personal.score(text, user)[0] if self.personal else history_words(text, user)
        if self.language_model is not None:
            out["fluency"] = self.language_model.log_probability(text)
        return out
