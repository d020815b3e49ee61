"""SCALE: contrast aligns modalities, masking keeps what is a modality's own, weights follow what is worth learning."""

from __future__ import annotations

from _points import Point, probe, retrieval, shop

READERS = {"image": "pixels?side=48", "text": "pieces?size=4000&length=32", "audio": "mel?bands=32&seconds=1"}
SIZES = "scale:dim=64;width=64;batch_size=64;epochs=40;patience=40"

POINTS = [
    Point(
        system="scale",
        claim=claim,
        data=shop,
        whole=SIZES,
        ablation=f"{SIZES};{without}",
        judge=judge,
        supervision="self",
        readers=READERS,
    )
    for claim, without, judge in (
        ("Contrast lets one modality of an item find another", "objectives=[masked]", retrieval("image", "text")),
        ("Masked modelling keeps what no other modality tells", "objectives=[contrast]", probe("image", "colour")),
        (
            "Learnt weights leave aside sounds, which say little of the rest",
            "harmonised=false",
            retrieval("image", "text"),
        ),
    )
]
