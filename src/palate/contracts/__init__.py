"""What every system is: the classes that a model file extends, and the registries that find it by name."""

from palate.contracts.generator import (
    MEDIA,
    Completion,
    Constraint,
    ContentKind,
    ContentScorer,
    Evidence,
    Generated,
    GenerationRequest,
    Generator,
    ImageBackend,
    PicturePrompt,
    Preference,
    Prompt,
    Sampling,
    ScoringBackend,
    TextBackend,
    VideoBackend,
    generators,
)
from palate.contracts.matcher import Matcher
from palate.contracts.model import Model, models
from palate.contracts.parse import parse
from palate.contracts.phase import ParamGroup, Phase, StepInfo
from palate.contracts.pretrainer import Pretrainer, pretrainers
from palate.contracts.ranker import Ranker, RankerConfig
from palate.contracts.reranker import Reranker
from palate.contracts.spec import Capabilities, InputSpec, Requirements
from palate.contracts.tagger import Tagger
from palate.contracts.task import Judgement, Task, tasks

__all__ = [
    "Capabilities",
    "Completion",
    "Constraint",
    "ContentKind",
    "ContentScorer",
    "Evidence",
    "Generated",
    "GenerationRequest",
    "Generator",
    "ImageBackend",
    "InputSpec",
    "Judgement",
    "MEDIA",
    "Matcher",
    "Model",
    "ParamGroup",
    "Phase",
    "PicturePrompt",
    "Preference",
    "Pretrainer",
    "Prompt",
    "Ranker",
    "RankerConfig",
    "Requirements",
    "Reranker",
    "Sampling",
    "ScoringBackend",
    "StepInfo",
    "Tagger",
    "Task",
    "TextBackend",
    "VideoBackend",
    "generators",
    "models",
    "parse",
    "pretrainers",
    "tasks",
]
