"""Models x seeds: selection before test, resuming, axes, missing content, paired tests, the result files."""

import ctypes
import json
import mmap

import numpy as np
import pytest
from shop_frames import make_shop

import palate.evaluation.compare_cells as module
from palate.core.batch import RaggedArray
from palate.core.errors import ArtefactError, ConfigError, UnsupportedError
from palate.core.seeding import seed_torch
from palate.core.tuning import parse_tuning
from palate.evaluation.compare import compare
from palate.evaluation.compare_report import markdown, p_text
from palate.evaluation.memory import peak, reset_peak
from palate.evaluation.missing import hide_content
from palate.evaluation.sweep import sweep_rows
from palate.features.plan import ContentPlan, plan_content
from palate.features.trainable import FUSED
from palate.metrics.bootstrap import compare_paired, holm
from palate.training.deployment import Deployment

LIGHT = {"text": "tfidf", "image": "image_stats"}
MODELS = ("popularity", "ease:l2=50", "ease_content:l2=50;prior=0.1;widen=0;k=3")


def run(data, models, out, **options):
    return compare(data, models, out, encoders=LIGHT, resamples=500, **{"seeds": (0,), **options})


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    """Three models, two draws of cold items, whole and half missing content."""
    out = tmp_path_factory.mktemp("cold")
    data = make_shop(150, 60, split="item_cold")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PALATE_CACHE", str(out / "cache"))
        return data, out, run(data, MODELS, out, seeds=(0, 1), missing=(0.0, 1.0), baseline="ease:l2=50")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Openings of test are counted from zero."""
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path / "cache"))


def test_selection_is_written_before_test_is_opened(tmp_path, monkeypatch):
    opened = []
    real = type(make_shop()).test_queries

    def watched(self):
        opened.append(json.loads((tmp_path / "selection.json").read_text()))
        return real(self)

    monkeypatch.setattr("palate.data.dataset.Dataset.test_queries", watched)
    run(make_shop(), ["popularity", "bpr:epochs=1;dim=4"], tmp_path, seeds=(0, 1))
    assert len(opened) == 3, "the seed changes nothing for a model that counts: it is run once"
    for chosen in opened:
        cells = [(cell["model"], cell["seed"]) for cell in chosen]
        assert cells == [("popularity", 0)] * 2 + [("bpr:epochs=1;dim=4", 0), ("bpr:epochs=1;dim=4", 1)]
        assert all(cell["valid"] is not None for cell in chosen)


def test_finished_cells_are_not_fitted_or_opened_again(tmp_path, monkeypatch):
    first = run(make_shop(), MODELS[:2], tmp_path)
    monkeypatch.setattr(module, "fit", _never)
    monkeypatch.setattr(module, "evaluate", _never)
    again = run(make_shop(), MODELS[:2], tmp_path)
    assert again["table"] == first["table"] and again["tests"] == first["tests"]
    assert again["openings_of_test"] == 1


def test_a_killed_opening_leaves_no_half_file(tmp_path, monkeypatch):
    def killed(*arguments, **arrays):
        arguments[0].write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", killed)
        with pytest.raises(KeyboardInterrupt):
            run(make_shop(), MODELS[:1], tmp_path)
    assert not list(tmp_path.rglob("test-*.npz"))
    result = run(make_shop(), MODELS[:1], tmp_path)
    assert result["openings_of_test"] == 1 and result["tests"] == {}


def test_adding_a_model_afterwards_counts_as_another_opening(tmp_path):
    assert run(make_shop(), MODELS[:1], tmp_path)["openings_of_test"] == 1
    assert run(make_shop(), MODELS[:2], tmp_path)["openings_of_test"] == 2
    assert run(make_shop(), MODELS[:2], tmp_path)["openings_of_test"] == 2
    assert run(make_shop(), MODELS[:2], tmp_path / "other")["openings_of_test"] == 3, "in another folder"


def test_other_code_is_another_cell(tmp_path, monkeypatch):
    run(make_shop(), MODELS[:1], tmp_path)
    monkeypatch.setattr(module, "code_version", lambda: "changed")
    monkeypatch.setattr(module, "fit", _never)
    with pytest.raises(AssertionError):
        run(make_shop(), MODELS[:1], tmp_path)


def test_the_table_says_what_its_intervals_count(cold, tmp_path):
    assert "count users and draws of the split (Student's t, 2 draws" in markdown(cold[2])
    assert "count users only" in markdown(run(make_shop(), MODELS[:2], tmp_path))


def test_other_data_are_other_cells(tmp_path):
    run(make_shop(), MODELS[:1], tmp_path)
    with pytest.raises(ArtefactError, match="a comparison on other data"):
        run(make_shop(n_users=20), MODELS[:1], tmp_path)
    run(make_shop(n_users=20), MODELS[:1], tmp_path, overwrite=True)
    assert len(list(tmp_path.glob("cells/*/cell.json"))) == 2


def test_a_seed_draws_the_split_in_cold_protocols(cold):
    data, out, result = cold
    cells = json.loads((out / "selection.json").read_text())
    assert result["split"].startswith("item_cold")
    held = [data.with_split(data.spec.model_copy(update={"seed": seed})).test_queries() for seed in (0, 1)]
    assert not np.array_equal(held[0].candidates, held[1].candidates)
    for cell in cells:
        with np.load(out / "cells" / cell["key"] / "test-0.npz") as saved:
            assert len(saved["recall@20"]) == len(held[cell["seed"]])


def test_rows_are_means_over_seeds(cold):
    _, out, result = cold
    cells = {(cell["model"], cell["seed"]): cell for cell in json.loads((out / "selection.json").read_text())}
    for row in result["table"]:
        name = f"test-missing-{row['missing']:g}.npz" if "missing" in row else "test-0.npz"
        means = []
        for seed in (0, 1):
            with np.load(out / "cells" / cells[row["model"], seed]["key"] / name) as saved:
                means.append(saved["ndcg@10"].mean())
        assert row["ndcg@10"] == pytest.approx(np.mean(means))
        assert row["ndcg@10 sd"] == pytest.approx(np.std(means, ddof=1))
        assert row["ndcg@10 by seed"] == pytest.approx(means)


def test_missing_content_hurts_only_models_that_read_content(cold):
    result = cold[2]
    rows = {(row["model"], row.get("missing", 0)): row for row in result["table"]}
    assert set(rows) == {(model, rate) for model in MODELS for rate in (0, 1.0)}
    for model in MODELS[:2]:
        assert rows[model, 0]["ndcg@10"] == rows[model, 1.0]["ndcg@10"]
    assert rows[MODELS[2], 1.0]["ndcg@10"] < rows[MODELS[2], 0]["ndcg@10"]


def test_a_sweep_leaves_a_table_a_plot_and_tests_by_rate(cold):
    _, out, result = cold
    assert set(result["tests by rate"]) == {"0", "1"} and result["tests by rate"]["0"] == result["tests"]
    text, plot = (out / "missing.md").read_text(), (out / "missing.svg").read_text()
    assert "| model | 0% | 100% |" in text and "(100%)" in text
    assert plot.lstrip().startswith("<?xml") and all(model in plot for model in MODELS)
    kept = sweep_rows(result)[MODELS[2]][1.0]
    assert kept["kept"] == pytest.approx(kept["mean"] / sweep_rows(result)[MODELS[2]][0.0]["mean"])


class _Told:
    """Stands in for a model: remembers the content it is handed."""

    def __init__(self, data, content, features):
        self.name, self.content = "stand-in", None
        seen = RaggedArray.build(data.positives.users, data.positives.items, data.n_users)
        self.deployment = Deployment(data.items, data.users.ids, seen, content, features, {})

    def update_items(self, features):
        self.content = features


def _hidden(data, content, features, rate, **options):
    model = _Told(data, content, features)
    hide_content(model, data, rate, 3, **options)
    return model.content


def test_whole_modalities_of_candidates_are_missing_and_the_last_one_stays():
    data = make_shop(150, 60, split="item_cold")
    content, features = plan_content(data, LIGHT).fit(data.select_view(), data, fields=True)
    cold = data.split.test_candidates
    some, more = (_hidden(data, content, features, rate) for rate in (0.4, 0.8))
    single = [name for name in features if len(features.sources[name]) == 1]
    lost: dict[tuple[str, ...], np.ndarray] = {}
    for name in single:
        had, left = features[name].present, some[name].present
        assert not (left & ~had).any() and np.array_equal(left[~cold], had[~cold]), "what it was fitted on stays"
        assert not (more[name].present & ~left).any(), "gaps only grow with the rate"
        lost.setdefault(features.sources[name], np.zeros(len(had), bool))[had & ~left] = True
    for name in single:
        assert not some[name].present[lost[features.sources[name]]].any(), "with a modality go all its features"
    assert all(0 < rows.sum() < cold.sum() for rows in lost.values())
    had, left = (np.any([found[name].present for name in single], axis=0) for found in (features, more))
    assert np.array_equal(had, left), "the last one stays"


def test_only_named_modalities_may_be_missing():
    data = make_shop(150, 60, split="item_cold")
    content, features = plan_content(data, LIGHT).fit(data.select_view(), data)
    found = _hidden(data, content, features, 1.0, modalities=["image"])
    cold = data.split.test_candidates
    assert np.array_equal(found["text"].present, features["text"].present)
    assert not (found["image"].present & cold & features["text"].present).any()
    with pytest.raises(ConfigError, match="no such modality"):
        _hidden(data, content, features, 1.0, modalities=["imige"])


def test_columns_read_together_are_encoded_again_without_what_is_missing():
    data = make_shop(150, 60, split="item_cold")
    column = {kind: data.items.columns(kind)[0] for kind in ("text", "attributes")}
    plan = plan_content(data, LIGHT)
    plan = ContentPlan(plan.features, plan.store, {"both": ("text", "hash?dim=32", tuple(column.values()))})
    content, features = plan.fit(data.select_view(), data, fields=True)
    assert features.sources["both"] == ("text", "attributes")
    gone = {"text": np.arange(len(data.items)) == 4}
    left = content.drop_modalities(features, data.items, gone)["both"]
    alone = content.encoders["both"].encode(data.items.raw("text", np.array([4]), (column["attributes"],)))
    assert np.array_equal(left.values[4], alone.values[0]) and left.present[4] == alone.present[0]
    assert np.array_equal(np.delete(left.values, 4, 0), np.delete(features["both"].values, 4, 0))


def test_gaps_reach_content_that_has_met_and_are_filled_before_it_does():
    data = make_shop(150, 60, split="item_cold")
    cold, found = data.split.test_candidates, {}
    for kind in ("none", "ridge"):
        content, features = plan_content(data, LIGHT).fit(data.select_view(), data, impute=kind)
        seed_torch(0, "met")
        trainable = content.trainable(features, data.items, parse_tuning("frozen"), "intermediate", 8)
        content, features = content.finalize(trainable)
        whole = features[FUSED]
        found[kind] = _hidden(data, content, features, 1.0, modalities=["image"])[FUSED]
        moved = np.abs(found[kind].values - whole.values).max(1) > 1e-4
        assert moved[cold].any() and not moved[~cold].any() and np.array_equal(found[kind].present, whole.present)
    assert np.abs(found["none"].values - found["ridge"].values)[cold].max() > 1e-3


def test_a_chance_beyond_one_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        run(make_shop(), ["popularity"], tmp_path, missing=(0.0, 30.0))


def test_differences_are_paired_and_holm_adjusted(cold):
    _, out, result = cold
    tests = result["tests"]["capped_recall@20"]
    assert set(tests) == {MODELS[0], MODELS[2]}
    cells = {(cell["model"], cell["seed"]): cell["key"] for cell in json.loads((out / "selection.json").read_text())}

    def values(model):
        return [np.load(out / "cells" / cells[model, s] / "test-0.npz")["capped_recall@20"] for s in (0, 1)]

    alone = {model: compare_paired(values(model), values(MODELS[1])) for model in tests}
    for model, found in tests.items():
        assert found["difference"] == pytest.approx(alone[model].difference)
        assert found["p_value"] == alone[model].p_value and found["n_draws"] == 2
    adjusted = holm([alone[model].p_value for model in tests])
    assert [tests[model]["p_adjusted"] for model in tests] == pytest.approx(list(adjusted))


def test_seeds_on_one_split_are_not_more_users(tmp_path):
    data = make_shop()
    result = run(data, MODELS[:2], tmp_path, seeds=(0, 1))
    (found,) = result["tests"]["recall@20"].values()
    assert found["n_users"] == len(data.test_queries()) and (found["n_draws"], found["n_seeds"]) == (1, 2)


def test_the_baseline_is_the_best_without_content(tmp_path):
    result = run(make_shop(), MODELS, tmp_path)
    valid = {row["model"]: row["valid"] for row in result["table"]}
    assert result["baseline"] == max(MODELS[:2], key=lambda model: valid[model])


def test_result_files(cold):
    _, out, result = cold
    saved = json.loads((out / "result.json").read_text())
    assert saved["table"] == json.loads(json.dumps(result["table"]))
    assert saved["openings_of_test"] == 1 and saved["seeds"] == [0, 1] and saved["mask"] == "train"
    assert set(saved["selected"]) == {f"{model} seed {seed}" for model in MODELS for seed in (0, 1)}
    text = (out / "result.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 6 and len({line.count("|") for line in table}) == 1
    assert "(missing 1)" in text and "baseline" in text and "Holm" in text


def test_markdown_shows_difference_interval_and_p(cold):
    result = cold[2]
    test = result["tests"]["capped_recall@20"][MODELS[2]]
    shown = f"{test['difference']:+.4f} [{test['low']:+.4f}, {test['high']:+.4f}] ({p_text(test['p_adjusted'])})"
    assert shown in markdown(result)


def test_tiny_p_values_are_a_bound():
    assert (p_text(1e-30), p_text(0.0421), p_text(1.0)) == ("<0.0001", "0.042", "1")


def test_an_axis_runs_every_model_with_every_value(tmp_path):
    axes = {"prior": ["0", "0.1"], "k": ["2", "3"]}
    result = run(make_shop(), ["ease_content:l2=50;widen=0"], tmp_path, axes=axes)
    base = "ease_content:l2=50;widen=0;"
    assert [row["model"] for row in result["table"]] == [
        base + f"prior={prior};k={k}" for prior in ("0", "0.1") for k in ("2", "3")
    ]
    first, second = (result["table"][row]["ndcg@20 by seed"] for row in (0, 1))
    assert first == second, "without a prior the number of neighbours changes nothing"


def test_an_axis_leaves_models_without_the_setting_as_they_are(tmp_path, monkeypatch):
    axes = {"tuning": ["frozen"], "fusion": ["late", "intermediate"]}
    light = "vbpr:dim=4;fused_dim=4;epochs=1"
    result = run(make_shop(), ["popularity", light], tmp_path, axes=axes)
    names = [row["model"] for row in result["table"]]
    assert names == ["popularity", f"{light};tuning=frozen;fusion=late", f"{light};tuning=frozen;fusion=intermediate"]
    assert result["baseline"] == "popularity"
    counted, late, fused = result["table"]
    assert 0 == counted["trained"] < late["trained"] < fused["trained"]
    assert counted["content MiB"] == 0 < late["content MiB"] and counted["stored MiB"] < late["stored MiB"]
    assert "| trained | stored MiB |" in markdown(result) and f"| {fused['trained']:,} |" in markdown(result)
    monkeypatch.setattr(module, "fit", _never)
    with pytest.raises(ConfigError, match="none of the models"):
        run(make_shop(), ["popularity", light], tmp_path, axes={"tunning": ["full"]})
    with pytest.raises(UnsupportedError, match="vbpr"):
        run(make_shop(), ["content_knn", light], tmp_path, axes={"tuning": ["frozen", "full"]})


def test_an_unknown_setting_or_preset_is_refused_before_anything_is_fitted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "fit", _never)
    for wrong in ("ease:l3=1", "ease@nope", "ease:l2", "eese"):
        with pytest.raises(ConfigError):
            run(make_shop(), ["popularity", wrong], tmp_path)
    with pytest.raises(ConfigError, match="baseline"):
        run(make_shop(), ["popularity"], tmp_path, baseline="ease")


def test_peak_memory_is_of_the_stretch_since_the_reset():
    _touch(60_000_000)
    before = reset_peak()
    low = peak() - before
    held = _touch(40_000_000)
    assert peak() - before >= low + 0.9 * len(held)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library keeps what is freed")
def test_what_was_freed_before_is_not_held():
    parts, last = [bytearray(50_000) for _ in range(2000)], bytearray(50_000)
    held = reset_peak()
    parts.clear()
    assert held - reset_peak() > 0.8 * 2000 * len(last)


def _touch(size):
    """Fresh pages from the system: an allocator may hand out memory that it kept."""
    pages = mmap.mmap(-1, size)
    np.frombuffer(pages, np.uint8)[:] = 1
    return pages


def _never(*arguments, **options):
    raise AssertionError("called")


def test_a_wrong_argument_leaves_no_folder(tmp_path):
    for wrong in ({"models": ["esae"]}, {"models": ["ease"], "seeds": 0}, {"models": ["ease"], "baseline": "bpr"}):
        with pytest.raises(ConfigError):
            compare(make_shop(), out=tmp_path / "out", **wrong)
    assert not any(tmp_path.iterdir())
