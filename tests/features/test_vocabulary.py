"""Word pieces: special ids around every text, cut texts, none at all, and the same vocabulary again."""

import pytest

from palate.core.errors import ArtefactError
from palate.features.vocabulary import SPECIAL, Vocabulary


def test_texts_stand_between_cls_and_sep():
    made = Vocabulary.learn(["a red lamp", "a blue lamp"] * 3, 60)
    cls, sep = SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")
    for vocabulary in (made, Vocabulary.load(made.dump())):
        whole, cut, nothing = vocabulary.ids(["A red lamp", "a red lamp, a blue lamp", None], 6).tolist()
        assert (whole[0], whole[4:]) == (cls, [sep, 0]) and min(whole[1:4]) >= len(SPECIAL)
        assert (cut[0], cut[-1]) == (cls, sep) and cut[1:4] == whole[1:4]
        assert nothing == [0] * 6
    with pytest.raises(ArtefactError, match="damaged"):
        Vocabulary.load("{}")
