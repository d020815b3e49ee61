"""What can be read off one modality: accuracy of a simple classifier for every attribute."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from _common import ROOT
from palate.simulation.words import Copy
from palate.simulation.world import World

# The same plain descriptors as the test of the visibility matrix.
sys.path.append(str(ROOT / "tests" / "simulation"))
import descriptors

LEARN = 0.7


def recovery(world: World) -> dict[str, Any]:
    """chance [attribute], clarity [modality][attribute] where shown, accuracy [modality][attribute].

    Labels are what behaviour follows: without effect no modality tells them.
    """
    rows, schema = range(len(world.items)), world.items.schema
    readers: dict[str, Callable[[int], np.ndarray]] = {
        "text": lambda row: _words(world.copy(row)),
        "image": lambda row: descriptors.picture(world.picture(row)),
        "audio": lambda row: descriptors.sound(world.sound(row), world.config.audio_rate),
    }
    accuracy = {}
    read = [modality for modality in readers if modality in schema.visibility]
    for modality in read:
        vectors = np.stack([readers[modality](row) for row in rows])
        there = world.items.present[modality]
        learn, linear = int(LEARN * there.sum()), modality == "text"
        labels = world.items.codes[there].astype(int)
        accuracy[modality] = {
            name: descriptors.accuracy(vectors[there], labels[:, schema.column(name)], learn, linear=linear)
            for name in schema.names
        }
    return {
        "chance": {name: 1 / len(schema.values(name)) for name in schema.names},
        "clarity": {modality: dict(schema.visibility[modality]) for modality in read},
        "accuracy": accuracy,
    }


def _words(copy: Copy) -> np.ndarray:
    return descriptors.text(" ".join(filter(None, (copy.title, copy.description, copy.tags))))
