"""The leaderboard's file on a small folder in MIND's layout, and its metrics on hand-computed cases."""

import numpy as np
import pytest

import palate
from palate.contracts import models
from palate.core.errors import DataError
from palate.evaluation.mind_predictions import judge_predictions, rank_lists, read_lists, write_predictions, write_truth
from palate.features.plan import plan_content
from palate.metrics.impressions import grouped_metrics
from palate.training.fit import fit

TITLES = ("rowing final", "opera night", "rowing medal", "opera stage", "comet seen")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("mind")
    news = [f"N{row}\tsport\trow\t{title}\t\t\t[]\t[]" for row, title in enumerate(TITLES)]
    (place / "news.tsv").write_text("\n".join(news) + "\n")
    lines = [
        f"{number}\tU{number % 2}\t11/{9 + number // 3}/2019 {1 + number}:00:00 PM\tN4\t"
        f"N0-{number % 2} N1-{1 - number % 2} N3-0"
        for number in range(9)
    ]
    (place / "behaviors.tsv").write_text("\n".join(lines) + "\n")
    return place


def test_ranks_within_lists_break_ties_by_place():
    scores = np.array([0.1, 0.9, 0.9, 5.0, -1.0, 0.0])
    assert rank_lists(scores, np.array([3, 0, 3])).tolist() == [3, 1, 2, 1, 3, 2]
    assert rank_lists(np.zeros(0), np.zeros(0, np.int64)).tolist() == []


def test_files_are_read_and_judged_as_the_leaderboard_does(tmp_path):
    (tmp_path / "prediction.txt").write_text("1 [2,1,3]\n2 [1,2]\n3 [1]\n")
    (tmp_path / "truth.txt").write_text("1 [1,0,1]\n2 [0,1]\n3 [1]\n")
    found = judge_predictions(tmp_path / "prediction.txt", tmp_path / "truth.txt")
    # impression 1: positives at ranks 2 and 3 of 3; impression 2: at 2 of 2; impression 3 has one label
    gain = 1 / np.log2(3) + 1 / np.log2(4)
    expected = {
        "auc": 0.0,
        "mrr": ((1 / 2 + 1 / 3) / 2 + 1 / 2) / 2,
        "ndcg@5": (gain / (1 + 1 / np.log2(3)) + 1 / np.log2(3)) / 2,
    }
    for name, value in {**expected, "ndcg@10": expected["ndcg@5"]}.items():
        assert found[name] == pytest.approx(value), name
    (tmp_path / "short.txt").write_text("1 [2,1]\n2 [1,2]\n3 [1]\n")
    with pytest.raises(DataError, match="2 ranks for 3 articles"):
        judge_predictions(tmp_path / "short.txt", tmp_path / "truth.txt")
    (tmp_path / "missing.txt").write_text("1 [2,1,3]\n")
    with pytest.raises(DataError, match="lacks an impression"):
        judge_predictions(tmp_path / "missing.txt", tmp_path / "truth.txt")


@pytest.mark.parametrize("line", ["1 2,1", "1 [2;1]", "1"])
def test_lines_of_another_form_are_named(tmp_path, line):
    (tmp_path / "bad.txt").write_text(f"7 [1]\n{line}\n")
    with pytest.raises(DataError, match="row 2"):
        read_lists(tmp_path / "bad.txt")


def test_metrics_within_impressions_are_those_of_mind():
    labels = [1, 0, 1, 0, 0, 1, 1, 0, 0]
    scores = [0.9, 0.8, 0.7, 0.5, 0.5, 0.5, 0.1, 0.2, 0.3]
    found = grouped_metrics(labels, scores, [0, 0, 0, 0, 1, 1, 2, 3, 3])
    assert found["group_auc"][:2].tolist() == [0.75, 0.5], "three of four pairs; a tie is one half"
    assert found["mrr"][0] == pytest.approx((1 + 1 / 3) / 2), "the mean over positives, not the first alone"
    assert found["mrr"][1] in (1.0, 0.5), "a tie is broken by chance, the same each time"
    assert found["ndcg@5"][0] == pytest.approx((1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3)))
    assert all(np.isnan(found[name][2:]).all() for name in ("group_auc", "mrr", "ndcg@5", "ndcg@10")), "one label"


def test_a_ranker_writes_the_file_of_labelled_and_unlabelled_impressions(folder, tmp_path):
    data = palate.load(folder)
    model = models.get("nrms")(dim=4, heads=2, epochs=1, title_words=3, longest=2)
    fit(model, data, seed=0, content=plan_content(data).empty())
    truth, out = tmp_path / "truth.txt", tmp_path / "prediction.txt"
    assert write_truth(folder, truth) == write_predictions(model, folder, out) == 9
    labels, ranks = read_lists(truth), read_lists(out)
    assert labels["3"].tolist() == [1, 0, 0] and list(ranks) == list(labels)
    assert all(sorted(one.tolist()) == [1, 2, 3] for one in ranks.values())
    assert 0 <= judge_predictions(out, truth)["auc"] <= 1
    ranked = model.rank(["N0", "N1", "N3"], "U1", history=["N4"]).sort("item")["rank"].to_list()
    assert ranks["3"].tolist() == ranked, "the same order as one request"
    released = tmp_path / "released"
    released.mkdir()
    (released / "news.tsv").write_text((folder / "news.tsv").read_text() + "N9\tsport\trow\trowing again\t\t\t[]\t[]\n")
    (released / "behaviors.tsv").write_text(
        "1\tU7\t11/20/2019 1:00:00 PM\t\tN9 N0\n2\tU1\t11/20/2019 2:00:00 PM\tN4 N77\tN3\n"
    )
    assert write_predictions(model, released, out) == 2
    assert sorted(read_lists(out)["1"].tolist()) == [1, 2] and read_lists(out)["2"].tolist() == [1]
    (released / "behaviors.tsv").write_text("1\tU7\t11/20/2019 1:00:00 PM\t\tN9 N55\n")
    with pytest.raises(DataError, match="N55"):
        write_predictions(model, released, out)
    with pytest.raises(DataError, match="no click label"):
        write_truth(released, truth)
