"""Answers to questions of LaMP by a language model: chosen by likelihood, or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from palate.contracts import Constraint, Sampling, ScoringBackend, TextBackend
from palate.core.errors import UnsupportedError
from palate.generation.backends.local_model import LocalModel
from palate.generation.decoding.commands import is_obedient
from palate.models.generate.shared.lamp_data import LampSample, LampTask
from palate.models.generate.shared.lamp_fusion import FusedPassages
from palate.models.generate.shared.lamp_prompts import build_prompt

Documents = Sequence[Mapping[str, str]]


def backend_answers(
    backend: TextBackend,
    samples: Sequence[LampSample],
    documents: Sequence[Documents],
    task: LampTask,
    tokens: int,
    sampling: Sampling,
    seed: int,
) -> list[str | None]:
    """Answers after prompts that hold the documents.

    Args:
        backend: a language model.
        samples: questions.
        documents: for each, those that are read.
        task: the task.
        tokens: budget of the texts of a prompt.
        sampling: how answers are drawn.
        seed: of the draws.

    Raises:
        DataError: if an input is not in LaMP's form.
        UnsupportedError: for a language model that cannot keep choices.
    """
    prompts = [build_prompt(one, task, each, tokens, backend.count) for one, each in zip(samples, documents)]
    if task.answers and isinstance(backend, ScoringBackend):
        return [best(backend.log_likelihood([one] * len(task.answers), task.answers), task) for one in prompts]
    if task.answers:
        sampling = replace(sampling, constraint=Constraint(choices=task.answers))
    texts = [answer.text for answer in backend.complete(prompts, sampling, seed=seed)]
    # what follows a text of the data is no answer
    return [text if task.answers or not is_obedient(one, text) else None for one, text in zip(prompts, texts)]


def fused_answers(
    backend: TextBackend,
    samples: Sequence[LampSample],
    documents: Sequence[Documents],
    task: LampTask,
    tokens: int,
    max_tokens: int,
) -> list[str | None]:
    """Answers of an encoder-decoder that encodes each document apart.

    Args:
        backend: a local encoder-decoder.
        samples: questions.
        documents: for each, those that are read.
        task: the task.
        tokens: budget of the texts of a passage.
        max_tokens: of what is written.

    Raises:
        DataError: if an input is not in LaMP's form.
        UnsupportedError: for another language model.
    """
    local = getattr(backend, "local", None)
    if not isinstance(local, LocalModel) or local.kind != "seq2seq":
        hint = "transformers:/folder of a model such as FlanT5, or fusion=prompt"
        raise UnsupportedError("fusion-in-decoder needs a local encoder-decoder", key="fusion", hint=hint)
    fused, out = FusedPassages(local), list[str | None]()
    for sample, each in zip(samples, documents):
        # without documents there is one passage, the question
        found = [build_prompt(sample, task, one, tokens, backend.count) for one in ([[one] for one in each] or [[]])]
        if task.answers:
            out.append(best(fused.log_likelihood(found, task.answers), task))
        else:
            out.append(fused.write(found, max_tokens) or None)
    return out


def best(scores: ArrayLike, task: LampTask) -> str:
    """The likeliest answer; of scores the median, which has the least expected absolute error.

    Args:
        scores: log-likelihood of each of the task's answers.
        task: the task.
    """
    logs = np.asarray(scores, np.float64)
    if task.answer != "number":
        return task.answers[int(logs.argmax())]
    shares = np.exp(logs - logs.max()).cumsum()
    return task.answers[int(np.searchsorted(shares, shares[-1] / 2))]
