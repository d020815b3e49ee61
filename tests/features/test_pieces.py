"""Word pieces: the same texts give the same pieces every time, in any process."""

import random

from palate.features.vocabulary import SPECIAL, Vocabulary


def texts():
    """Words that tie in every count, so that chance would show."""
    rng = random.Random(0)
    words = ["".join(rng.choice("abcdefgh") for _ in range(rng.randint(2, 7))) for _ in range(400)]
    return [" ".join(rng.choice(words) for _ in range(12)) for _ in range(300)]


def test_the_same_texts_give_the_same_pieces():
    made = {Vocabulary.learn(texts(), 300).dump() for _ in range(4)}
    assert len(made) == 1 and len(Vocabulary.load(made.pop())) == 300


def test_a_text_is_opened_closed_and_padded():
    found = Vocabulary.learn(texts(), 300).ids(["abc", None, "abc " * 40], 10)
    opened, closed = SPECIAL.index("[CLS]"), SPECIAL.index("[SEP]")
    assert (found[[0, 2], 0] == opened).all() and found[2, -1] == closed
    assert not found[1].any() and found[0, -1] == 0
