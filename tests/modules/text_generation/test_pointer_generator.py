import numpy as np
import pytest
import torch
from torch import nn

from palate.modules.text_generation.decoding import beam_search
from palate.modules.text_generation.interests import InterestEncoder, TitleEncoder
from palate.modules.text_generation.pointer_generator import Memory, PointerDecoder, Source, WordEncoder
from palate.modules.text_generation.rewards import BigramModel, rouge_l, word_support
from palate.modules.text_generation.words import END

DIM, SIZE = 8, 10


def parts(inject=("state", "attention", "copy"), sources=1, copy=True):
    torch.manual_seed(0)
    words = nn.Embedding(SIZE, DIM)
    reader = WordEncoder(words, DIM)
    return words, reader, PointerDecoder(words, DIM, sources, 4, inject, copy)


def memory(reader, user=0.0, ids=((4, 11, 5, 0), (6, 0, 0, 0)), sources=1):
    ids = torch.tensor(ids)
    states, summary = reader(ids)
    return Memory((Source(ids, states),) * sources, summary, torch.full((len(ids), 4), user), extra=2)


def test_one_step_by_hand():
    words, reader, decoder = parts(())
    read = memory(reader)
    h, c, _ = decoder.start(read)
    _, attentions, modes, _ = decoder.advance(torch.tensor([2, 2]), decoder.start(read), read)
    x = words(torch.tensor([2, 2]))
    h1, _ = decoder.cell(torch.cat([x, torch.zeros(2, DIM)], 1), (h, c))
    states = read.sources[0].states
    energy = torch.tanh(
        states @ decoder.keys[0].weight.T + (h1 @ decoder.queries[0].weight.T + decoder.queries[0].bias)[:, None]
    )
    scores = (energy @ decoder.energies[0].weight[0])[0, :3]
    torch.testing.assert_close(attentions[0][0], torch.cat([scores.softmax(0), torch.zeros(1)]))
    context = (attentions[0][:, :, None] * states).sum(1)
    gate = torch.sigmoid(torch.cat([context, h1, x], 1) @ decoder.modes.weight[0] + decoder.modes.bias[0])
    torch.testing.assert_close(modes[:, 0], gate)
    vocabulary = (torch.tanh(decoder.hidden(torch.cat([h1, context], 1))) @ words.weight.T + decoder.bias).softmax(1)
    mixed = decoder(torch.tensor([[2], [2]]), read).exp()[:, 0]
    # word 11 stands in the first source alone and cannot be generated
    torch.testing.assert_close(mixed[0, 11], (1 - gate[0]) * attentions[0][0, 1])
    torch.testing.assert_close(mixed[0, 4], gate[0] * vocabulary[0, 4] + (1 - gate[0]) * attentions[0][0, 0])
    torch.testing.assert_close(mixed.sum(1), torch.ones(2))


@pytest.mark.parametrize("inject", [(), ("state",), ("attention",), ("copy",)])
def test_the_user_enters_where_it_is_injected_and_nowhere_else(inject):
    _, reader, decoder = parts(inject)
    outputs = []
    for user in (0.0, 3.0):
        read = memory(reader, user)
        h, _, _ = decoder.start(read)
        _, attentions, modes, _ = decoder.advance(torch.tensor([2, 2]), (h * 0, h * 0, torch.zeros(2, DIM)), read)
        outputs.append((h, attentions[0][:1], modes))
    changed = [not torch.equal(a, b) for a, b in zip(*outputs)]
    # attention moves what the choice between generating and copying reads, too
    expected = [inject == ("state",), inject == ("attention",), inject in (("attention",), ("copy",))]
    assert changed == expected


def test_without_copying_words_beyond_the_vocabulary_are_out_of_reach():
    _, reader, decoder = parts(copy=False)
    out = decoder(torch.tensor([[2, 4], [2, 4]]), memory(reader)).exp()
    assert float(out.detach()[..., SIZE:].max()) < 1e-9
    torch.testing.assert_close(out.sum(2), torch.ones(2, 2))


def test_an_empty_source_is_not_copied_from():
    _, reader, decoder = parts(sources=2)
    full = memory(reader, sources=2)
    empty = Source(torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2, 1, DIM))
    read = Memory((full.sources[0], empty), full.summary, full.user, extra=2)
    _, _, modes, _ = decoder.advance(torch.tensor([2, 2]), decoder.start(read), read)
    assert modes[:, 2].tolist() == [0, 0] and modes[:, 1].gt(0).all()


