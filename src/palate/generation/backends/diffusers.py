"""Pictures by a pipeline of diffusers from a local folder: ``diffusers:FOLDER?lora=FILE&embedding=FILE&steps=30``.

Nothing is downloaded, no code of the folder runs, and weights are safetensors. Query of the specification:

- ``embedding``: a file of Textual Inversion, whose token is the name of the file in angle brackets: ``<style>``;
- ``lora``: a file of low-rank weights, which needs peft;
- ``ip_adapter``: a file of an IP-Adapter; preference tokens of a prompt are then its image embeddings;
- ``steps``: evaluations of the network, 30 if left out.

Without an IP-Adapter, preference tokens as wide as the text encoder take the last places of the prompt's embeddings, as
in PMG. Weights of words are rounded to repetitions, as in PMG's released code.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch
from PIL import Image, ImageOps

from palate.contracts import PicturePrompt
from palate.core.errors import ArtefactError, ConfigError, MissingDependencyError, UnsupportedError, did_you_mean
from palate.core.files import digest, file_digest, read_json, read_tensors
from palate.features.media import open_image
from palate.generation.registries import image_backends

INDEX = "model_index.json"
OPTIONS = ("embedding", "lora", "ip_adapter", "steps")
MULTIPLE = 8
"""Pixels that width and height are multiples of; a picture is drawn larger and cut."""
_BROKEN = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, IndexError)


class DiffusersBackend:
    """A text-to-image pipeline of a local folder, an :class:`palate.contracts.ImageBackend`.

    Pictures are drawn one by one, so that none depends on its batch.

    Args:
        folder: with a file ``model_index.json``.
        options: of the specification, see this module.

    Raises:
        MissingDependencyError: without diffusers.
        ConfigError: for an unknown option or a file that is not there.
        ArtefactError: for a folder that is no pipeline, holds pickles, or is damaged.
        UnsupportedError: for a pipeline that is none of diffusers' own.
    """

    name = "diffusers"

    def __init__(self, folder: str | Path, **options: str) -> None:
        for key in options:
            if key not in OPTIONS:
                raise ConfigError("no such option", key=key, hint=did_you_mean(key, OPTIONS))
        steps = options.get("steps", "30")
        if not steps.isdigit() or not 1 <= int(steps) <= 1000:
            raise ConfigError(f"a whole number from 1 to 1000, not {steps!r}", key="steps")
        self.steps = int(steps)
        files = {key: _weights(options[key], key) for key in ("embedding", "lora", "ip_adapter") if key in options}
        self.pipeline = _load(Path(folder))
        self.has_adapter = "ip_adapter" in files
        for key, file in files.items():
            try:
                _add(self.pipeline, key, file)
            except _BROKEN as error:
                raise ArtefactError(f"does not fit the pipeline ({str(error)[:200]})", file=file, key=key) from error
        parts = sorted(Path(folder).rglob("*.safetensors"))
        self.version = digest(*(file_digest(part) for part in [*parts, *files.values()]))[:12]

    @cached_property
    def _from_picture(self) -> Any:
        """The pipeline that starts from a picture, with the same parts.

        Raises:
            UnsupportedError: where diffusers has none for this pipeline.
        """
        from diffusers import AutoPipelineForImage2Image

        try:
            return AutoPipelineForImage2Image.from_pipe(self.pipeline)
        except ValueError as error:
            raise UnsupportedError(f"{type(self.pipeline).__name__} cannot start from a picture") from error

    def draw(self, prompts: Sequence[PicturePrompt], *, seed: int) -> list[bytes]:
        """One PNG a prompt, in order.

        Args:
            prompts: what to draw.
            seed: same seed, same pictures.

        Raises:
            UnsupportedError: for preference tokens or a reference that the pipeline cannot use.
            FeatureError: for a reference that is no picture.
        """
        return [self._draw(prompt, seed) for prompt in prompts]

    def _draw(self, prompt: PicturePrompt, seed: int) -> bytes:
        if prompt.reference is not None and prompt.strength <= 0:
            return _png(open_image(prompt.reference), prompt.size)
        width, height = (-(-side // MULTIPLE) * MULTIPLE for side in prompt.size)
        asked: dict[str, Any] = {
            "guidance_scale": prompt.guidance,
            "num_inference_steps": self.steps,
            "generator": torch.Generator("cpu").manual_seed(seed),
            "output_type": "pil",
        }
        asked |= self._words(prompt)
        if prompt.reference is None:
            pipeline = self.pipeline
            asked |= {"width": width, "height": height}
        else:
            pipeline = self._from_picture
            asked |= {
                "image": ImageOps.fit(open_image(prompt.reference), (width, height), Image.Resampling.BICUBIC),
                "strength": min(max(prompt.strength, 1 / self.steps), 1.0),
            }
        takes = inspect.signature(pipeline.__call__).parameters
        with torch.random.fork_rng():
            made = pipeline(**{key: value for key, value in asked.items() if key in takes})
        return _png(made.images[0], prompt.size)

    def _words(self, prompt: PicturePrompt) -> dict[str, Any]:
        """What the pipeline is told of words and preferences."""
        negative = ", ".join(prompt.negative)
        if prompt.preference is None or prompt.preference_weight <= 0:
            return {"prompt": prompt_text(prompt.words), "negative_prompt": negative} | self._no_adapter_input(prompt)
        tokens = torch.as_tensor(np.asarray(prompt.preference, np.float32))
        if self.has_adapter:
            self.pipeline.set_ip_adapter_scale(float(prompt.preference_weight))
            return {
                "prompt": prompt_text(prompt.words),
                "negative_prompt": negative,
                "ip_adapter_image_embeds": self._adapter_input(tokens, prompt.guidance),
            }
        encode = getattr(self.pipeline, "encode_prompt", None)
        width = getattr(getattr(getattr(self.pipeline, "text_encoder", None), "config", None), "hidden_size", None)
        if encode is None or tokens.ndim != 2 or tokens.shape[1] != width:
            raise UnsupportedError(
                f"preference tokens of shape {tuple(tokens.shape)}; this pipeline takes [n, {width}]",
                hint="ip_adapter=FILE takes image embeddings",
            )
        with torch.inference_mode():
            wanted, unwanted = encode(prompt_text(prompt.words), "cpu", 1, True, negative)[:2]
        wanted = torch.cat([wanted[:, : -len(tokens)], prompt.preference_weight * tokens[None]], 1)
        return {"prompt_embeds": wanted, "negative_prompt_embeds": unwanted}

    def _no_adapter_input(self, prompt: PicturePrompt) -> dict[str, Any]:
        """An adapter must be given something: embeddings of zero, at scale 0."""
        if not self.has_adapter:
            return {}
        self.pipeline.set_ip_adapter_scale(0.0)
        projection = self.pipeline.unet.encoder_hid_proj.image_projection_layers[0]
        tokens = torch.zeros(1, projection.image_embeds.in_features)
        return {"ip_adapter_image_embeds": self._adapter_input(tokens, prompt.guidance)}

    def _adapter_input(self, tokens: torch.Tensor, guidance: float) -> list[torch.Tensor]:
        """Embeddings [1, n, d], below those of nothing where guidance needs them."""
        wanted = tokens[None]
        return [torch.cat([torch.zeros_like(wanted), wanted]) if guidance > 1 else wanted]


@image_backends.register("diffusers")
def diffusers_backend(spec: str) -> DiffusersBackend:
    """A pipeline by the rest of its specification.

    Args:
        spec: ``FOLDER`` or ``FOLDER?option=value&...``.

    Raises:
        ConfigError: for an empty name or an unknown option.
        MissingDependencyError: without diffusers.
        ArtefactError: for a folder that is no pipeline.
        UnsupportedError: for a pipeline that is none of diffusers' own.
    """
    folder, _, query = spec.partition("?")
    if not folder:
        raise ConfigError("names no folder", key="diffusers", hint="write diffusers:FOLDER")
    return DiffusersBackend(folder, **dict(parse_qsl(query, keep_blank_values=True)))


def prompt_text(words: Sequence[tuple[str, float]]) -> str:
    """Words as a prompt, the heaviest first, each as often as its weight says, at least once.

    Args:
        words: with weights; ``column=value`` is written as its value, and those of weight 0 or less are left out.
    """
    kept = sorted((pair for pair in words if pair[1] > 0), key=lambda pair: -pair[1])
    shown = [(phrase.partition("=")[2] or phrase, max(1, round(weight))) for phrase, weight in kept]
    return ", ".join(phrase for phrase, times in shown for _ in range(times))


def _load(folder: Path) -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise MissingDependencyError("diffusers", "generate") from error
    if not (folder / INDEX).is_file():
        raise ArtefactError("is not a pipeline of diffusers: it has no model_index.json", file=folder)
    kind = str(read_json(folder / INDEX).get("_class_name"))
    pipeline: Any = getattr(diffusers, kind, None)
    own = isinstance(pipeline, type) and issubclass(pipeline, diffusers.DiffusionPipeline)
    if not own:
        raise UnsupportedError("is not a pipeline of diffusers itself", file=folder / INDEX, key=kind[:80])
    try:
        loaded = pipeline.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
        )
    except _BROKEN as error:
        raise ArtefactError(f"cannot be loaded ({str(error)[:200]})", file=folder) from error
    loaded.set_progress_bar_config(disable=True)
    return loaded


def _weights(name: str, key: str) -> Path:
    file = Path(name)
    if file.suffix != ".safetensors" or not file.is_file():
        raise ConfigError("is not a file of safetensors", file=name, key=key)
    return file


def _add(pipeline: Any, key: str, file: Path) -> None:
    """Put further weights into a pipeline."""
    tensors = read_tensors(file)
    if key == "embedding":
        pipeline.load_textual_inversion(next(iter(tensors.values())), token=f"<{file.stem}>")
    elif key == "lora":
        pipeline.load_lora_weights(tensors)
    else:
        # load_ip_adapter would also ask for an image encoder; embeddings are given here
        split: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            split[part][rest] = tensor
        pipeline.unet._load_ip_adapter_weights([split], low_cpu_mem_usage=False)


def _png(image: Image.Image, size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    fitted = image if image.size == tuple(size) else ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    fitted.convert("RGB").save(out, "PNG")
    return out.getvalue()
