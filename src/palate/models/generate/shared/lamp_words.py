"""Questions and documents of LaMP as words that a network reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from palate.core.seeding import rng_for
from palate.models.generate.shared.lamp_backend import best
from palate.models.generate.shared.lamp_data import LampSample, LampTask
from palate.models.generate.shared.lamp_prompts import query_text, write_document
from palate.models.generate.shared.lamp_reader import FusionReader, Passages
from palate.models.generate.shared.lamp_samples import OUTPUTS
from palate.modules.text_generation.decoding import beam_search
from palate.modules.text_generation.words import Lexicon, WordVocabulary, shared_words, split_words

Documents = Sequence[Mapping[str, str]]
BATCH = 64


def count_words(text: str) -> int:
    """Words and marks of a text.

    Args:
        text: any.
    """
    return len(split_words(text))


@dataclass(frozen=True)
class Reading:
    """How much is read of each text.

    Attributes:
        task: the task.
        query: words of a question.
        document: words of a document.
        target: words of an answer, the end included.
    """

    task: LampTask
    query: int
    document: int
    target: int

    def written(self, document: Mapping[str, str]) -> str:
        """A document in the form of its task, cut to its length.

        Args:
            document: of a profile.
        """
        return write_document(document, self.task, self.document, count_words)

    def learn(self, samples: Sequence[LampSample], words: int) -> WordVocabulary:
        """The most frequent words of questions, documents and answers; those of answers to choose from always.

        Of what users wrote, words that only one of them has are left out, see :func:`shared_words`.

        Args:
            samples: with outputs.
            words: at most, beside those.
        """
        documents = {id(one): (one, sample.writer) for sample in samples for one in sample.profile}
        field = OUTPUTS.get(self.task.name)
        own = [(sample.output, sample.writer) for sample in samples]
        own += [(one[field] if field else None, writer) for one, writer in documents.values()]
        shared = shared_words([text for text, _ in own], [writer for _, writer in own])
        said = [text or "" if writer < 0 else kept for (text, writer), kept in zip(own, shared)]
        texts = [query_text(sample, self.task) for sample in samples]
        for (one, _), output in zip(documents.values(), said[len(samples) :]):
            texts.append(self.written({**one, field: output} if field else one))
        texts += said[: len(samples)]
        found = WordVocabulary.learn(texts, words)
        chosen = [word for answer in self.task.answers for word in split_words(answer) if word.lower() not in found.ids]
        return WordVocabulary([*found.forms[found.first_word :], *dict.fromkeys(chosen)])

    def passages(
        self,
        samples: Sequence[LampSample],
        orders: Sequence[Sequence[Documents]],
        lexicon: Lexicon,
        k: int,
        *,
        varies: bool = False,
    ) -> Passages:
        """Rows of ids of questions, documents and answers.

        Args:
            samples: questions.
            orders: for each retriever and sample, its documents, the best first.
            lexicon: ids of words; it takes up those that are new.
            k: documents that are read.
            varies: see :class:`Passages`.
        """
        places: dict[str, int] = {}
        rows = np.full((len(samples), len(orders), max(k, 1)), -1, np.int64)
        for which, each in enumerate(orders):
            for at, documents in enumerate(each):
                for rank, document in enumerate(documents[:k]):
                    rows[at, which, rank] = places.setdefault(self.written(document), len(places))
        return Passages(
            lexicon.ids([query_text(sample, self.task) for sample in samples], self.query),
            lexicon.ids([*places, None], self.document),
            rows,
            lexicon.ids([sample.output for sample in samples], self.target, end=True),
            len(lexicon.vocabulary),
            varies,
        )

    def choices(self, lexicon: Lexicon) -> Tensor:
        """Ids int64 [C, T] of the answers that there are.

        Args:
            lexicon: ids of words.
        """
        return torch.from_numpy(lexicon.ids(list(self.task.answers), self.target, end=True))


@dataclass(frozen=True)
class ReaderAnswers:
    """Answers of a trained reader: chosen by likelihood, or written by beam search.

    Attributes:
        reader: in evaluation mode.
        vocabulary: its words.
        reading: how much is read.
        k: documents.
        beam: width of the search.
    """

    reader: FusionReader
    vocabulary: WordVocabulary
    reading: Reading
    k: int
    beam: int

    @torch.inference_mode()
    def __call__(self, samples: Sequence[LampSample], documents: Sequence[Documents]) -> Iterator[str | None]:
        """One answer a sample; None where no word was written.

        Args:
            samples: questions.
            documents: for each, those that are read.
        """
        for start in range(0, len(samples), BATCH):
            end = min(start + BATCH, len(samples))
            lexicon = Lexicon(self.vocabulary)
            rows = self.reading.passages(samples[start:end], [documents[start:end]], lexicon, self.k)
            batch = rows.collate(np.arange(end - start), rng_for(0)).to(next(self.reader.parameters()).device)
            if self.reading.task.answers:
                likely = self.reader.choose(batch, self.reading.choices(lexicon).to(batch.query.device))
                yield from (best(row, self.reading.task) for row in likely.cpu().numpy())
                continue
            encoded = self.reader.encode(batch).repeat(self.beam)
            limits = torch.full((end - start,), self.reading.target - 1, device=batch.query.device)
            words = beam_search(self.reader.network.writer(encoded), limits, self.beam)[0]
            beyond, size = batch.beyond.tolist(), len(self.vocabulary)
            for row in words.tolist():
                yield lexicon.text([word if word < size else beyond[word - size] for word in row]) or None
