"""AttributeRidge: maps learnt from attributes against random maps."""

from __future__ import annotations

from _points import Point, cold_recall, movies, shop

RIDGE = "attribute_ridge:least=8"


POINTS = [
    Point(
        system="attribute_ridge",
        claim="What films are said to be teaches plots and posters which new ones people like",
        data=movies,
        whole=RIDGE,
        ablation=f"{RIDGE};epochs=0",
        judge=cold_recall("text", "image"),
        supervision="weak",
        real=True,
    ),
    Point(
        system="attribute_ridge",
        claim="Categories teach words, pictures and sounds which new items people take",
        data=shop,
        whole=RIDGE,
        ablation=f"{RIDGE};epochs=0",
        judge=cold_recall("text", "image", "audio"),
        supervision="weak",
    ),
]
