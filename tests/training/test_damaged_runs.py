"""Runs that were tampered with, their checksums made right again: each is refused, naming the file."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import palate
from palate.core.content import Features
from palate.core.errors import ArtefactError
from palate.core.files import folder_digests, read_json, read_tensors, write_tensors
from palate.training.erase import erase_user
from palate.training.manifest import reading

N = 12


def fitted(name):
    rng = np.random.default_rng(0)
    pairs = [(f"u{user}", f"i{item}") for user in range(9) for item in rng.permutation(N)[:5]]
    items = pl.DataFrame({"item": [f"i{row}" for row in range(N)], "title": [f"red lamp {row}" for row in range(N)]})
    image = Features(rng.normal(size=(N, 5)).astype(np.float32), np.ones(N, bool))
    log = pl.DataFrame(pairs, schema=["user", "item"], orient="row")
    data = palate.Dataset.from_frames(items, log, features={"image": image}, split="random")
    return getattr(palate.models, name)(**({"dim": 4, "epochs": 1} if name == "VBPR" else {})).fit(data)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {name: fitted(name).save(folder / name) for name in ("VBPR", "ContentKNN", "Popularity")}


def seal(run):
    """Make the checksums right, as whoever tampers on purpose does."""
    manifest = read_json(run / "manifest.json")
    found = folder_digests(run)
    manifest["files"] = {name: digest for name, digest in found.items() if name != "manifest.json"}
    (run / "manifest.json").write_text(json.dumps(manifest))


def edit(name, change):
    def tamper(run):
        value = read_json(run / name)
        change(value)
        (run / name).write_text(json.dumps(value))

    return tamper


def text(name, value):
    return lambda run: (run / name).write_text(value)


def tensors(name, change):
    def tamper(run):
        value = dict(read_tensors(run / name))
        change(value)
        write_tensors(run / name, value)

    return tamper


def put(key, value):
    return lambda facts: facts.__setitem__(key, value)


def drop(key):
    return lambda facts: facts.pop(key)


BEFORE_SEALING = {
    "config: not YAML": text("config.yaml", "model: [vbpr"),
    "config: a list": text("config.yaml", "- vbpr"),
    "config: empty": text("config.yaml", ""),
    "config: no settings": text("config.yaml", "model: vbpr\n"),
    "config: another model": text("config.yaml", "model: never_heard_of\nsettings: {}\n"),
    "config: unknown setting": text("config.yaml", "model: vbpr\nsettings: {colour: red}\n"),
    "config: wrong size": text("config.yaml", "model: vbpr\nsettings: {dim: 5}\n"),
    "config: an object": text("config.yaml", "!!python/object/apply:os.system ['true']"),
    "weights: one missing": tensors("model.safetensors", lambda found: found.pop(next(iter(found)))),
    "weights: one too many": tensors("model.safetensors", put("extra", torch.zeros(3))),
    "weights: wrong shape": tensors(
        "model.safetensors", lambda f: f.update({n: t[:1] for n, t in f.items() if t.ndim})
    ),
    "weights: not safetensors": text("model.safetensors", "weights"),
    "seen: no items": tensors("seen.safetensors", drop("items")),
    "seen: reversed": tensors("seen.safetensors", lambda f: f.update(indptr=f["indptr"].flip(0))),
    "seen: cut": tensors("seen.safetensors", lambda f: f.update(indptr=f["indptr"][:-2])),
    "seen: item unknown": tensors("seen.safetensors", lambda f: f.update(items=f["items"] + 1000)),
    "users: not Parquet": text("users.parquet", "id"),
    "users: no id": lambda run: pl.DataFrame({"name": ["a"]}).write_parquet(run / "users.parquet"),
    "users: fewer": lambda run: pl.DataFrame({"id": ["a"]}).write_parquet(run / "users.parquet"),
    "items: fewer ids": lambda run: pl.DataFrame({"id": ["a"]}).write_parquet(run / "items" / "ids.parquet"),
    "items: ids twice": lambda run: pl.DataFrame({"id": ["a"] * N}).write_parquet(run / "items" / "ids.parquet"),
    "catalogue: not JSON": text("items/catalog.json", "{"),
    "catalogue: a list": text("items/catalog.json", "[]"),
    "catalogue: null": text("items/catalog.json", "null"),
    "catalogue: no kinds": edit("items/catalog.json", drop("kinds")),
    "catalogue: a column too many": edit("items/catalog.json", lambda facts: facts["kinds"].update(ghost="text")),
    "catalogue: root a number": edit("items/catalog.json", put("root", 7)),
    "catalogue: given a list": edit("items/catalog.json", put("given", ["image"])),
    "plan: missing": lambda run: (run / "encoders" / "plan.json").unlink(),
    "plan: a number": text("encoders/plan.json", "3"),
    "plan: no vectors": edit("encoders/plan.json", drop("vectors")),
    "plan: vectors that are not there": edit("encoders/plan.json", lambda f: f["vectors"].update(ghost=["a", "b"])),
    "plan: leaves the folder": edit("encoders/plan.json", lambda f: f["vectors"].update({"../../x": ["a", "b"]})),
    "vectors: gone": lambda run: shutil.rmtree(run / "encoders"),
}
AFTER_SEALING = {
    "manifest: not JSON": text("manifest.json", "{"),
    "manifest: a list": text("manifest.json", "[]"),
    "manifest: bytes": lambda run: (run / "manifest.json").write_bytes(b"\xff\xfe\x00"),
    "manifest: deep": text("manifest.json", "[" * 100_000),
    **{
        f"format: {value!r}": edit("manifest.json", put("format", value)) for value in (0, -5, 99, None, "1", True, 1.5)
    },
    **{f"files: {value!r}": edit("manifest.json", put("files", value)) for value in ({}, [], None, {"a": 1}, "all")},
    "files: one number": edit("manifest.json", lambda facts: facts["files"].update({"config.yaml": 5})),
    "files: no weights": edit("manifest.json", lambda facts: facts["files"].pop("model.safetensors")),
    "files: outside": edit("manifest.json", lambda facts: facts["files"].update({"../x": "0"})),
    **{f"{key}: missing": edit("manifest.json", drop(key)) for key in ("format", "model", "about", "shape", "facts")},
    "about: null": edit("manifest.json", put("about", None)),
    "shape: a trillion users": edit("manifest.json", lambda facts: facts["shape"].update(n_users=10**12)),
    "shape: a trillion items": edit("manifest.json", lambda facts: facts["shape"].update(n_items=10**12)),
    "shape: a word": edit("manifest.json", lambda facts: facts["shape"].update(n_users="many")),
    "shape: features a list": edit("manifest.json", lambda facts: facts["shape"].update(features=["image"])),
    "log: unknown key": edit("manifest.json", lambda facts: facts["log"].update(colour="red")),
    "log: a list": edit("manifest.json", put("log", [1])),
    "facts: a list": edit("manifest.json", put("facts", [1])),
}


def refused(run):
    with pytest.raises(ArtefactError) as caught:
        palate.restore(run)
    assert caught.value.file.startswith(str(run))
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", BEFORE_SEALING)
def test_an_odd_file_is_named(runs, name, tmp_path):
    run = shutil.copytree(runs["VBPR"], tmp_path / "run")
    BEFORE_SEALING[name](run)
    seal(run)
    refused(run)


@pytest.mark.parametrize("name", AFTER_SEALING)
def test_an_odd_manifest_is_named(runs, name, tmp_path):
    run = shutil.copytree(runs["VBPR"], tmp_path / "run")
    AFTER_SEALING[name](run)
    assert refused(run).file.endswith(("run", "manifest.json", "x"))


def files_of(run):
    return sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["VBPR", "ContentKNN", "Popularity"])
def test_a_file_that_is_gone_is_named(runs, name, tmp_path):
    for number, file in enumerate(files_of(runs[name])):
        run = shutil.copytree(runs[name], tmp_path / str(number))
        (run / file).unlink()
        told = refused(run)
        assert file == "manifest.json" or told.file == str(run / file)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_and_flipped_files_are_refused_or_change_nothing_that_runs(runs, data, tmp_path_factory):
    name = data.draw(st.sampled_from(["VBPR", "ContentKNN"]))
    run = shutil.copytree(runs[name], tmp_path_factory.mktemp("cut") / "run")
    file = run / data.draw(st.sampled_from([one for one in files_of(run) if one != "manifest.json"]))
    raw = bytearray(file.read_bytes())
    if data.draw(st.booleans()) or not raw:
        raw = raw[: data.draw(st.integers(0, max(len(raw) - 1, 0)))]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(raw)
    seal(run)
    try:
        palate.restore(run)
    except ArtefactError as error:
        assert error.file.startswith(str(run))


def test_erasing_from_a_damaged_run_names_the_file(runs, tmp_path):
    run = shutil.copytree(runs["VBPR"], tmp_path / "run")
    (run / "users.parquet").write_text("id")
    with pytest.raises(ArtefactError) as caught:
        erase_user(run, "u1")
    assert caught.value.file == str(run / "users.parquet")


def test_a_panic_of_a_parser_names_the_file(tmp_path):
    """Damaged Parquet may raise what is no ``Exception``."""
    with pytest.raises(ArtefactError, match="PanicException: offset") as raised, reading(tmp_path / "ids.parquet"):
        raise pl.exceptions.PanicException("offset + length")
    assert raised.value.file == str(tmp_path / "ids.parquet")
