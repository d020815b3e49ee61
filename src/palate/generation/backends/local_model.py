"""A language model in a local folder: its kind found by its configuration, loaded without running code of its own."""

from __future__ import annotations

import threading
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch

from palate.core.errors import ConfigError, MissingDependencyError
from palate.core.files import digest, read_json
from palate.features.hub import checkpoint_folder, fingerprint, load_pretrained
from palate.generation.decoding.guides import Guides
from palate.generation.decoding.layout import Layout
from palate.generation.decoding.sessions import CausalModel

Kind = Literal["causal", "seq2seq", "vision"]
AUTO_CLASSES: dict[Kind, str] = {
    "causal": "AutoModelForCausalLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "vision": "AutoModelForImageTextToText",
}
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


class LocalModel:
    """A model with its tokenizer.

    Args:
        folder: a checkpoint in the layout of transformers, with safetensors weights.
        adapter: folder of a LoRA adapter of peft, which is merged into the weights in memory; None for none.
        device: where the model is put; None takes a GPU where there is one.

    Attributes:
        kind: ``causal``, ``seq2seq`` or ``vision``.
        model: of transformers, in evaluation mode.
        tokenizer: its tokenizer.
        processor: of pictures and text; None for models that read text only.
        layout: of prompts.
        version: digest of the folder and the adapter.

    Raises:
        ConfigError: for a path that is not a folder.
        FeatureError: for a folder that is not a checkpoint, or cannot be loaded.
        MissingDependencyError: without transformers, or peft where there is an adapter.
    """

    def __init__(self, folder: str | Path, adapter: str | Path | None = None, device: str | None = None) -> None:
        for package in ("transformers", *(["peft"] if adapter else [])):
            if find_spec(package) is None:
                raise MissingDependencyError(package, "generate")
        self.folder = existing_folder(folder)
        self.kind = kind_of(self.folder)
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.processor = load_pretrained("AutoProcessor", self.folder) if self.kind == "vision" else None
        self.tokenizer = (
            self.processor.tokenizer if self.processor is not None else load_pretrained("AutoTokenizer", self.folder)
        )
        model = load_pretrained(
            AUTO_CLASSES[self.kind],
            self.folder,
            use_safetensors=True,
            dtype=torch.float32 if where.type == "cpu" else "auto",
        )
        self.version = fingerprint(self.folder)[:16]
        if adapter is not None:
            model, self.version = merged(model, Path(adapter), self.version)
        self.model = model.eval().requires_grad_(False).to(where)
        self.layout = Layout(self.tokenizer)
        self._lock = threading.Lock()

    @cached_property
    def causal(self) -> CausalModel:
        """The decoder with its cache, for a causal model."""
        return CausalModel(self.model)

    @property
    def guides(self) -> Guides:
        """Guides of constrained decoding, made when first asked for.

        Raises:
            MissingDependencyError: without llguidance.
            UnsupportedError: for a tokenizer that llguidance cannot read.
        """
        with self._lock:
            return self._guides

    @cached_property
    def _guides(self) -> Guides:
        return Guides(self.tokenizer, self.n_vocab, self.end_ids)

    @property
    def n_vocab(self) -> int:
        """Tokens that the model scores."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    @cached_property
    def end_ids(self) -> list[int]:
        """Tokens that end an answer."""
        wanted = getattr(self.model.generation_config, "eos_token_id", None)
        ids = [self.tokenizer.eos_token_id, *(wanted if isinstance(wanted, list) else [wanted])]
        return [number for number in dict.fromkeys(ids) if number is not None and number < self.n_vocab]

    @cached_property
    def context(self) -> int | None:
        """Tokens that prompt and answer may have together; None where the model has no limit."""
        config = self.model.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        return None if self.kind == "seq2seq" or limit is None else int(limit)


def existing_folder(folder: str | Path) -> Path:
    """A checkpoint on this machine; nothing is downloaded.

    Args:
        folder: its path.

    Raises:
        ConfigError: for a path that is not a folder.
        FeatureError: for a folder that is not a checkpoint.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ConfigError("there is no such folder", file=path, hint="download the checkpoint and give its folder")
    return checkpoint_folder(str(path), None)


def kind_of(folder: Path) -> Kind:
    """The kind of model in a folder, by its configuration.

    Args:
        folder: a checkpoint.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    config = read_json(folder / "config.json")
    if config.get("is_encoder_decoder"):
        return "seq2seq"
    reads_pictures = any((folder / name).is_file() for name in PROCESSOR_FILES)
    return (
        "vision"
        if reads_pictures and config.get("model_type") in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
        else "causal"
    )


def merged(model: Any, adapter: Path, version: str) -> tuple[Any, str]:
    """A model with a LoRA adapter merged into its weights, and the version of both.

    Args:
        model: of transformers.
        adapter: folder that :func:`palate.generation.backends.finetuning.finetune` wrote, or peft.
        version: of the model.

    Raises:
        ConfigError: for a folder without a safetensors adapter.
    """
    from peft import PeftModel

    weights = adapter.expanduser() / "adapter_model.safetensors"
    if not weights.is_file():
        raise ConfigError("no adapter_model.safetensors: not an adapter", file=adapter)
    with_adapter = PeftModel.from_pretrained(model, str(weights.parent))
    both = digest(version, weights.read_bytes(), (weights.parent / "adapter_config.json").read_bytes())
    return with_adapter.merge_and_unload(), both[:16]
