"""CLCRec's alignment: content takes the place of IDs in contrast with users, so new items are found."""

from __future__ import annotations

from _affinity import auc

from _points import Point, shop

SIZES = "dim=32;width=32;layers=1;lr=0.003;batch_size=256;candidates=128;epochs=25;patience=25;modalities=[text]"
READERS = {"text": "pieces?length=32"}

POINTS = [
    Point(
        system="clcrec_alignment",
        claim="Content that took the place of IDs in training stands in for them: users find new items",
        data=shop,
        whole=f"clcrec_alignment:{SIZES};share=0;replaced=0.5",
        ablation=f"clcrec_alignment:{SIZES};share=0;replaced=0",
        judge=auc("text"),
        supervision="full",
        readers=READERS,
    ),
]
