"""Content that is trained with a matcher: what is encoded when, the store's split points, resuming, learning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from trained_content import COLD, N_ITEMS, bits, catalogue, content, encoder_folder, tower

from palate.contracts import models
from palate.core.errors import ArtefactError
from palate.core.item_features import ItemFeatures
from palate.core.tuning import parse_tuning
from palate.features.encoders.pieces import WordPiece
from palate.features.item_content import ItemContent
from palate.features.plan import ContentPlan, plan_content
from palate.features.store import FeatureStore
from palate.features.trainable import FUSED, TrainableEncoders


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return encoder_folder(tmp_path_factory.mktemp("encoders"))


def make(name="vbpr", **settings):
    usual = {"dim": 8, "epochs": 2, "batch_size": 64, "lr": 0.01, "fused_dim": 8}
    return models.get(name)(**{**usual, **settings})


def ready(folder, tuning="full", fusion="late", split=None):
    data = catalogue(split)
    found, features = content(data, folder).fit(data.select_view(), data)
    return data, found, found.trainable(features, data.items, parse_tuning(tuning), fusion, 8)


def test_rows_are_encoded_apart_and_in_any_order(folder):
    for tuning, fusion in (("full", "late"), ("partial:1", "early"), ("prompt:2", "early"), ("frozen", "intermediate")):
        _, _, source = ready(folder, tuning, fusion)
        network = source.network.eval()
        with torch.no_grad():
            whole = network(source.inputs, torch.arange(N_ITEMS))
            for rows in (torch.tensor([9, 2, 5, 7]), torch.tensor([5])):
                for name, made in network(source.inputs, rows).items():
                    assert torch.allclose(made, whole[name][rows], atol=1e-5), (tuning, fusion)


def test_an_absent_modality_has_no_vector_and_an_item_with_one_of_two_is_present(folder):
    _, _, late = ready(folder)
    assert not late.vectors["text"].present[5] and not late.vectors["image"].present[7]
    assert not late.vectors["text"].values[5].any()
    _, _, early = ready(folder, "frozen", "early")
    assert early.vectors[FUSED].present.all()


def test_untrained_vectors_are_those_of_the_encoder(folder):
    data = catalogue()
    plain = content(data, folder)
    view = plain.view(data.select_view(), data)
    for tuning in ("full", "partial:1", "lora:2", "adapter:4"):
        _, _, source = ready(folder, tuning)
        assert np.allclose(source.vectors["text"].values, view.features["text"].values, atol=1e-5)
        assert source.vectors["image"] is source.inputs["image"], "what cannot be trained is not copied"


def test_only_the_rows_of_a_step_have_gradients_and_the_rest_is_of_the_last_evaluation(folder):
    _, _, source = ready(folder)
    held = ItemContent({name: found.dim for name, found in source.vectors.items()}, standardise=True)
    held.fit(ItemFeatures.of(source.vectors, N_ITEMS))
    held.attach_encoders(source)
    held.train()
    calls: list[int] = []
    source.network.register_forward_hook(lambda module, given, out: calls.append(len(given[1])))
    before = held.rows("text")[0].clone()
    held.encode_batch(torch.tensor([3, 1, 3]))
    assert calls == [2]
    values, present = held.rows("text", torch.tensor([0, 1, 5]))
    assert values.requires_grad and present.tolist() == [True, True, False]
    values.sum().backward()
    with torch.no_grad():
        for p in source.network.parameters():
            if p.grad is not None:
                p -= p.grad
    held.encode_batch(torch.tensor([1]))
    after = held.rows("text")[0]
    assert torch.equal(after[[0, 3]], before[[0, 3]]) and not torch.equal(after[1], before[1])
    calls.clear()
    held.eval()
    assert calls == [N_ITEMS], "all once"
    held.eval()
    held.train()
    assert calls == [N_ITEMS], "nothing changed since"
    assert not held.rows("text")[0].requires_grad and not torch.equal(held.rows("text")[0][0], before[0])
    weight, rows = torch.rand(4, 6), torch.arange(N_ITEMS)
    assert torch.allclose(held.linear("text", rows, weight)[0][:5], held.rows("text")[0][:5] @ weight.T, atol=1e-4)


def test_a_step_encodes_no_more_rows_than_it_may(folder):
    _, _, source = ready(folder)
    held = ItemContent({name: found.dim for name, found in source.vectors.items()}, standardise=False)
    held.fit(ItemFeatures.of(source.vectors, N_ITEMS))
    held.attach_encoders(source, limit=4)
    calls: list[int] = []
    source.network.register_forward_hook(lambda module, given, out: calls.append(len(given[1])))
    held.train()
    held.encode_batch(torch.arange(10))
    assert calls == [4]


def test_content_that_is_hidden_stays_hidden_while_it_is_trained(folder):
    _, _, source = ready(folder)
    held = ItemContent({name: found.dim for name, found in source.vectors.items()}, standardise=False)
    seen = np.arange(N_ITEMS) != 2
    visible = {name: found.mask_rows(seen) for name, found in source.vectors.items()}
    held.fit(ItemFeatures.of(visible, N_ITEMS))
    held.attach_encoders(source)
    held.load(ItemFeatures.of(visible, N_ITEMS))
    held.train()
    held.encode_batch(torch.tensor([0, 1]))
    held.eval()
    values, present = held.rows("text")
    assert not present[2] and present[0]
    held.load(ItemFeatures.of(source.vectors, N_ITEMS))
    assert held.present("text")[2] and bits(held.rows("text")[0][0]) == bits(values[0])


def dropping(source, dropout=0.6):
    held = ItemContent({name: found.dim for name, found in source.vectors.items()}, False, dropout)
    held.fit(ItemFeatures.of(source.vectors, N_ITEMS))
    held.attach_encoders(source)
    return held


def test_a_dropped_modality_has_no_gradient_and_nothing_is_dropped_afterwards(folder):
    _, _, source = ready(folder)
    held, rows = dropping(source), torch.arange(N_ITEMS)
    torch.manual_seed(0)
    held.train()
    masks = {name: held.present(name) for name in held.names}
    lost = torch.from_numpy(source.inputs["text"].present) & ~masks["text"]
    assert 0 < int(lost.sum()) < N_ITEMS and torch.stack([*masks.values()]).any(0).all(), "every item keeps one"
    held.encode_batch(lost.nonzero().squeeze(1))
    values, present = held.rows("text", rows)
    assert torch.equal(present, masks["text"]) and not values[lost].any()
    values.sum().backward()
    assert not any(p.grad.any() for p in source.network.parameters() if p.grad is not None)
    held.encode_batch(masks["text"].nonzero().squeeze(1))
    held.rows("text", rows)[0].square().sum().backward()
    assert any(p.grad.any() for p in source.network.parameters() if p.grad is not None)
    held.eval()
    for name in held.names:
        values, present = held.rows(name)
        assert torch.equal(present, torch.from_numpy(source.vectors[name].present))
        assert np.allclose(values.numpy(), source.vectors[name].values, atol=1e-6)


@pytest.mark.parametrize("fusion", ["intermediate", "early"])
def test_a_modality_is_dropped_before_fusion(folder, fusion):
    _, _, source = ready(folder, "frozen", fusion)
    held, rows = dropping(source), torch.arange(N_ITEMS)
    whole = held.eval().rows(FUSED)[0].clone()
    torch.manual_seed(0)
    held.train()
    during, present = (part.clone() for part in held.rows(FUSED))
    assert present.all(), "every item keeps one"
    moved = (during - whole).abs().amax(1) > 1e-5
    assert 0 < int(moved.sum()) < N_ITEMS and not moved[[5, 7]].any(), "5 and 7 have one modality"
    held.encode_batch(rows)
    fresh = held.rows(FUSED)[0]
    assert fresh.requires_grad and torch.allclose(fresh, during, atol=1e-5), "a step reads what the epoch drew"
    torch.manual_seed(1)
    assert not torch.equal(held.train().rows(FUSED)[0], during), "every epoch draws again"
    assert torch.allclose(held.eval().rows(FUSED)[0], whole, atol=1e-5)


def test_the_store_keeps_split_points_by_the_weights_below_them(folder, tmp_path, monkeypatch):
    store = FeatureStore(tmp_path / "store")
    data = catalogue()

    def adapt(tuning, encoder=None, fusion="late"):
        found, features = ContentPlan(content(data, folder).features, store).fit(data.select_view(), data)
        if encoder is not None:
            found = replace(found, encoders={**found.encoders, "text": encoder})
        return found.trainable(features, data.items, parse_tuning(tuning), fusion, 8)

    states = adapt("partial:1").inputs["text"]
    assert states.kind == "tokens" and states.values.shape[1] == 8 and len(states) == N_ITEMS
    other = tower()
    weights = {name: torch.from_numpy(np.array(value)) for name, value in other.state()[0].items()}
    weights["head.weight"] += 1
    weights["tower.layers.layers.1.linear1.weight"] += 1
    kept = tower().load_weights(weights, "other head")
    with monkeypatch.context() as patch:
        patch.setattr(
            WordPiece, "embed", lambda self, contents: 1 / 0 if len(contents) > 1 else np.ones((1, 8), np.float32)
        )
        assert adapt("partial:1", kept).inputs["text"].identity == states.identity, "nothing is encoded again"
    weights["tower.words.weight"] += 1
    assert adapt("partial:1", tower().load_weights(weights, "x")).inputs["text"].identity != states.identity
    assert adapt("partial:2").inputs["text"].identity != states.identity


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_killed_training_of_content_resumes_to_the_same_bits(folder, tmp_path, monkeypatch, dropout):
    import palate.training.loop as loop

    settings = {"tuning": "lora:2", "fusion": "early", "epochs": 3, "modality_dropout": dropout}
    data = catalogue(COLD)
    whole = make(**settings).fit(data, content=content(data, folder))
    seen = []
    real = loop._PhaseRun.epoch

    def killed(self):
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(self)

    options = {"checkpoint": tmp_path / "work", "checkpoint_seconds": 0.0}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop._PhaseRun, "epoch", killed)
        make(**settings).fit(data, content=content(data, folder), **options)
    again = make(**settings).fit(data, content=content(data, folder), **options)
    a, b = whole.state_dict(), again.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a) and a.keys() == b.keys()
    assert whole.deployment.content.trained.identity == again.deployment.content.trained.identity


def test_training_a_random_tower_learns_to_rank_new_items_by_their_titles(folder):
    """Taste is one word of a title, which a random tower drowns in the others."""
    data = catalogue(COLD, n_items=90)
    split = data.split.test_candidates
    scores = {}
    for tuning in ("frozen", "full"):
        model = make(epochs=40, lr=0.02, reg=0.0, tuning=tuning)
        model.fit(data, content=plan_content(data, {"text": folder, "image": "none"}), metric="ndcg@10")
        table = model.scorer().score(data.select_view().user_batch(np.arange(30))).numpy()
        cold = np.flatnonzero(split & model.deployment.features["text"].present)
        own = np.arange(30)[:, None] % 3 == cold[None] % 3
        scores[tuning] = float(
            np.mean([(table[u, cold][own[u]][:, None] > table[u, cold][~own[u]][None]).mean() for u in range(30)])
        )
    assert scores["full"] > 0.9 and scores["full"] > scores["frozen"], scores


def test_a_missing_modality_is_dropped_before_fusion(folder):
    data = catalogue()
    model = make(tuning="frozen", fusion="intermediate").fit(data, content=content(data, folder))
    fitted, features, everyone = model.deployment.content, model.deployment.features, np.ones(N_ITEMS, bool)
    found = fitted.drop_modalities(features, data.items, {"image": everyone})[FUSED]
    assert found.present.sum() == N_ITEMS - 1, "the item without a text has nothing left"
    assert not np.array_equal(found.values, features[FUSED].values)
    complete = fitted.drop_modalities(features, data.items, {"image": ~everyone})[FUSED]
    assert np.allclose(complete.values, features[FUSED].values, atol=1e-6)


def test_weights_of_another_tuning_are_refused(folder, tmp_path):
    _, found, source = ready(folder, "lora:2")
    source.network.save(tmp_path / "adapted")
    back = TrainableEncoders.load(tmp_path / "adapted", found.encoders)
    assert back.identity == source.network.identity
    text = (tmp_path / "adapted" / "adapted.json").read_text()
    (tmp_path / "adapted" / "adapted.json").write_text(text.replace("lora:2", "adapter:2"))
    with pytest.raises(ArtefactError, match="do not fit"):
        TrainableEncoders.load(tmp_path / "adapted", found.encoders)


def test_a_service_of_trained_content_searches_beside_given_vectors(folder, tmp_path):
    """A query has no given vectors; its text is encoded as that of an item."""
    from palate.core.errors import UnsupportedError
    from palate.serving.content_similarity import SearchQuery, content_similarity, text_cosines
    from palate.serving.snapshot_builder import open_snapshot

    data = catalogue()
    make(tuning="full").fit(data, content=content(data, folder)).save(tmp_path / "run")
    snapshot = open_snapshot(tmp_path / "run")
    title = next(text for text in data.items.frame["title"].to_list() if text)
    cosines = text_cosines(snapshot, title)
    assert np.nanargmax(cosines) == data.items.frame["title"].to_list().index(title)
    with pytest.raises(UnsupportedError, match="reads no images"):
        content_similarity(snapshot, SearchQuery(image=b"image"))
