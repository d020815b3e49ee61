"""PPM's encoders: texts trained by queries and pictures trained by entities, each against an untrained tower."""

from _asked import SMALL, searching
from _points import Point, cold_recall

SIZES = "ppm:epochs=24;dim=64;layers=1"
POINTS = [
    Point(
        system="ppm",
        claim="Queries teach words what people look for: text alone recommends new items better",
        data=searching,
        whole=SIZES,
        ablation=f"{SIZES};matching=false",
        judge=cold_recall("text"),
        supervision="full",
        readers=SMALL,
    ),
    Point(
        system="ppm",
        claim="Entities teach pictures what items are: pictures alone recommend new items better",
        data=searching,
        whole=SIZES,
        ablation=f"{SIZES};prediction=false",
        judge=cold_recall("image"),
        supervision="full",
        readers=SMALL,
    ),
]
