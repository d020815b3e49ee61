"""Errors say where and what to do; registries answer a typo; random streams depend on their names alone."""

from __future__ import annotations

import inspect
import logging
import sys

import numpy as np
import pytest
import torch
from pydantic import Field

import palate.core.errors as errors
from palate.core import progress as bars
from palate.core.config import ModelConfig, parse_config
from palate.core.content import Features, check_finite, concat, pad_rows
from palate.core.errors import ConfigError, FeatureError, MissingDependencyError, PalateError, did_you_mean
from palate.core.registry import Registry
from palate.core.seeding import isolated, rng_for, seed_torch, torch_stream


def test_an_error_names_the_place_and_the_remedy():
    error = PalateError("is empty", file="a.csv", row=3, column="title", key="x", hint="fill it")
    assert str(error) == "file 'a.csv', row 3, column 'title', key 'x': is empty -> fill it"
    assert (error.file, error.row, error.column, error.key, error.hint) == ("a.csv", 3, "title", "x", "fill it")
    assert str(PalateError("plain")) == "plain"
    assert "row 0" in str(PalateError("x", row=0))


def test_every_error_is_one_family():
    kinds = [k for _, k in inspect.getmembers(errors, inspect.isclass) if issubclass(k, Exception)]
    assert len(kinds) >= 7 and all(issubclass(kind, PalateError) and kind.__doc__ for kind in kinds)
    assert "pip install 'palate[encoders]'" in str(MissingDependencyError("av", "encoders"))


def test_hints_offer_the_closest_name_or_all():
    assert did_you_mean("lightgnc", ["lightgcn", "ease"]) == "did you mean lightgcn?"
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"


class Settings(ModelConfig):
    width: int = Field(4, ge=1)
    names: tuple[str, ...] = ()


def test_settings_are_checked_by_name():
    assert parse_config(Settings, {"width": 2, "names": ["a"]}, "m").names == ("a",)
    with pytest.raises(ConfigError, match="did you mean width") as caught:
        parse_config(Settings, {"widht": 2}, "m")
    assert caught.value.key == "widht"
    with pytest.raises(ConfigError) as caught:
        parse_config(Settings, {"width": 0}, "m")
    assert caught.value.key == "width" and "0" in caught.value.message


def test_registry_finds_refuses_and_suggests():
    shelf: Registry[type] = Registry("thing", ())

    @shelf.register("first")
    class First:
        pass

    assert shelf.get("first") is First and shelf.names() == ["first"] and dict(shelf.items()) == {"first": First}
    with pytest.raises(ConfigError, match="did you mean first") as caught:
        shelf.get("frist")
    assert caught.value.key == "frist" and "unknown thing" in caught.value.message
    with pytest.raises(ConfigError, match="two things claim"):
        shelf.register("first")(int)


def test_registry_imports_files_on_demand(tmp_path, monkeypatch):
    package = tmp_path / "shelfpackage"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from palate.core.registry import Registry\nshelf = Registry('x', ('shelfpackage',))\n"
    )
    body = "from shelfpackage import shelf\n@shelf.register('{0}')\ndef {0}(): ...\n"
    for name in ("one", "two"):
        (package / f"{name}.py").write_text(body.format(name))
    (package / "_private.py").write_text("raise RuntimeError('helpers are not things')")
    monkeypatch.syspath_prepend(str(tmp_path))
    import shelfpackage

    assert shelfpackage.shelf.get("two").__name__ == "two"
    assert "shelfpackage.one" not in sys.modules
    assert shelfpackage.shelf.names() == ["one", "two"]


def test_streams_depend_on_seed_and_names_alone():
    first = rng_for(1, "a", 2).random(4)
    np.random.default_rng().random(3)
    assert np.array_equal(rng_for(1, "a", 2).random(4), first)
    for other in (rng_for(2, "a", 2), rng_for(1, "a", 3), rng_for(1, "a2"), rng_for(1)):
        assert not np.array_equal(other.random(4), first)
    assert torch.equal(torch.rand(3, generator=torch_stream(1, "x")), torch.rand(3, generator=torch_stream(1, "x")))


def test_isolated_work_leaves_the_callers_generator_alone():
    @isolated
    def work(value: int) -> torch.Tensor:
        seed_torch(3, "work")
        return torch.rand(2) + value

    torch.manual_seed(9)
    expected = torch.rand(2)
    torch.manual_seed(9)
    first = work(1)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(work(1), first)


def test_quiet_progress_says_nothing(capfd, caplog, monkeypatch):
    monkeypatch.setenv("PALATE_PROGRESS", "quiet")
    with caplog.at_level(logging.INFO, logger="palate"):
        assert list(bars.track(range(3), "work")) == [0, 1, 2]
    assert not caplog.records and capfd.readouterr() == ("", "")


def test_plain_progress_logs_lines_with_the_end(caplog, monkeypatch, capfd):
    monkeypatch.setenv("PALATE_PROGRESS", "plain")
    with caplog.at_level(logging.INFO, logger="palate"), bars.progress("work", 3) as advance:
        for step in range(3):
            advance(1, f"note {step}")
    assert caplog.messages == ["work: 3/3 note 2"]
    assert capfd.readouterr().out == ""


def test_progress_mode_follows_setting_and_environment(monkeypatch):
    monkeypatch.delenv("PALATE_PROGRESS", raising=False)
    monkeypatch.setattr(bars, "_mode", "auto")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert bars.resolved_mode() == "plain"
    bars.set_mode("quiet")
    assert bars.resolved_mode() == "quiet"
    monkeypatch.setenv("PALATE_PROGRESS", "plain")
    assert bars.resolved_mode() == "plain"


def test_a_terminal_bar_runs_to_its_end(monkeypatch, capfd):
    monkeypatch.setenv("PALATE_PROGRESS", "terminal")
    with bars.progress("work", 2) as advance:
        advance(1, "half")
        advance()
    assert capfd.readouterr().out == ""


def test_features_hide_take_join_and_pad():
    found = Features(np.arange(6, dtype=np.float32).reshape(3, 2), np.array([True, False, True]), identity="e")
    assert found.dim == 2 and len(found) == 3
    hidden = found.mask_rows(np.array([True, True, False]))
    assert hidden.present.tolist() == [True, False, False] and not hidden.values[2].any() and found.values[2].any()
    assert found.take(np.array([2, 0])).values[:, 0].tolist() == [4, 0]
    assert len(concat(found, found)) == 6 and pad_rows(found, 2).present.tolist() == [True, False, True, False, False]
    with pytest.raises(FeatureError):
        concat(found, Features(found.values, found.present, identity="other"))
    with pytest.raises(FeatureError, match="3 rows of values but a mask of 2"):
        Features(found.values, np.ones(2, bool))


def test_token_features_are_taken_by_row():
    found = Features(np.arange(8.0).reshape(4, 2), np.array([True, False, True]), "tokens", np.array([1, 0, 3]))
    taken = found.take(np.array([2, 1]))
    assert taken.lengths.tolist() == [3, 0] and taken.values.shape == (3, 2)
    with pytest.raises(FeatureError):
        found.mask_rows(np.ones(3, bool))


def test_a_present_vector_that_is_not_finite_is_refused_where_it_is():
    values = np.zeros((10_000, 3), np.float32)
    values[9_000, 1], values[5, 0] = np.inf, np.nan
    present = np.ones(len(values), bool)
    present[5] = False
    with pytest.raises(FeatureError) as caught:
        check_finite(Features(values, present), "image")
    assert (caught.value.row, caught.value.column, caught.value.key) == (9_001, "1", "image")
    present[9_000] = False
    check_finite(Features(values, present), "image")
