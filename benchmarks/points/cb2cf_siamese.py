"""CB2CF's siamese form: neighbours by behaviour against random neighbours."""

from _asked import SMALL, recommended
from _points import Point, shop

SIZES = "cb2cf_siamese:epochs=12;dim=64;layers=1;batch_size=512;neighbours=5;lr=0.003"
POINTS = [
    Point(
        system="cb2cf_siamese",
        claim="Neighbours by behaviour teach content which items go together",
        data=shop,
        whole=SIZES,
        ablation=f"{SIZES};shuffled=true",
        judge=recommended,
        supervision="full",
        readers={**SMALL, "audio": "mel?bands=32&seconds=1"},
    )
]
