"""Ratings by people: files of pairs and ratings with named errors, win rates and agreement by hand."""

import math

import numpy as np
import pytest

from palate.core.errors import DataError
from palate.evaluation.rating.pairs import RatingPair, read_pairs, write_pairs
from palate.evaluation.rating.ratings import Rating, RatingFile, check_rater, read_ratings
from palate.evaluation.rating.report import agreement, krippendorff_alpha, win_rates

PAIRS = [
    RatingPair("1", "plain, of course", 'with "quotes"\nand lines', "plain", "personal", "Which?", "Somebody"),
    RatingPair("2", "سجادة", "b2", "personal", "plain"),
    RatingPair("3", "a3", "b3", "plain", "personal"),
]


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.jsonl"])
def test_pairs_are_read_as_they_were_written(tmp_path, name):
    write_pairs(tmp_path / name, PAIRS)
    assert read_pairs(tmp_path / name) == PAIRS


def test_what_people_write_by_hand_is_read(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_bytes("\ufeffid, a,b\n1,x,y\n\n2, long one ,z\n".encode())
    assert read_pairs(file) == [RatingPair("1", "x", "y"), RatingPair("2", "long one", "z")]
    (tmp_path / "n.jsonl").write_text('{"id": 7, "a": "x", "b": "y", "context": null}\n\n')
    assert read_pairs(tmp_path / "n.jsonl") == [RatingPair("7", "x", "y")]


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("p.csv", "", "no pairs"), ("p.csv", "id,a,b\n", "no pairs"), ("p.csv", "a,b\nx,y\n", "'id': this column is m"),
        ("p.csv", "id,a,c,b\n1,x,y,z\n", "'c': this column is unknown"), ("p.csv", "id,a,a,b\n1,x,y,z\n", "twice"),
        ("p.csv", "id,a,b\n1,x\n", "row 1: 2 cells instead of 3"), ("p.csv", "id,a,b\n,x,y\n", "row 1, column 'id'"),
        ("p.csv", "id,a,b\n1,x,y\n1,z,w\n", "row 2.*also in row 1"), ("p.csv", "id,a,b\n1,x,\n", "row 1, column 'b'"),
        ("p.csv", "id,a,b,system_a,system_b\n1,x,y,m,m\n", "same system"),
        ("p.csv", "id,a,b,image_a\n1,x,y,../../etc/passwd\n", "outside of the folder"),
        ("p.csv", 'id,a,b\n1,"x,y\n', "CSV"), ("p.csv", f"id,a,b\n1,{'x' * 30_000},y\n", "too many"),
        ("p.jsonl", "{bad\n", "row 1: is not JSON"), ("p.jsonl", "[1]\n", "no JSON object"),
        ("p.jsonl", '{"id": "1", "a": ["x"], "b": "y"}\n', "row 1, column 'a'"), ("p.jsonl", '{"a": "x"}\n', "'id'"),
    ],
)  # fmt: skip
def test_wrong_files_of_pairs_are_named(tmp_path, name, text, words):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_pairs(file)
    assert str(file) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_pairs(tmp_path / "none.csv")
    (tmp_path / "p.csv").write_bytes(b"id,a,b\n1,\xff,y\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_pairs(tmp_path / "p.csv")
    with pytest.raises(DataError, match="no such file"):
        read_ratings(tmp_path / "none.jsonl", PAIRS)


def test_ratings_are_kept_and_the_last_one_of_a_person_counts(tmp_path):
    kept = RatingFile(tmp_path / "r.jsonl", PAIRS, seed=1)
    kept.add(Rating("1", "Ann", "a", "b", 3.5, 100.0))
    kept.add(Rating("2", "Ben", "tie"))
    kept.add(Rating("1", "Ann", "b", "b", 1.0, 101.0))
    with open(kept.path, "ab") as torn:
        torn.write(b'{"pair": "3", "ra')
    again = RatingFile(kept.path, PAIRS, seed=1)
    assert again.of("Ann") == {"1": Rating("1", "Ann", "b", "b", 1.0, 101.0)} and again.of("Cat") == {}
    assert len(read_ratings(kept.path, PAIRS)) == 2
    assert again.order("Ann") == kept.order("Ann") and sorted(kept.order("Ann")) == ["1", "2", "3"]
    lefts = [RatingFile(tmp_path / "r.jsonl", PAIRS, seed).left(rater, "1") for seed in range(20) for rater in "xyz"]
    assert 15 < lefts.count("a") < 45 and kept.left("Ann", "1") == again.left("Ann", "1")
    orders = {tuple(RatingFile(kept.path, PAIRS, seed).order("Ann")) for seed in range(20)}
    assert len(orders) > 3


@pytest.mark.parametrize(
    "line, words",
    [('{"pair": "9", "rater": "x", "choice": "a"}', "no such pair"),
     ('{"pair": "1", "rater": " ", "choice": "a"}', "rater"),
     ('{"pair": "1", "rater": null, "choice": "a"}', "rater"),
     ('{"pair": "1", "rater": "x", "choice": "left"}', "a, b or tie"), ('{"pair": "1", "rater": "x"}', "choice"),
     ('{"pair": "1", "rater": "x", "choice": "a", "seconds": "soon"}', "seconds"), ("[]", "no JSON object"),
     ('{"pair": "1", "rater": "x", "choice": "a", "colour": 1}', "unknown")],
)  # fmt: skip
def test_wrong_ratings_are_named(tmp_path, line, words):
    file = tmp_path / "r.jsonl"
    file.write_text('{"pair": "1", "rater": "x", "choice": "a"}\n' + line + "\n")
    with pytest.raises(DataError, match=words) as caught:
        read_ratings(file, PAIRS)
    assert caught.value.row == 2 and caught.value.file
    with pytest.raises(DataError):
        RatingFile(file, PAIRS)
    with pytest.raises(DataError, match="jsonl"):
        RatingFile(tmp_path / "r.csv", PAIRS)


def test_ratings_of_a_table_made_elsewhere(tmp_path):
    file = tmp_path / "r.csv"
    file.write_text("rater,pair,choice,seconds\nAnn,1,b,\nBen,2,a,4.5\n")
    assert [(one.rater, one.choice) for one in read_ratings(file, PAIRS)] == [("Ann", "b"), ("Ben", "a")]
    for wrong in ("", "x" * 81, "a\x00b"):
        with pytest.raises(DataError):
            check_rater(wrong)


def test_win_rates_by_hand():
    ratings = [
        Rating("1", "x", "b", "b"),
        Rating("1", "y", "b", "a"),
        Rating("2", "x", "tie"),
        Rating("3", "x", "a", "a"),
    ]
    (found,) = win_rates(PAIRS, ratings)
    # personal: pair 1 twice, pair 2 a tie, pair 3 lost; each pair counts the same
    assert (found.system, found.other) == ("personal", "plain") and found.rate == pytest.approx((1 + 0.5 + 0) / 3)
    assert (found.wins, found.losses, found.ties, found.pairs) == (2, 1, 1, 3)
    assert 0 <= found.low <= found.rate <= found.high <= 1 and found.p_value == pytest.approx(1)
    assert found.left == pytest.approx(2 / 3)
    one = win_rates(PAIRS, ratings[:1])[0]
    assert one.rate == 1 and math.isnan(one.low)
    with pytest.raises(DataError, match="nothing was rated"):
        win_rates(PAIRS, [])


def test_intervals_cover_the_true_rate():
    rng = np.random.default_rng(0)
    pairs = [RatingPair(str(n), "x", "y", "old", "new") for n in range(60)]
    covered = 0
    for trial in range(40):
        rates = [Rating(pair.id, "x", "b" if rng.random() < 0.7 else "a") for pair in pairs]
        (found,) = win_rates(pairs, rates, seed=trial)
        assert found.system == "new"
        covered += found.low <= 0.7 <= found.high
    assert covered >= 33


def test_agreement_is_that_of_krippendorff():
    # the reliability data of Krippendorff (2011), nominal alpha 0.743
    rows = [
        "123321412...",
        "12332241253.".replace("253.", "25.3"),
        ".33323422 51.".replace(" ", ""),
        "123324412 51.".replace(" ", ""),
    ]
    units = [[row[at] for row in rows if row[at] != "."] for at in range(12)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1 and math.isnan(krippendorff_alpha([["a", "a"], ["a"]]))
    assert krippendorff_alpha([["a", "b"]] * 50 + [["b", "a"]] * 50) < 0
    rng = np.random.default_rng(1)
    assert abs(krippendorff_alpha(rng.choice(list("abt"), (4000, 2)).tolist())) < 0.05
    found = agreement([Rating("1", "x", "a"), Rating("1", "y", "a"), Rating("2", "x", "b"), Rating("2", "y", "tie")])
    assert (found.same, found.pairs, found.raters) == (0.5, 2, 2)
