"""Scripted language models for tests of what helps a recommender."""

from palate.contracts import Completion


class Chooser:
    """Answers ``reply(prompt)``, which must be one of the choices."""

    name, version = "chooser", "1"

    def __init__(self, reply):
        self.reply, self.prompts = reply, []

    def complete(self, prompts, sampling, *, seed):
        self.prompts += prompts
        answers = [self.reply(prompt) for prompt in prompts]
        assert all(answer in sampling.constraint.choices for answer in answers)
        return [Completion(answer) for answer in answers]

    def count(self, text):
        return len(text.split())


class Likely(Chooser):
    """Log-likelihoods from ``score(prompt, answer)``."""

    def log_likelihood(self, prompts, answers):
        self.prompts += prompts
        return [self.reply(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
