"""Settings of LaMP."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from palate.core.config import TrainedConfig
from palate.generation.flows.generator import FlowConfig
from palate.models.generate.shared.lamp_retrieval import Retriever


class LampConfig(FlowConfig, TrainedConfig):
    """Task, retrieval, prompt, and the reader that is trained."""

    task: str = Field("LaMP_4", description="one of the seven tasks, LaMP_1 to LaMP_7")
    choices: tuple[str, ...] = Field((), description="answers to choose from; the task's own if empty")
    retriever: Retriever = Field("bm25", description="how documents of the profile are chosen")
    k: int = Field(4, ge=0, description="documents that are read; 0 leaves out the profile")
    tokens: int = Field(512, ge=16, description="budget of the texts of a prompt, or of each passage")
    fusion: Literal["prompt", "decoder"] = Field("prompt", description="how an encoder-decoder backend reads them")
    target: str = Field("", description="column of the log or the catalogue that is learnt; found if empty")
    profile: int = Field(32, ge=0, description="newest documents of a profile that are searched")
    learns: tuple[Retriever, ...] = Field(
        (), description="train with 0 to k documents of any of these retrievers; empty takes k of ``retriever``"
    )
    dim: int = Field(64, ge=8, multiple_of=8, description="width of words and states")
    layers: int = Field(2, ge=1, description="layers of the encoder, and of the decoder")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout")
    words: int = Field(8000, ge=1, description="words that can be written without being copied")
    query_length: int = Field(64, ge=1, description="words read of a question")
    document_length: int = Field(48, ge=4, description="words read of a document")
    target_length: int = Field(24, ge=2, description="words of an answer at most, the end included")
    beam: int = Field(4, ge=1, description="width of beam search; 1 is greedy")
    batch_size: int = Field(32, ge=1, description="questions of a batch")
    epochs: int = Field(10, ge=0, description="epochs")
    clip: float | None = Field(2.0, gt=0, description="largest L2 norm of all gradients together")
