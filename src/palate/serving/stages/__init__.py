"""Stages from a request to a list: each has a time budget, and if one fails or is late, there is still an answer."""

from palate.serving.stages.pipeline import Answer, Pipeline
from palate.serving.stages.stage import ListKey, Relevance, Slate, Stage, StageRequest, stages

__all__ = ["Answer", "ListKey", "Pipeline", "Relevance", "Slate", "Stage", "StageRequest", "stages"]