def test_padding_changes_nothing():
    _, reader, decoder = parts()
    inputs = torch.tensor([[2, 4], [2, 4]])
    short, long = memory(reader), memory(reader, ids=((4, 11, 5, 0, 0, 0, 0), (6, 0, 0, 0, 0, 0, 0)))
    torch.testing.assert_close(decoder(inputs, short), decoder(inputs, long))


def test_it_learns_to_copy_what_it_never_saw():
    """Texts are the second word of the source; in the test it is a word beyond the vocabulary."""
    words, reader, decoder = parts(())
    modules = nn.ModuleList([words, reader, decoder])
    optimizer = torch.optim.Adam(modules.parameters(), lr=0.02)
    rng = torch.Generator().manual_seed(1)
    for _ in range(120):
        ids = torch.randint(4, SIZE + 2, (32, 3), generator=rng)
        states, summary = reader(ids)
        read = Memory((Source(ids, states),), summary, extra=2)
        target = torch.stack([ids[:, 1], torch.full((32,), END)], 1)
        inputs = torch.stack([torch.full((32,), 2), ids[:, 1]], 1)
        loss = -decoder(inputs, read).gather(2, target[..., None]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ids = torch.tensor([[4, 10, 7], [5, 11, 6], [11, 8, 10]])
    states, summary = reader(ids)
    read = Memory((Source(ids, states),), summary, extra=2)
    written, _ = beam_search(decoder.decoder(read), torch.tensor([3, 3, 3]))
    assert written[:, :2].tolist() == [[10, END], [11, END], [8, END]]


def test_interests_read_what_their_names_say():
    torch.manual_seed(0)
    taken, mask = torch.randn(1, 6, DIM), torch.tensor([[False, True, True, True, True, True]])
    for name in ("genuine", "sequential", "flash"):
        encoder = InterestEncoder(DIM, [name], flash=2)
        base = encoder(taken, mask)
        padded = taken.clone()
        padded[0, 0] = 9
        torch.testing.assert_close(encoder(padded, mask), base)
        old, swapped = taken.clone(), taken.clone()
        old[0, 1] += 1
        swapped[0, [1, 2]] = taken[0, [2, 1]]
        # the oldest title counts except for flash interest; order counts for sequential interest alone
        assert torch.allclose(encoder(old, mask), base) == (name == "flash")
        assert torch.allclose(encoder(swapped, mask), base, atol=1e-6) == (name != "sequential")
        nothing = encoder(taken, torch.zeros_like(mask))
        torch.testing.assert_close(nothing[0], encoder.out.bias)
    assert InterestEncoder(DIM, ["flash"])(torch.zeros(2, 0, DIM), torch.zeros(2, 0, dtype=torch.bool)).shape == (
        2,
        DIM,
    )


def test_entities_are_read_only_where_they_are_switched_on():
    torch.manual_seed(0)
    title = torch.tensor([[4, 5]])
    for entities in (True, False):
        encoder = TitleEncoder(SIZE, DIM, entities)
        one, other = (encoder(title, torch.tensor([[word]])) for word in (6, 7))
        assert torch.equal(one, other) == (not entities)


def test_rewards_by_hand():
    texts = torch.tensor([[4, 5, 6, END], [4, 7, END, 0], [END, 0, 0, 0]])
    references = torch.tensor([[4, 9, 6, END, 0], [7, 4, END, 0, 0], [4, END, 0, 0, 0]])
    # common subsequences of 2 and 1 words
    assert rouge_l(texts, references).tolist() == pytest.approx([4 / 6, 2 / 4, 0])
    assert word_support(texts, torch.tensor([[4, 5, 8], [7, 7, 7], [1, 1, 1]])).tolist() == pytest.approx(
        [2 / 3, 1 / 2, 0]
    )
    model = BigramModel.learn(np.array([[4, 5, END], [4, 6, END]]), 8)
    # p(4 | START) = .8 * 1 + .2 * 3 / 14, p(5 | 4) = .8 / 2 + .2 * 2 / 14, p(END | 5) = .8 + .2 * 3 / 14
    expected = ((0.8 + 0.6 / 14) * (0.4 + 0.4 / 14) * (0.8 + 0.6 / 14)) ** (1 / 3)
    assert model.score(torch.tensor([[4, 5, END]])).tolist() == pytest.approx([expected])
    assert float(model.score(torch.tensor([[5, 4, END]]))[0]) < expected
