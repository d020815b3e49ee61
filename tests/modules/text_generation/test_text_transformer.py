import pytest
import torch

from palate.modules.text_generation.decoding import beam_search
from palate.modules.text_generation.item_ids import digit_words, digits_needed
from palate.modules.text_generation.item_prompts import ItemTokens
from palate.modules.text_generation.picture_index import insert_index, shuffled_candidates, soft_targets
from palate.modules.text_generation.text_transformer import TextTransformer, sinusoids
from palate.modules.text_generation.visual_tokens import VisualTokens
from palate.modules.text_generation.words import END, PAD

SIZE, DIM = 12, 16


def network(**settings):
    torch.manual_seed(0)
    return TextTransformer(SIZE, DIM, 1, dropout=0.0, **settings)


def encoded(model, ids, extra=2):
    return model.encode(model.embed(ids), ids != PAD, ids, extra)


def test_positions_by_hand():
    table = sinusoids(3, 4)
    expected = (
        torch.tensor([2.0]).sin(),
        torch.tensor([2.0]).cos(),
        torch.tensor([0.02]).sin(),
        torch.tensor([0.02]).cos(),
    )
    torch.testing.assert_close(table[2], torch.cat(expected))


def test_log_probabilities_are_causal_normal_and_blind_to_padding():
    model = network()
    ids = torch.tensor([[4, 13, 5], [6, 0, 0], [0, 0, 0]])
    inputs = torch.tensor([[2, 7, 8]]).repeat(3, 1)
    out = model(inputs, encoded(model, ids)).detach()
    torch.testing.assert_close(out.exp().sum(2), torch.ones(3, 3), atol=1e-5, rtol=0)
    later = inputs.clone()
    later[:, 2] = 9
    torch.testing.assert_close(model(later, encoded(model, ids))[:, :2], out[:, :2])
    wide = torch.nn.functional.pad(ids, (0, 4))
    torch.testing.assert_close(model(inputs, encoded(model, wide)), out, atol=1e-5, rtol=1e-4)
    # word 13 stands in the first source alone; a row without words copies nothing
    assert (out[0, :, 13].exp() > 1e-4).all() and (out[1:, :, 12:].exp() < 1e-9).all()


def test_without_copying_words_are_generated_alone():
    model = network(copy=False)
    out = model(torch.tensor([[2]]), encoded(model, torch.tensor([[4, 13, 5]]))).exp()
    assert float(out[0, 0, 12:].detach().max()) < 1e-9


def test_writing_step_by_step_is_teacher_forcing():
    model = network()
    read = encoded(model, torch.tensor([[4, 13, 5]]))
    words, score = beam_search(model.writer(read), torch.tensor([4]))
    log_probs = model.shifted(words, read)
    end = words[0].tolist().index(END) if END in words[0, :4].tolist() else 4
    own = sum(float(log_probs[0, at, words[0, at]].detach()) for at in range(min(end + 1, 4)))
    assert float(score[0].detach()) == pytest.approx(own, abs=1e-4)


def test_adapters_change_nothing_at_first_and_are_small():
    model = network()
    read = torch.tensor([[4, 13, 5]])
    before = model(torch.tensor([[2, 7]]), encoded(model, read)).detach()
    whole = sum(parameter.numel() for parameter in model.parameters())
    model.add_adapters(8)
    torch.testing.assert_close(model(torch.tensor([[2, 7]]), encoded(model, read)), before)
    # two bottlenecks of 2 in each of two blocks: 16 x 2 + 2 down, 2 x 16 + 16 up
    added = sum(parameter.numel() for parameter in model.parameters()) - whole
    assert added == 2 * 2 * (16 * 2 + 2 + 2 * 16 + 16)
    backbone, adapted = ({id(each) for each in part} for part in (model.backbone(), model.adapted()))
    norms = {id(each) for part in model.modules() if isinstance(part, torch.nn.LayerNorm) for each in part.parameters()}
    assert backbone & adapted == norms and backbone | adapted == {id(each) for each in model.parameters()}


