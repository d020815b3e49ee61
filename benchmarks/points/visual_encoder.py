"""VisualEncoder: the effect of each of its three stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from _points import Point, clothing, cold_recall, labels, probe, shop
from palate.data.dataset import Dataset

PHOTOS, SHOTS = {"image": "pixels?side=32"}, {"image": "pixels?side=48"}
VIEWS = "visual_encoder:stages=[views];epochs=16;held=0"
CLICKS = "visual_encoder:category=subcategory;epochs=10;patience=10"
SHOWN = 0.1


def half_shown(seed: int, effect: bool) -> Dataset:
    """The shop with a tenth of the clicks on known items of every other colour, as if these had hardly been shown.

    The evaluation on new items is unchanged.
    """
    data = shop(seed, effect)
    _, colour = np.unique(labels(data, "colour"), return_inverse=True)
    rare = (colour % 2 == 1) & data.split.visible_items
    frame = data.interactions.frame
    items, first = frame["item"].to_numpy(), frame["item"].is_first_distinct().to_numpy()
    keep = ~rare[items] | first | (np.random.default_rng(seed).random(len(frame)) < SHOWN)
    thinned = replace(data, interactions=replace(data.interactions, frame=frame.filter(pl.Series(keep))))
    # an item without any click would be drawn into another part
    assert (thinned.split.visible_items == data.split.visible_items).all()
    return thinned


POINTS = [
    Point(
        system="visual_encoder",
        claim="Two views of a picture, without any label, teach what garments are",
        data=clothing,
        whole=VIEWS,
        ablation=f"{VIEWS};epochs=0",
        judge=probe("image", "kind"),
        supervision="self",
        readers=PHOTOS,
        real=True,
    ),
    Point(
        system="visual_encoder",
        claim="Clicks teach pictures what people care for",
        data=shop,
        whole=f"{CLICKS};stages=[views,clicks]",
        ablation=f"{CLICKS};stages=[views];epochs=20;patience=20",
        judge=cold_recall("image"),
        supervision="full",
        readers=SHOTS,
    ),
    Point(
        system="visual_encoder",
        claim="Negatives of the same class, drawn beside those of the batch, are harder and teach more",
        data=shop,
        whole=f"{CLICKS};stages=[views,clicks]",
        ablation=f"{CLICKS};stages=[views,clicks];pool=all",
        judge=cold_recall("image"),
        supervision="full",
        readers=SHOTS,
    ),
    Point(
        system="visual_encoder",
        claim="Beside negatives of the same class those of others are needed, or classes are forgotten",
        data=shop,
        whole=f"{CLICKS};stages=[views,clicks]",
        ablation=f"{CLICKS};stages=[views,clicks];pool=class",
        judge=cold_recall("image"),
        supervision="full",
        readers=SHOTS,
    ),
    Point(
        system="visual_encoder",
        claim="Drawing what is much shown to its likes among what is not helps new items that look like the latter",
        data=half_shown,
        whole=CLICKS,
        ablation=f"{CLICKS};debias=0",
        judge=cold_recall("image"),
        supervision="full",
        readers=SHOTS,
    ),
]
