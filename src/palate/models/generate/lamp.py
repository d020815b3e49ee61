"""LaMP (Salemi et al., ACL 2024): language models personalised by documents of the user's own profile.

A question x of user u: documents of the profile P_u are retrieved by R(phi_q(x), P_u, k), the prompt phi_p joins them
with x, and a model answers. Seven tasks: a citation, a tag and a score are chosen, a headline, a title, an email's
subject and a paraphrase are written. Retrievers: random, recency, BM25, dense. Two ways to read several documents:
``fusion=prompt`` puts them into one prompt within a budget of tokens; ``fusion=decoder`` encodes each with the question
and lets the decoder attend to all (Izacard and Grave, EACL 2021).

The reader is a language model (``backend``), or a small encoder-decoder that is trained here, always by
fusion-in-decoder, on other users' questions. Ours: it copies words of documents; answers that are chosen are those with
the highest likelihood, so that none is out of the choices; instruction and texts stand apart in every prompt. LaMP's
FlanT5 is a backend: ``transformers:/models/flan-t5-base``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from palate.contracts import Generated, GenerationRequest, InputSpec, Sampling, generators
from palate.core.artifacts import Artifact
from palate.core.batch import BatchSource
from palate.core.config import ModelConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError, NotFittedError
from palate.data.views import TrainView
from palate.generation.flows.generator import FlowGenerator
from palate.generation.prompting.answers import first_line
from palate.models.fittable import FittableModel
from palate.models.generate.shared.columns import EXPLANATIONS, ItemColumns
from palate.models.generate.shared.lamp_backend import Documents, backend_answers, fused_answers
from palate.models.generate.shared.lamp_config import LampConfig
from palate.models.generate.shared.lamp_data import LampSample, find_task, with_choices
from palate.models.generate.shared.lamp_reader import FusionReader, PassageBatch, Passages
from palate.models.generate.shared.lamp_retrieval import Retriever, StoredVectors, retrieve_all
from palate.models.generate.shared.lamp_samples import KINDS, OUTPUTS, evidence_of, guess_columns, sample_of, samples_of
from palate.models.generate.shared.lamp_words import ReaderAnswers, Reading
from palate.models.generate.shared.targets import TextColumn, find_column
from palate.modules.text_generation.token_losses import likelihood_loss
from palate.modules.text_generation.words import Lexicon, WordVocabulary


@generators.register("lamp")
class LaMP(FlowGenerator, FittableModel):
    """Answers that follow what the same person wrote before."""

    name = "lamp"
    paper = "Salemi et al., LaMP: When Large Language Models Meet Personalization, ACL 2024"
    kinds = tuple(dict.fromkeys(KINDS.values()))

    class Config(LampConfig):
        """Settings of LaMP."""

    config: Config
    columns: ItemColumns | None = None
    learnt: TextColumn | None = None
    vocabulary: WordVocabulary | None = None
    examples: Passages | None = None

    def __init__(self, config: ModelConfig | None = None, *, vectors: StoredVectors | None = None, **settings: Any):
        super().__init__(config, **settings)
        c, self.lamp_task = self.config, with_choices(find_task(self.config.task), self.config.choices)
        self.kinds = (KINDS[self.lamp_task.name],)
        self.vectors = vectors or StoredVectors()
        self.reading = Reading(self.lamp_task, c.query_length, c.document_length, c.target_length)

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c, words = self.config, self.vocabulary
        self.reader = None if words is None else FusionReader(len(words), c.dim, c.layers, c.dropout)

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Find the answers to learn and retrieve the documents of each question.

        Args:
            train: the training view.
            run: seed of the random retriever.

        Raises:
            ConfigError: for a dataset without answers, where no language model is given.
        """
        c, task, own = self.config, self.lamp_task, OUTPUTS.get(self.lamp_task.name, "")
        self.columns = ItemColumns.of(train.items_table)
        title = self.columns.title if own == "title" else None
        self.learnt = find_column(train, c.target, (own, *EXPLANATIONS), title, "target")
        if self.backend is None:
            learnt = self.learnt
            samples = [] if learnt is None else samples_of(train, task, self.columns, learnt, c.profile)
            if not samples:
                raise ConfigError(f"there are no answers of {task.name} to learn", key="target", hint="target=COLUMN")
            orders = [self.retrieve(samples, name, run.seed) for name in c.learns or (c.retriever,)]
            self.vocabulary = self.reading.learn(samples, c.words)
            lexicon = Lexicon(self.vocabulary)
            self.examples = self.reading.passages(samples, orders, lexicon, c.k, varies=bool(c.learns))
        super().setup(train, run)

    def solve(self, train: TrainView, run: RunContext) -> bool:
        return self.backend is not None

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        """Questions with their documents.

        Args:
            train: not used.
            run: not used.

        Raises:
            NotFittedError: before :meth:`setup`.
        """
        if self.examples is None:
            raise NotFittedError("lamp is not set up", hint="call fit(data)")
        return self.examples

    def loss(self, batch: PassageBatch) -> Mapping[str, Tensor]:
        assert self.reader is not None
        log_probs = self.reader.network.shifted(batch.target, self.reader.encode(batch))
        return {"loss": likelihood_loss(log_probs, batch.target)}

    def on_fit_end(self) -> None:
        self.examples = None

    def artifacts(self) -> Mapping[str, Artifact]:
        words = None if self.vocabulary is None else self.vocabulary.dump()
        columns = None if self.columns is None else self.columns.dump()
        learnt = None if self.learnt is None else [self.learnt.table, self.learnt.name]
        return {"vocabulary": Artifact("vocabulary", state={"words": words, "columns": columns, "learnt": learnt})}

    def use_artifacts(self, artifacts: Mapping[str, Artifact]) -> None:
        if "vocabulary" in artifacts:
            words, columns, learnt = (artifacts["vocabulary"].state[name] for name in ("words", "columns", "learnt"))
            self.vocabulary = None if words is None else WordVocabulary.load(words)
            self.columns = None if columns is None else ItemColumns.load(columns)
            self.learnt = None if learnt is None else TextColumn(*learnt)

    def retrieve(self, samples: Sequence[LampSample], retriever: Retriever, seed: int) -> list[Documents]:
        """The documents of each sample, the best first.

        Args:
            samples: questions.
            retriever: its name.
            seed: of the random one.
        """
        return list(retrieve_all(samples, self.lamp_task, retriever, self.config.k, self.vectors, seed))

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        """Answer each request from the history of its user.

        Args:
            requests: a batch; texts of items, or a prompt in the form of LaMP's files, and histories with outputs.
            seed: of a language model and of the random retriever.

        Raises:
            NotFittedError: without a language model before ``fit``.
            UnsupportedError: for a kind that is not the task's.
        """
        self.check_kinds(requests)
        task, c = self.lamp_task, self.config
        columns = self.columns or guess_columns([row for one in requests for row in (one.item, *one.history)])
        samples = [sample_of(request, task, columns, self.learnt) for request in requests]
        documents = self.retrieve(samples, c.retriever, seed)
        said = self.answers(samples, documents, seed)
        made = []
        for request, text, used in zip(requests, said, documents):
            line = first_line(text or "")
            short = line if line is None or request.max_words is None else " ".join(line.split()[: request.max_words])
            by = {"task": task.name, "retriever": c.retriever} | ({} if self.backend else {"backend": "network"})
            told = self.provenance(seed, None if short else "nothing to say", **by)
            made.append(Generated(short, evidence=evidence_of(used, task), provenance=told))
        return made

    def answers(self, samples: Sequence[LampSample], documents: Sequence[Documents], seed: int) -> list[str | None]:
        """Answers to questions after their documents.

        Args:
            samples: questions.
            documents: for each, those that are read.
            seed: of a language model.

        Raises:
            NotFittedError: without a language model before ``fit``.
        """
        c, backend = self.config, self.backend
        if not samples:
            return []
        if backend is None:
            if self.vocabulary is None or self.reader is None:
                raise NotFittedError("lamp has no reader", hint="backend=NAME, or call fit(data)")
            answer = ReaderAnswers(self.reader.eval(), self.vocabulary, self.reading, c.k, c.beam)
            return list(answer(samples, documents))
        if c.fusion == "decoder":
            return fused_answers(backend, samples, documents, self.lamp_task, c.tokens, c.max_tokens)
        sampling = Sampling(c.max_tokens, c.temperature)
        return backend_answers(backend, samples, documents, self.lamp_task, c.tokens, sampling, seed)
