"""Base of generators that work with a language model or without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from palate.contracts import Constraint, GenerationRequest, Generator, Prompt, Sampling, TextBackend
from palate.core.config import ModelConfig
from palate.core.errors import UnsupportedError
from palate.generation.decoding.commands import is_obedient
from palate.generation.flows.fact_check import FactCheck
from palate.generation.registries import text_backend

Check = Callable[[GenerationRequest, str], bool]
"""(request, text that a language model wrote) -> whether it may be used, such as whether it is true of the item."""


class FlowConfig(ModelConfig):
    """Settings of generators that may use a language model."""

    backend: str = Field("", description="language model: name or name:argument; empty for built-in templates")
    temperature: float = Field(0.7, ge=0, description="of the language model; 0 takes the most probable token")
    max_tokens: int = Field(48, ge=1, description="of one answer of the language model")


class FlowGenerator(Generator):
    """A generator whose language model is a setting, or is handed to it.

    Args:
        config: settings.
        backend: language model, or its name; None takes the one that the settings name.
        check: judges what a language model wrote, beside the checks of the generator; None takes the check of facts.
        settings: settings as keyword arguments.
    """

    version = "1"
    config: FlowConfig

    def __init__(
        self,
        config: ModelConfig | None = None,
        *,
        backend: TextBackend | str | None = None,
        check: Check | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(config, **(settings | {"backend": backend} if isinstance(backend, str) else settings))
        # in a list, because a module assigned to a module would be saved as part of it
        self._backend: list[TextBackend] = [] if backend is None or isinstance(backend, str) else [backend]
        self._check: Check = check or FactCheck()

    @property
    def backend(self) -> TextBackend | None:
        """The language model, made at first use; None where templates are used."""
        if not self._backend and self.config.backend:
            self._backend.append(text_backend(self.config.backend))
        return self._backend[0] if self._backend else None

    def check_kinds(self, requests: Sequence[GenerationRequest]) -> None:
        """Refuse what the generator does not make.

        Args:
            requests: a batch.

        Raises:
            UnsupportedError: for a kind that is not among ``kinds``.
        """
        for request in requests:
            if request.kind not in self.kinds:
                hint = f"it generates {', '.join(self.kinds)}"
                raise UnsupportedError(f"{self.name} does not generate {request.kind!r}", hint=hint)

    def accepts(self, request: GenerationRequest, text: str) -> bool:
        """Whether a text that a language model wrote may be used.

        Args:
            request: what it is about.
            text: what was written.
        """
        return self._check(request, text)

    def ask(
        self, prompts: Sequence[Prompt], constraints: Sequence[Constraint | None], *, seed: int
    ) -> list[str | None]:
        """Answers of the language model.

        Args:
            prompts: what is asked.
            constraints: what each answer must look like.
            seed: of the draws.

        Returns:
            One a prompt, on one line; None without a language model, where it cannot keep the constraint, and where
            the answer follows a text of the data.
        """
        backend = self.backend
        if backend is None or not prompts:
            return [None] * len(prompts)
        sampling = Sampling(self.config.max_tokens, self.config.temperature)
        if all(one == constraints[0] for one in constraints):
            batches = [(list(prompts), constraints[0])]
        else:
            batches = [([prompt], constraint) for prompt, constraint in zip(prompts, constraints, strict=True)]
        out: list[str | None] = []
        for batch, constraint in batches:
            try:
                answers = backend.complete(batch, replace(sampling, constraint=constraint), seed=seed)
                texts = [" ".join(answer.text.split()) for answer in answers]
                out += [text if text and not is_obedient(one, text) else None for one, text in zip(batch, texts)]
            except UnsupportedError:
                out += [None] * len(batch)
        return out

    def provenance(self, seed: int, fallback: str | None = None, **more: str) -> Mapping[str, str]:
        """What made a text.

        Args:
            seed: of the call.
            fallback: why templates stood in for the language model, if they did.
            more: further entries.
        """
        backend = self.backend
        made = {"model": self.name, "version": self.version, "backend": backend.name if backend else "none"}
        made |= {"seed": str(seed)} | more
        return made | {"fallback": fallback} if fallback else made
