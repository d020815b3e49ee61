"""The commands rate-pairs and rate-report; rate itself is served for real and killed."""

import json
import os
import re
import signal
import subprocess
import sys
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from palate.contracts import generators
from palate.core.errors import ArtefactError, DataError, UnsupportedError
from palate.evaluation.rating.pairs import read_pairs


def test_pairs_of_a_run_are_rated_and_reported(call, ask, kin_run, tmp_path):
    run, _ = kin_run
    file, out = tmp_path / "pairs.csv", tmp_path / "ratings.jsonl"
    assert ask("rate-pairs", run, "--out", file, "--number", 5)["pairs"] == 5
    pairs = read_pairs(file)
    assert {(one.system_a, one.system_b) for one in pairs} == {("plain", "personal")}
    assert all(one.a != one.b and "took these" in one.context for one in pairs)
    with pytest.raises(ArtefactError, match="exists"):
        call("rate-pairs", run, "--out", file)
    with pytest.raises(UnsupportedError, match="pairs are made of texts"):
        call("rate-pairs", run, "--out", tmp_path / "banners.csv", "--kind", "banner")
    command = [sys.executable, "-m", "palate", "rate", str(file), "--out", str(out), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://\S+", process.stdout.readline())[0].rstrip(",")
        for rater, choice in (("x", "left"), ("x", "tie"), ("y", "right")):
            page = urlopen(f"{url}?rater={rater}").read().decode()
            pair = re.search(r'name="pair" value="([^"]*)"', page)[1]
            urlopen(url, urlencode({"rater": rater, "pair": pair, "choice": choice}).encode())
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    found = ask("rate-report", out, "--pairs", file)
    rate = found["win_rates"][0]
    assert (rate["wins"] + rate["losses"], rate["ties"]) == (2, 1) and found["agreement"]["raters"] == 2
    assert len(out.read_text().splitlines()) == 3, "every answer was on disk when the server was killed"
    assert "personal" in call("rate-report", out, "--pairs", file)
    out.write_text(json.dumps({"pair": "99", "rater": "x", "choice": "a"}))
    with pytest.raises(DataError, match="no such pair"):
        call("rate-report", out, "--pairs", file)


def test_a_user_who_took_everything_does_not_end_the_pairs(kin_run, monkeypatch):
    from palate.serving import rating_pairs
    from palate.serving.offline import OfflineRun

    recommended, asked = rating_pairs._recommended, list[str]()

    def first_has_none(run, user):
        asked.append(user)
        return [] if len(asked) == 1 else recommended(run, user)

    monkeypatch.setattr(rating_pairs, "_recommended", first_has_none)
    pairs = rating_pairs.personal_pairs(OfflineRun(kin_run[0]), generators.get("template")(), "headline", 2)
    assert len(pairs) == 2 and len(asked) > 2
