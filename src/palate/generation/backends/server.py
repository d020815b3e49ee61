"""A language model behind any OpenAI-compatible address."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from pydantic import Field

from palate.contracts import Completion, Constraint, Prompt, Sampling
from palate.core.config import ModelConfig, parse_config
from palate.core.errors import BackendError, ConfigError, MissingDependencyError, UnsupportedError
from palate.features.media.source import sniff
from palate.generation.backends.budget import Budget, Spending
from palate.generation.backends.completion_cache import CompletionCache
from palate.generation.decoding.constraints import allowed_choices, check_constraint, in_schema_order, satisfies
from palate.generation.decoding.layout import Layout
from palate.generation.registries import text_backends

log = logging.getLogger("palate")
KEY = "PALATE_SERVER_KEY"
"""Environment variable: the key that is sent to the address; none is sent without it."""
IMAGE_TOKENS = 4096
"""Tokens that are set aside in a budget for each picture."""


class ServerSettings(ModelConfig):
    """Settings of a server, as they stand behind the ``?`` of its address."""

    timeout: float = Field(60.0, gt=0, description="seconds without a byte after which a request has failed")
    retries: int = Field(
        3, ge=0, description="of a request that failed: too many of them, a fault of the server, no answer"
    )
    attempts: int = Field(3, ge=1, description="requests for an answer that keeps its constraint")
    concurrency: int = Field(4, ge=1, description="requests at the same time")
    tokens: int | None = Field(None, ge=0, description="budget of tokens, prompts and answers together")
    money: float | None = Field(None, ge=0, description="budget in the currency of the prices")
    price_in: float = Field(0.0, ge=0, description="price of a million tokens of prompts")
    price_out: float = Field(0.0, ge=0, description="price of a million tokens of answers")
    cache: bool = Field(True, description="keep answers on the disk, in the user's cache")


class ServerBackend:
    """A language model behind an address. Its answers leave out ``answer_start``.

    The key is read from the environment and stands in no message, log or cached file.

    Args:
        url: base of the address, such as ``http://127.0.0.1:8000/v1``.
        model: name of the model there.
        settings: budgets, retries, cache.

    Raises:
        MissingDependencyError: without openai.
    """

    def __init__(self, url: str, model: str, settings: ServerSettings | None = None) -> None:
        if find_spec("openai") is None:
            raise MissingDependencyError("openai", "generate")
        import openai

        self.url, self.model, self.settings = url, model, settings or ServerSettings()
        self.name, self.version = f"server:{model}", model
        self.budget = Budget(self.settings.tokens, self.settings.money, self.settings.price_in, self.settings.price_out)
        self.cache = CompletionCache() if self.settings.cache else None
        self.layout = Layout()
        self._key = os.environ.get(KEY, "")
        self._slots = threading.BoundedSemaphore(self.settings.concurrency)
        self._client = openai.OpenAI(
            base_url=url,
            api_key=self._key or "none",
            timeout=self.settings.timeout,
            max_retries=self.settings.retries,
            # accounts of another service that the environment may name
            default_headers={"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit},
        )

    def __repr__(self) -> str:
        return f"ServerBackend({self.url!r}, {self.model!r})"

    def count(self, text: str) -> int:
        """An estimate of the tokens of a text, rather too many: a third of its bytes.

        Args:
            text: any text.
        """
        return -(-len(text.encode()) // 3)

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling, *, seed: int) -> list[Completion]:
        """One completion a prompt, in order.

        Args:
            prompts: what is asked.
            sampling: how answers are drawn.
            seed: is sent along; same seed, same completions where the server can, and where they are cached.

        Raises:
            BackendError: where the server fails, or the budget does not allow a request.
            ConfigError: for a constraint that is not valid.
            UnsupportedError: for a grammar, and where the answers do not keep the constraint.
        """
        if sampling.constraint is not None:
            check_constraint(sampling.constraint)
            if sampling.constraint.grammar:
                raise UnsupportedError("a server keeps no grammar", hint="use a local model, or a JSON schema")
        requests, seen = [], Counter[str]()
        for prompt in prompts:
            request = self._request(prompt, sampling, seed)
            asked = json.dumps(request["messages"])
            # the same prompt again is another draw
            request["seed"] = (seed + seen[asked] * 1_000_003) % 2**31
            seen[asked] += 1
            requests.append(request)
        pool = ThreadPoolExecutor(self.settings.concurrency)
        try:
            starts = [prompt.answer_start for prompt in prompts]
            return list(pool.map(self._complete, requests, starts, [sampling.constraint] * len(requests)))
        finally:
            pool.shutdown(cancel_futures=True)

    def stream(self, prompt: Prompt, sampling: Sampling, *, seed: int) -> Iterator[str]:
        """A completion piece by piece; in one piece under a constraint, which is checked at the end.

        Args:
            prompt: what is asked.
            sampling: how the answer is drawn.
            seed: is sent along.

        Raises:
            BackendError: where the server fails or the stream is cut, or the budget does not allow the request.
            UnsupportedError: where the answer does not keep the constraint.
        """
        import openai

        if sampling.constraint is not None:
            yield self.complete([prompt], sampling, seed=seed)[0].text
            return
        request = self._request(prompt, sampling, seed)
        faults = (openai.OpenAIError, *_transport_errors(), ValueError, AttributeError)
        most, used, finished = self._most(request), None, None
        self.budget.reserve(most)
        try:
            with self._slots:
                options = {"stream": True, "stream_options": {"include_usage": True}}
                for chunk in self._client.chat.completions.create(**request, **options):
                    used = _usage(chunk) or used
                    for choice in chunk.choices or ():
                        finished = choice.finish_reason or finished
                        if choice.delta.content:
                            yield choice.delta.content
        except faults as error:
            if isinstance(error, openai.APIStatusError):
                used = Spending()
            raise self._failure(error) from None
        finally:
            self.budget.settle(most, used or most)
        if finished is None:
            raise BackendError("the answer broke off", key=self.url)

    def _complete(self, request: dict[str, Any], start: str, constraint: Constraint | None) -> Completion:
        key = {"url": self.url, "request": request, "constraint": repr(constraint)}
        if self.cache is not None and (known := self.cache.get(key)) is not None:
            return known
        for attempt in range(self.settings.attempts):
            answer = self._ask({**request, "seed": (request["seed"] + attempt) % 2**31})
            text = _unwrapped(answer.text.strip().removeprefix(start).strip(), constraint)
            if text is not None and satisfies(constraint, text):
                answer = Completion(text, answer.tokens_in, answer.tokens_out, finished=answer.finished)
                if self.cache is not None:
                    self.cache.put(key, answer)
                return answer
            log.info("%s: an answer does not keep its constraint (attempt %d)", self.name, attempt + 1)
        raise UnsupportedError(
            f"the server's answers do not keep the constraint ({self.settings.attempts} attempts)", key=self.name
        )

    def _ask(self, request: dict[str, Any]) -> Completion:
        import openai

        malformed = (openai.OpenAIError, *_transport_errors(), ValueError, AttributeError, TypeError, IndexError)
        most, used = self._most(request), Spending()
        self.budget.reserve(most)
        try:
            with self._slots:
                result = self._client.chat.completions.create(**request)
            # from here on the server has done its work, whatever it tells
            used = most
            used = _usage(result) or most
            choice = result.choices[0]
            text, finished = choice.message.content or "", choice.finish_reason
            self.version = str(result.model or self.model)
        except openai.APIError as error:
            if not isinstance(error, openai.APIStatusError):
                # without an answer it is not known whether the server did the work
                used = most
            raise self._failure(error) from None
        except malformed:
            raise BackendError("the server's answer is malformed", key=self.url) from None
        finally:
            self.budget.settle(most, used)
        ended: Literal["stop", "length"] = "length" if finished == "length" else "stop"
        return Completion(text, used.tokens_in, used.tokens_out, finished=ended)

    def _request(self, prompt: Prompt, sampling: Sampling, seed: int) -> dict[str, Any]:
        """Arguments of the official client."""
        messages: list[dict[str, Any]] = list(self.layout.messages(prompt))
        wishes = _wishes(prompt, sampling.constraint)
        if wishes:
            messages[-1] = {"role": "user", "content": "\n".join([messages[-1]["content"], *wishes])}
        if prompt.images:
            pictures = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in prompt.images]
            messages[-1] = {"role": "user", "content": [*pictures, {"type": "text", "text": messages[-1]["content"]}]}
        request: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": seed % 2**31,
        }
        schema = _schema(sampling.constraint)
        if schema is not None:
            form = {"name": "answer", "schema": schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        elif sampling.stop:
            request["stop"] = list(sampling.stop)
        return request

    def _most(self, request: Mapping[str, Any]) -> Spending:
        """The tokens a request can use: no token is shorter than a byte."""
        n_bytes = 0
        for message in request["messages"]:
            parts = message["content"] if isinstance(message["content"], list) else [{"text": message["content"]}]
            n_bytes += 16 + sum(len(part["text"].encode()) if "text" in part else IMAGE_TOKENS for part in parts)
        schema = json.dumps(request.get("response_format", ""))
        return Spending(n_bytes + len(schema), request["max_tokens"])

    def _failure(self, error: Exception) -> BackendError:
        """An error that says what happened, without the key that a server may repeat."""
        told = str(error).replace(self._key, "***") if self._key else str(error)
        first = (told.splitlines() or [""])[0][:300]
        return BackendError(f"the server gave no answer ({type(error).__name__}: {first})", key=self.url)


def _wishes(prompt: Prompt, constraint: Constraint | None) -> list[str]:
    """Sentences that ask for what no field of a request can demand."""
    wishes = []
    if prompt.answer_start:
        wishes.append(f"Begin the answer with: {prompt.answer_start}")
    if constraint is not None and constraint.must_include:
        wishes.append(f"Use each of these: {'; '.join(constraint.must_include)}")
    if constraint is not None and constraint.must_exclude:
        wishes.append(f"Use none of these: {'; '.join(constraint.must_exclude)}")
    return wishes


def _schema(constraint: Constraint | None) -> Mapping[str, Any] | None:
    """A JSON schema that keeps a constraint as far as one can."""
    if constraint is None:
        return None
    if constraint.json_schema is not None:
        return constraint.json_schema
    if constraint.choices:
        answer: dict[str, Any] = {"type": "string", "enum": allowed_choices(constraint)}
    elif constraint.regex is not None:
        answer = {"type": "string", "pattern": f"^(?:{constraint.regex})$"}
    else:
        return None
    properties = {"answer": answer}
    return {"type": "object", "properties": properties, "required": ["answer"], "additionalProperties": False}


def _unwrapped(text: str, constraint: Constraint | None) -> str | None:
    """The answer out of the JSON that was asked for; None where there is none."""
    if (schema := _schema(constraint)) is None or constraint is None:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if constraint.json_schema is not None:
        return json.dumps(in_schema_order(value, schema), ensure_ascii=False)
    answer = value.get("answer") if isinstance(value, dict) else None
    return answer if isinstance(answer, str) else None


def _usage(result: Any) -> Spending | None:
    usage = getattr(result, "usage", None)
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    return Spending(int(usage.prompt_tokens), int(usage.completion_tokens))


def _data_url(image: bytes) -> str:
    kind = sniff(image)
    return f"data:image/{(kind or 'png').lower()};base64,{base64.b64encode(image).decode()}"


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the client lets through where a stream is cut: errors of the HTTP library that its version uses."""
    return tuple(import_module(name).HTTPError for name in ("httpx", "httpx2") if find_spec(name) is not None)


@text_backends.register("server")
def server_backend(argument: str) -> ServerBackend:
    """The backend of ``server:http://127.0.0.1:8000/v1#model``; settings stand behind a ``?`` before the ``#``.

    Args:
        argument: what stands after the name.

    Raises:
        ConfigError: for an address that is not one, a missing model, a password in the address, or an unknown setting.
    """
    parts = urlsplit(argument)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            "not an address of a server", key="server", hint="server:http://127.0.0.1:8000/v1#name-of-the-model"
        )
    if parts.username or parts.password:
        raise ConfigError("an address holds no password", key="server", hint=f"put the key into {KEY}")
    if not parts.fragment:
        raise ConfigError("the name of the model is missing", key="server", hint="add #name to the address")
    settings = parse_config(ServerSettings, dict(parse_qsl(parts.query)), "server")
    return ServerBackend(urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), parts.fragment, settings)
