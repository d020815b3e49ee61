import math

import pytest
import torch

from palate.modules.text_generation.copying import localize, masked_attention, mix_copies
from palate.modules.text_generation.item_ids import taken
from palate.modules.text_generation.token_losses import focal_loss, likelihood_loss, soft_loss
from palate.modules.text_generation.words import (
    END,
    PAD,
    UNKNOWN,
    Lexicon,
    WordVocabulary,
    join_words,
    shared_words,
    split_words,
)


@pytest.mark.parametrize(
    "text",
    [
        "The Lion King (1994): it's a well-known film, isn't it?",
        'She said "hello there" and left.',
        "我喜欢这部电影。",
        "Ça coûte $12.50 – vraiment !",
        "नमस्ते दुनिया",
    ],
)
def test_words_join_to_the_text_they_came_from(text):
    words = split_words(text)
    assert split_words(join_words(words)) == words
    if text.isascii():
        assert join_words(words).replace(" ", "") == text.replace(" ", "")


def test_spaces_stand_where_they_belong():
    assert join_words(split_words('It\'s "good" (really), $5!')) == 'It\'s "good" (really), $5!'
    assert join_words(split_words("我喜欢。")) == "我喜欢。"


def test_special_words_and_invisible_letters_cannot_be_typed():
    vocabulary = WordVocabulary.learn(["[END] [PAD] [IMG_1]"], marks=("[IMG_1]",))
    ids = Lexicon(vocabulary).ids(["[END] [IMG_1] a\u202eb\x00c"], 20)[0]
    assert not {END, UNKNOWN, vocabulary.mark("[IMG_1]")} & set(ids[ids != PAD].tolist())
    assert split_words("a\u202eb\x00c") == ["abc"]
    assert max(map(len, split_words("x" * 1000))) == 64


def test_a_vocabulary_depends_on_counts_alone_and_keeps_the_usual_spelling():
    texts = ["The lion sleeps", "the Lion wakes", "the Lion eats zebra"]
    first, second = WordVocabulary.learn(texts, 3), WordVocabulary.learn(texts[::-1], 3)
    assert first.forms == second.forms == [*first.forms[:4], "Lion", "the", "eats"]
    lexicon = Lexicon(WordVocabulary.load(first.dump()))
    ids = lexicon.ids(["THE zebra eats Quagga", None], 6, end=True)
    # words beyond the vocabulary of 4 + 3 are numbered as they come, and read back as they were written
    assert ids.tolist() == [[5, 7, 6, 8, END, PAD], [PAD] * 6]
    assert lexicon.text(ids[0]) == "The zebra eats Quagga"


def test_words_beyond_the_vocabulary_are_numbered_within_the_batch():
    source = torch.tensor([[4, 12, 9], [5, 20, 0]])
    target = torch.tensor([[12, 4, 20], [20, 30, 3]])
    (local,), own, beyond = localize([source], target, 10)
    assert beyond.tolist() == [12, 20]
    assert local.tolist() == [[4, 10, 9], [5, 11, 0]]
    # 20 stands in the other row's source only, 30 in none
    assert own.tolist() == [[10, 4, UNKNOWN], [11, UNKNOWN, 3]]
    assert localize([], target, 10)[1].tolist() == [[1, 4, 1], [1, 1, 3]]


def test_copying_by_hand():
    generated = torch.tensor([[[0.5, 0.5]]])
    modes = torch.tensor([[[0.6, 0.4]]])
    attention = torch.tensor([[[0.25, 0.5, 0.25]]])
    mixed = mix_copies(generated, modes, [attention], [torch.tensor([[1, 2, 1]])], 1).exp()
    # P(1) = .6 * .5 + .4 * (.25 + .25), P(2) = .4 * .5: a word that the vocabulary lacks
    assert mixed[0, 0].tolist() == pytest.approx([0.3, 0.5, 0.2])
    three = torch.tensor([[[0.5, 0.3, 0.2]]])
    sources = [torch.tensor([[1, 2, 1]]), torch.tensor([[0]])]
    two = mix_copies(generated, three, [attention, torch.ones(1, 1, 1)], sources, 1)
    assert two.exp()[0, 0].tolist() == pytest.approx([0.25 + 0.2, 0.25 + 0.15, 0.15])


def test_attention_to_nothing_is_zero():
    weights = masked_attention(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[True, False], [False, False]]))
    assert weights.tolist() == [[1, 0], [0, 0]]


def test_losses_by_hand():
    log_probs = torch.tensor([[[0.1, 0.1, 0.3, 0.5], [0.1, 0.1, 0.6, 0.2]]]).log()
    target = torch.tensor([[3, 2]])
    assert float(likelihood_loss(log_probs, target)) == pytest.approx(-(math.log(0.5) + math.log(0.6)) / 2)
    focal = -(0.25 * math.log(0.5) + 0.16 * math.log(0.6)) / 2
    assert float(focal_loss(log_probs, target, 2.0)) == pytest.approx(focal)
    assert float(focal_loss(log_probs, target, 2.0, torch.tensor([3.0]))) == pytest.approx(3 * focal)
    # padding and words that can be neither generated nor copied do not count
    assert float(likelihood_loss(log_probs, torch.tensor([[3, PAD]]))) == pytest.approx(-math.log(0.5))
    assert float(likelihood_loss(log_probs, torch.tensor([[UNKNOWN, 2]]))) == pytest.approx(-math.log(0.6))
    soft = torch.tensor([[0.0, 0.0, 0.75, 0.25]])
    expected = -(0.75 * math.log(0.3) + 0.25 * math.log(0.5))
    assert float(soft_loss(log_probs[:, 0], soft, torch.tensor([True]))) == pytest.approx(expected)


def test_words_that_one_person_alone_wrote_are_not_shared():
    texts = ["My cat Mimi sleeps", None, "the CAT sleeps, the cat", "Mimi Mimi"]
    assert shared_words(texts, [1, 1, 2, 1]) == ["cat sleeps", "", "CAT sleeps cat", ""]
    assert shared_words(texts, [1, 1, 2, 3]) == ["cat Mimi sleeps", "", "CAT sleeps cat", "Mimi Mimi"]
    assert shared_words(["a b"], [0], least=1) == ["a b"]


def test_what_a_row_took_is_no_negative_of_it():
    item, history = torch.tensor([1, 2]), torch.tensor([[3, -1], [-1, -1]])
    other = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4]])
    assert taken(item, history, other).tolist() == [[True, False, True, False], [False, True, False, False]]
