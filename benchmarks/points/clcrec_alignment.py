"""CLCRec's alignment: contrast makes content stand in for IDs, so new items are found."""

from __future__ import annotations

from _affinity import auc

from _points import Point, shop

SIZES = "dim=32;width=32;layers=1;lr=0.003;batch_size=256;candidates=128;epochs=6;patience=6;modalities=[text]"
READERS = {"text": "pieces?length=32"}

POINTS = [
    Point(
        system="clcrec_alignment",
        claim="Content aligned with IDs stands in for them: users find new items",
        data=shop,
        whole=f"clcrec_alignment:{SIZES};share=0.5;replaced=0.5",
        ablation=f"clcrec_alignment:{SIZES};share=0;replaced=0",
        judge=auc("text"),
        supervision="full",
        readers=READERS,
    ),
    Point(
        system="clcrec_alignment",
        claim="Contrast of IDs with content adds to content in place of IDs",
        data=shop,
        whole=f"clcrec_alignment:{SIZES};share=0.5;replaced=0.5",
        ablation=f"clcrec_alignment:{SIZES};share=0;replaced=0.5",
        judge=auc("text"),
        supervision="full",
        readers=READERS,
    ),
]
