import torch

from palate.modules.text_generation.decoding import beam_search
from palate.modules.text_generation.interleaved import InterleavedTransformer, picture_mask
from palate.modules.text_generation.item_sequence import ItemSequence

SIZE, DIM = 12, 16


def context(shift=0, hole=False):
    """Two items with two words each, pictures for both, a word of the instruction."""
    out = ItemSequence(1, torch.device("cpu"))
    marks, words = torch.tensor([[[4], [5]]]), torch.tensor([[[6, 13], [7, 0]]])
    pictures = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0 + shift, 0.0]]])
    out.add_items(marks, words, pictures, torch.tensor([[True, True]]), torch.tensor([[True, not hole]]))
    out.add_words(torch.tensor([[8]]), False)
    return out.context(2)


def network(**settings):
    torch.manual_seed(0)
    model = InterleavedTransformer(SIZE, DIM, 1, 3, 2, dropout=0.0, **settings)
    with torch.no_grad():
        model.blocks[0].gate.fill_(1.0)
    return model.eval()


def test_words_look_at_the_picture_of_their_own_item():
    owner = torch.tensor([[0, 0, 1, 1, -1, 2]])
    present = torch.tensor([[True, True, False]])
    own = picture_mask(owner, present, True)[0]
    assert own.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
    newest = picture_mask(owner, present, False)[0]
    # a word of no item, and one whose own picture is absent, look at the newest before them
    assert newest.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]]


def test_items_are_laid_out_in_order_with_holes():
    made = context()
    assert made.ids.tolist() == [[4, 6, 13, 5, 7, 0, 8]] and made.owner.tolist() == [[0, 0, 0, 1, 1, 1, -1]]
    assert made.copied.tolist() == [[False, True, True, False, True, False, False]]
    holed = context(hole=True)
    assert holed.ids.tolist() == [[4, 6, 13, 0, 0, 0, 8]] and holed.present.tolist() == [[True, False]]


def test_holes_are_as_if_nothing_stood_there():
    model, full = network(), context(hole=True)
    short = ItemSequence(1, torch.device("cpu"))
    short.add_items(
        torch.tensor([[[4]]]),
        torch.tensor([[[6, 13]]]),
        full.pictures[:, :1],
        torch.tensor([[True]]),
        torch.tensor([[True]]),
    )
    short.add_words(torch.tensor([[8]]), False)
    answer = torch.tensor([[2, 9]])
    torch.testing.assert_close(model(answer, full), model(answer, short.context(2)), atol=1e-5, rtol=1e-4)


def test_pictures_enter_through_the_gate_alone():
    answer = torch.tensor([[2, 9]])
    model = network()
    one, other = model(answer, context()), model(answer, context(shift=2))
    assert not torch.allclose(one, other)
    torch.testing.assert_close(one.exp().sum(2), torch.ones(1, 2))
    with torch.no_grad():
        model.blocks[0].gate.zero_()
    torch.testing.assert_close(model(answer, context()), model(answer, context(shift=2)))


def test_fine_grained_attention_is_a_switch():
    answer = torch.tensor([[2, 9]])
    fine, newest = network(), network(fine_grained=False)
    newest.load_state_dict(fine.state_dict())
    assert not torch.allclose(fine(answer, context()), newest(answer, context()))


def test_answers_are_causal_and_copy_words_of_items():
    model = network()
    out = model(torch.tensor([[2, 9, 10]]), context())
    torch.testing.assert_close(model(torch.tensor([[2, 9, 11]]), context())[:, :2], out[:, :2])
    assert float(out[0, 0, 13].detach().exp()) > 1e-4
    words, _ = beam_search(model.writer(context(), (10,)), torch.tensor([5]))
    assert 10 not in words.tolist()[0]
