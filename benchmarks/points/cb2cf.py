"""CB2CF: content predicts an item's collaborative vector, and all views predict it better than one."""

from __future__ import annotations

from _affinity import joint_auc

from _points import Point, shop

WHOLE = "cb2cf:dim=32;width=16;layers=1;lr=0.003;batch_size=64;epochs=16;patience=16;modality_dropout=0.2"
READERS = {"text": "pieces?length=32", "image": "image_stats", "audio": "logmel?bands=32&seconds=1"}

POINTS = [
    Point(
        system="cb2cf",
        claim="Content that learnt the collaborative vectors of its own items finds who takes a new one",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};shuffled=true",
        judge=joint_auc,
        supervision="full",
        readers=READERS,
    ),
    Point(
        system="cb2cf",
        claim="All views of a new item tell its collaborative vector better than its text alone",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};views=[text]",
        judge=joint_auc,
        supervision="full",
        readers=READERS,
    ),
]
