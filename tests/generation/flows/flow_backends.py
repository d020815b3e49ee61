"""A language model that follows a script, and counts what it is asked."""

import re

from palate.contracts import Completion
from palate.core.errors import UnsupportedError


class Scripted:
    """Answers with ``reply(prompt, constraint)``; keeps ``must_include``, ``choices`` and ``regex`` or refuses."""

    name, version = "scripted", "1"

    def __init__(self, reply, able=("must_include", "choices", "regex")):
        self.reply, self.able, self.prompts, self.seeds = reply, able, [], []

    def complete(self, prompts, sampling, *, seed):
        self.prompts += prompts
        self.seeds.append(seed)
        c = sampling.constraint
        if c is not None:
            for key in ("must_include", "choices", "regex", "json_schema", "grammar", "must_exclude"):
                if getattr(c, key) and key not in self.able:
                    raise UnsupportedError(f"no {key}")
        answers = [self.reply(prompt, c) for prompt in prompts]
        for answer in answers if c is not None else ():
            assert all(word in answer for word in c.must_include), answer
            assert not c.choices or answer in c.choices, answer
            assert not c.regex or re.fullmatch(c.regex, answer), answer
        return [Completion(answer, tokens_out=len(answer.split())) for answer in answers]

    def count(self, text):
        return len(text.split())


class Judge(Scripted):
    """A scripted model that also tells how probable an answer is."""

    def __init__(self, reply, likelihood, **more):
        super().__init__(reply, **more)
        self.likelihood = likelihood

    def log_likelihood(self, prompts, answers):
        self.prompts += prompts
        return [self.likelihood(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
