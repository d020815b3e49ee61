"""CLCRec's alignment: content replaces IDs, and IDs are contrasted with content, so that new items are found."""

from __future__ import annotations

from _affinity import auc

from _points import Point, shop

SIZES = "dim=32;width=32;lr=0.005;reg=0.01;tau=1;batch_size=512;candidates=128;epochs=30;patience=30;modalities=[text]"
READERS = {"text": "hash?dim=1024"}

POINTS = [
    Point(
        system="clcrec_alignment",
        claim=claim,
        data=shop,
        whole=f"clcrec_alignment:{SIZES};{whole}",
        ablation=f"clcrec_alignment:{SIZES};{ablation}",
        judge=auc("text"),
        supervision="full",
        readers=READERS,
    )
    for claim, whole, ablation in (
        (
            "Content that took the place of IDs in training stands in for them: users find new items",
            "share=0;replaced=0.5",
            "share=0;replaced=0",
        ),
        (
            "IDs that look for their content among that of others teach it whom a new item is for",
            "share=0.5;replaced=0",
            "share=0;replaced=0",
        ),
        (
            "Content in the place of IDs adds to what IDs that look for it teach",
            "share=0.5;replaced=0.5",
            "share=0.5;replaced=0",
        ),
    )
]
