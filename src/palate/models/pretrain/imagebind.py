"""ImageBind (Girdhar et al., CVPR 2023): one modality is the hub, every other is tied to it alone.

L_(hub, m) is symmetric InfoNCE; two spokes become comparable without ever having been trained together.

Our choices: any modality may be the hub, its tower is trained with the others (the paper's comes frozen from CLIP), and
each tie learns its own temperature.
"""

from __future__ import annotations

from typing import Literal

from palate.core.model import pretrainers

from ._contrast import Contrastive
from ._inputs import KINDS


@pretrainers.register("imagebind")
class ImageBind(Contrastive):
    """All modalities in one space, through a hub."""

    name = "imagebind"
    paper = "Girdhar et al., ImageBind: One Embedding Space To Bind Them All, CVPR 2023"

    class Config(Contrastive.Config):
        """hub: the modality that all others are tied to."""

        hub: Literal["text", "image", "audio"] = "image"

    def wanted(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.config.hub, spoke) for spoke in KINDS if spoke != self.config.hub)
