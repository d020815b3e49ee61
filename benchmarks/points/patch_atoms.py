"""PatchAtoms: patches of garments without labels, and the effect of each of its parts."""

from __future__ import annotations

from _points import READY, Point, clothing, probe

SMALL = {"image": "pixels?side=32"}
ATOMS = "patch_atoms:held=0"
KIND = probe("image", "kind")


def point(claim: str, ablation: str) -> Point:
    """Point on photos of garments."""
    return Point("patch_atoms", claim, clothing, ATOMS, ablation, KIND, supervision="self", readers=SMALL, real=True)


POINTS = [
    point("Atoms that learn from patches tell more than random ones", f"{ATOMS};start=random;learn=false"),
    point("Atoms that learn tell more than the patches that they start as", f"{ATOMS};learn=false"),
    point("They tell more than built-in colours and gradients", f"{READY}image=image_stats"),
    point("Patches need to be whitened", f"{ATOMS};whiten=false"),
    point("It matters where in the picture an atom answers", f"{ATOMS};grid=1"),
]