def test_an_index_token_is_put_first_or_before_the_end():
    target = torch.tensor([[5, 6, END, 0], [7, END, 0, 0]])
    index = torch.tensor([8, 9])
    last, at = insert_index(target, index, "last")
    assert last.tolist() == [[5, 6, 8, END, 0], [7, 9, END, 0, 0]] and at.tolist() == [2, 1]
    first, at = insert_index(target, index, "first")
    assert first.tolist() == [[8, 5, 6, END, 0], [9, 7, END, 0, 0]] and at.tolist() == [0, 0]


def test_soft_targets_follow_the_cosine_with_the_reference():
    pictures = torch.tensor([[[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [5.0, 0.0]]])
    present = torch.tensor([[True, True, True, False]])
    soft = soft_targets(pictures, present, torch.tensor([[1.0, 0.0]]), 0.5)
    torch.testing.assert_close(soft[0, :3], torch.tensor([2.0, 0.0, 2**0.5]).softmax(0))
    assert soft[0, 3] == 0
    assert soft_targets(pictures, present, torch.tensor([[0.0, 1.0]]), 0.0).tolist() == [[0, 1, 0, 0]]


def test_candidates_hold_the_own_picture_in_every_place():
    own = torch.eye(5)
    torch.manual_seed(0)
    found = [shuffled_candidates(own, 3) for _ in range(20)]
    places = torch.stack([(one == own[:, None]).all(2).long() for one in found])
    assert (places.sum(2) == 1).all() and (places.sum((0, 1)) > 10).all()
    assert shuffled_candidates(own[:2], 3).shape == (2, 2, 5)


def test_visual_tokens_by_hand():
    torch.manual_seed(0)
    visual = VisualTokens(3, 4, 2)
    vector = torch.randn(1, 3)
    raw = visual.layers[2](torch.tanh(visual.layers[0](vector))).view(1, 2, 4)
    expected = (raw - raw.mean(2, keepdim=True)) / (raw.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(visual(vector), expected)


def test_digits_name_rows_and_new_items_have_one_word():
    assert [digits_needed(n) for n in (1, 10, 11, 1000, 1001)] == [1, 1, 2, 3, 4]
    words = digit_words(torch.tensor([[0, 7, 119], [-1, 120, 42]]), 120, 20, 9)
    assert words.tolist() == [[[20, 20, 20], [20, 20, 27], [21, 21, 29]], [[9, PAD, PAD], [9, PAD, PAD], [20, 24, 22]]]


def test_words_and_pictures_of_an_item_share_its_embedding_and_differ_in_category():
    torch.manual_seed(0)
    tokens = ItemTokens(3, 4, 2, 5, whole_words=True, categories=True)
    words, image = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3)
    here, present = torch.tensor([[[True, True, False], [True, False, False]]]), torch.tensor([[True, False]])
    with torch.no_grad():
        tokens.whole.copy_(torch.arange(5.0)[:, None].expand(5, 4))
        tokens.category.copy_(torch.tensor([[0.25] * 4, [0.5] * 4]))
    x, mask = tokens(words, here, image, present, first=1)
    seen = tokens.visual(image)[0, 0, 0]
    torch.testing.assert_close(x[0, 0], torch.full((4,), 1.25))
    torch.testing.assert_close(x[0, 3], seen + 1.5)
    torch.testing.assert_close(x[0, 5], torch.full((4,), 2.25))
    assert mask[0].tolist() == [True, True, False, True, True, True, False, False, False, False]
    tokens.seeing = False
    assert tokens(words, here, image, present)[0].shape == (1, 6, 4)
    bare = ItemTokens(3, 4, 0, 5, whole_words=False, categories=False)
    assert not list(bare.parameters()) and bare(words, here, image, present)[0].abs().max() == 0
