"""PNG (Ao et al., TKDD 2023): headlines by a pointer-generator that the user's interests steer in three places.

The body of an item is read by a bidirectional LSTM; an LSTM decoder with attention a_t writes
P(w) = p_gen P_vocabulary(w) + (1 - p_gen) sum_{i: w_i = w} a_ti. The user's vector u is made of genuine, sequential and
flash interest in the titles that the user took (with the items' attribute values as their entities), and enters (a) the
decoder's first state, (b) the attention weights, (c) p_gen. Phases of training: ``clicks`` (u finds the title of what
the user took among those of the batch), ``likelihood``, and ``rewards``: self-critical policy gradient
L = share (r(greedy) - r(sampled)) log P(sampled) + (1 - share) L_likelihood, where r is the mean of a factual reward
(ROUGE-L with the reference, and share of words that the source has), a personal one (cosine of u and the vector of the
headline) and a linguistic one (geometric mean probability under a bigram model of reference headlines).
Our choices, as the paper leaves them open: flash interest is the newest title's attention over the last three; the
user's encoder is fixed after its phase, so that the personal reward cannot be moved; entities are attribute values; the
three rewards weigh the same. Who took what has no headlines of its own, so references are the titles of items, as they
are in the news data of the paper; personal headlines come from the rewards alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, Phase, generators
from palate.core.context import RunContext
from palate.data.views import TrainView
from palate.models.generate.shared.examples import TextBatch
from palate.models.generate.shared.text_generator import TextConfig, TextGenerator
from palate.modules.text_generation.decoding import Decoder, beam_search, sample
from palate.modules.text_generation.interests import Interest, InterestEncoder, TitleEncoder
from palate.modules.text_generation.pointer_generator import Injection, Memory, PointerDecoder, Source, WordEncoder
from palate.modules.text_generation.rewards import BigramModel, rouge_l, word_support
from palate.modules.text_generation.token_losses import likelihood_loss, scored_words, word_log_probabilities
from palate.modules.text_generation.words import PAD, START
from palate.modules.token_ids import compact

SOURCE = ("title", "body", "attributes")
"""Texts that are read."""
Reward = Literal["factual", "personal", "linguistic"]


@generators.register("png")
class PNG(TextGenerator):
    """Personalised headlines, copied and generated."""

    name = "png"
    paper = "Ao et al., Put Your Voice on Stage: Personalized Headline Generation for News Articles, TKDD 2023"
    kinds = ("headline", "title")
    features_read = ()
    reference_columns = ("headline",)
    training_parts = ("examples", "fluency")
    presets = {"likelihood": {"reward_epochs": 0}, "plain": {"inject": (), "click_epochs": 0, "reward_epochs": 0}}

    class Config(TextConfig):
        """Settings of PNG."""

        inject: tuple[Injection, ...] = Field(
            ("state", "attention", "copy"), description="where the user's vector enters the decoder"
        )
        interests: tuple[Interest, ...] = Field(
            ("genuine", "sequential", "flash"), min_length=1, description="parts of the user's vector"
        )
        entities: bool = Field(True, description="read attribute values of the items that the user took")
        copying: bool = Field(True, description="copy words of the source")
        click_epochs: int = Field(5, ge=0, description="epochs in which the user's vector learns to find titles")
        reward_epochs: int = Field(2, ge=0, description="epochs of self-critical training")
        reward_share: float = Field(0.5, ge=0, le=1, description="share of rewards in the loss of that phase")
        reward_lr: float = Field(0.1, gt=0, description="factor on lr in that phase")
        rewards: tuple[Reward, ...] = Field(
            ("factual", "personal", "linguistic"), min_length=1, description="what is rewarded"
        )

    config: Config
    fluency: BigramModel | None = None

    @property
    def copied(self) -> tuple[str, ...]:  # type: ignore[override]
        """Texts whose words can be copied."""
        return SOURCE if self.config.copying else ()

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c, size = self.config, len(self.vocabulary)
        self.words = nn.Embedding(size, c.dim, padding_idx=PAD)
        self.titles = TitleEncoder(size, c.dim, c.entities)
        self.interests = InterestEncoder(c.dim, c.interests)
        self.reader = WordEncoder(self.words, c.dim)
        user = c.dim if c.inject else 0
        self.writer = PointerDecoder(self.words, c.dim, 1, user, c.inject, c.copying)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        if self.examples is not None:
            self.fluency = BigramModel.learn(self.examples.target, len(self.vocabulary))

    def phases(self) -> list[Phase]:
        c = self.config
        user = [*self.titles.parameters(), *self.interests.parameters()]
        network = [*self.words.parameters(), *self.reader.parameters(), *self.writer.parameters()]
        # without a phase of its own, the user's vector is learnt along with the headlines
        learnt = network if c.click_epochs else [*network, *user]
        return [
            self.phase("clicks", loss=self.click_loss, groups=user, epochs=c.click_epochs, validate=False),
            self.phase("likelihood", groups=learnt),
            self.phase("rewards", loss=self.reward_loss, groups=network, epochs=c.reward_epochs, lr=c.lr * c.reward_lr),
        ]

    def user(self, batch: TextBatch) -> Tensor:
        """Vectors [B, d] of the users of a batch."""
        taken = self.titles(batch["history_title"], batch["history_attributes"])
        out: Tensor = self.interests(taken, (batch["history_title"] != PAD).any(2))
        return out

    def memory(self, batch: TextBatch) -> Memory:
        """What the decoder reads: title if it is not the target, body, attribute values, and the user."""
        source = self.source(batch)
        states, summary = self.reader(source)
        user = self.user(batch) if self.config.inject else None
        return Memory((Source(source, states),), summary, user, extra=batch.extra)

    def source(self, batch: TextBatch) -> Tensor:
        """Words int64 [B, S] that are read, present ones first."""
        ids = torch.cat([batch[name] for name in SOURCE], 1)
        return compact(ids, ids != PAD)

    def decoder(self, batch: TextBatch, times: int) -> Decoder:
        return self.writer.decoder(self.memory(batch).repeat(times))

    def log_probs(self, memory: Memory, target: Tensor) -> Tensor:
        """Log-probabilities [B, T, W] of each word of a target given those before."""
        out: Tensor = self.writer(F.pad(target, (1, 0), value=START)[:, :-1], memory)
        return out

    def loss(self, batch: TextBatch) -> Mapping[str, Tensor]:
        return {"loss": likelihood_loss(self.log_probs(self.memory(batch), batch["target"]), batch["target"])}

    def click_loss(self, batch: TextBatch) -> Mapping[str, Tensor]:
        """Softmax of u over the titles of a batch; the same item twice is one answer."""
        own = self.titles(batch["target"], batch["attributes"])
        scores = self.user(batch) @ own.T / self.config.dim**0.5
        same = batch["item"][:, None] == batch["item"][None]
        same.fill_diagonal_(False)
        answers = torch.arange(len(batch), device=scores.device)
        return {"loss": F.cross_entropy(scores.masked_fill(same, -torch.inf), answers)}

    def reward(self, batch: TextBatch, texts: Tensor) -> Tensor:
        """Mean of the chosen rewards of texts int64 [B, T]: [B] in [0, 1]."""
        each = {
            "factual": lambda: (rouge_l(texts, batch["target"]) + word_support(texts, self.source(batch))) / 2,
            "personal": lambda: (
                0.5 + F.cosine_similarity(self.user(batch), self.titles(texts, batch["attributes"])) / 2
            ),
            "linguistic": lambda: self.fluency.score(texts) if self.fluency else texts.new_zeros(len(texts)).float(),
        }
        return torch.stack([each[name]() for name in self.config.rewards]).mean(0)

    def reward_loss(self, batch: TextBatch) -> Mapping[str, Tensor]:
        """Self-critical policy gradient, mixed with likelihood."""
        c, memory, target = self.config, self.memory(batch), batch["target"]
        limits = torch.full_like(batch["item"], c.target_length - 1)
        with torch.no_grad():
            greedy, _ = beam_search(self.writer.decoder(memory), limits)
            draws = torch.rand(len(batch), c.target_length, device=limits.device)
            drawn = sample(self.writer.decoder(memory), limits, draws)
            baseline, rewards = self.reward(batch, greedy), self.reward(batch, drawn)
        likelihood = likelihood_loss(self.log_probs(memory, target), target)
        words = word_log_probabilities(self.log_probs(memory, drawn), drawn) * scored_words(drawn)
        policy = ((baseline - rewards) * words.sum(1)).mean()
        loss = c.reward_share * policy + (1 - c.reward_share) * likelihood
        return {"loss": loss, "likelihood": likelihood, "reward": baseline.mean()}
