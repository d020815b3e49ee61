"""Pictures by the library's own latent diffusion: ``latent_diffusion:DIR``, a folder of ``palate train-pictures``."""

from __future__ import annotations

from palate.core.errors import ConfigError
from palate.generation.drawing.painter import Painter
from palate.generation.drawing.weights import read_picture_model
from palate.generation.registries import image_backends


@image_backends.register("latent_diffusion")
def latent_diffusion(folder: str) -> Painter:
    """The painter of a folder.

    Args:
        folder: that ``palate train-pictures`` wrote.

    Raises:
        ConfigError: for an empty name.
        ArtefactError: for a folder that is no picture model, or is damaged.
    """
    if not folder:
        raise ConfigError("names no folder", key="latent_diffusion", hint="write latent_diffusion:DIR")
    return Painter(read_picture_model(folder))
