"""CB2CF: all views of an item together tell its collaborative vector."""

from __future__ import annotations

from _affinity import joint_auc

from _points import Point, shop

SIZES = "dim=32;width=16;layers=1;lr=0.003;batch_size=64;epochs=25;patience=25"

POINTS = [
    Point(
        system="cb2cf",
        claim="One net over all views tells a new item's collaborative vector better than each view taught alone",
        data=shop,
        whole=f"cb2cf:{SIZES};hide=0.2",
        ablation=f"cb2cf:{SIZES};hide=1",
        judge=joint_auc,
        supervision="full",
        readers={"image": "pixels?side=32", "text": "pieces?length=32", "audio": "mel?seconds=2&bands=24"},
    ),
]
