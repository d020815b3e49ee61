"""Stages from a request to a list: each has a time budget, and whatever fails or is late, there is an answer."""

from .pipeline import Answer, Pipeline
from .stage import Ask, Slate, Stage, stages

__all__ = ["Answer", "Ask", "Pipeline", "Slate", "Stage", "stages"]
