"""Packages that are installed beside Palate add models, readers and encoders by entry points."""

import sys
from textwrap import dedent

import numpy as np
import pytest

import palate
from palate.contracts import models
from palate.core.encoder import encoders
from palate.core.errors import ConfigError
from palate.data.load import readers

MODULES = {
    "alphabet_model": """
        import torch

        from palate.contracts import models
        from palate.models.base import Recommender
        from palate.ranking.scorer import Scorer


        class AlphabetScorer(Scorer):
            def score(self, users, items=None):
                row = -torch.arange(self.n_items, dtype=torch.float32)
                return row.expand(len(users), -1) if items is None else row.expand(len(users), -1)[:, items]


        @models.register("alphabet")
        class Alphabet(Recommender):
            name, paper = "alphabet", "an example"

            def solve(self, train, run):
                self.n_items = train.n_items
                return True

            def extra_state(self):
                return {"n_items": self.n_items}

            def load_extra_state(self, state):
                self.n_items = state["n_items"]

            def scorer(self):
                return AlphabetScorer(self.n_items)
    """,
    "lines_reader": """
        import polars as pl

        from palate.data.dataset import Dataset
        from palate.data.load import readers


        class Lines:
            cites = "an example"

            def recognise(self, path):
                return 1.0 if path.suffix == ".lines" else 0.0

            def read(self, path, options):
                rows = [line.split() for line in path.read_text().splitlines()]
                log = pl.DataFrame(rows, schema=["user", "item"], orient="row")
                return Dataset.from_frames(log.select("item").unique(maintain_order=True).sort("item"), log,
                                           columns={"item": "id"}, name="lines", split=options.get("split"))


        readers.register("lines")(Lines())
    """,
    "length_encoder": """
        import numpy as np

        from palate.core.content import Features
        from palate.core.encoder import Encoder, encoders


        @encoders.register("length")
        class Length(Encoder):
            name, modality, dim, version = "length", "text", 1, 1

            @property
            def settings(self):
                return {}

            def encode(self, batch):
                values = np.array([[len(raw or "")] for raw in batch], np.float32)
                present = np.array([raw is not None for raw in batch])
                return Features(values, present, identity=self.identity)
    """,
    "broken_plugin": "import a_package_that_is_not_there\n",
    "silent_plugin": "",
}
ENTRY_POINTS = """
    [palate.models]
    alphabet = alphabet_model

    [palate.readers]
    lines = lines_reader

    [palate.encoders]
    length = length_encoder
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """``install(entry_points)``: a package with these entry points is on the path until the test ends."""
    registries = (models, readers, encoders)
    monkeypatch.syspath_prepend(tmp_path)

    def add(entry_points):
        for name, text in MODULES.items():
            (tmp_path / f"{name}.py").write_text(dedent(text))
        info = tmp_path / "palate_example-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: palate-example\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(dedent(entry_points))
        for registry in registries:
            registry._complete = False
        return tmp_path

    yield add
    for registry in registries:
        for name in ("alphabet", "lines", "length"):
            registry._known.pop(name, None)
    for name in (*MODULES, "second_ease"):
        sys.modules.pop(name, None)


def test_an_installed_package_adds_a_model_and_a_reader(install, tmp_path):
    install(ENTRY_POINTS)
    rng = np.random.default_rng(0)
    log = [f"u{user} i{item}" for user in range(8) for item in sorted(rng.choice(9, 5, replace=False))]
    (tmp_path / "shop.lines").write_text("\n".join(log))
    data = palate.load(tmp_path / "shop.lines")
    assert (data.n_users, data.n_items) == (8, 9)
    assert {"alphabet", "ease"} <= set(models.names())
    model = palate.models.Alphabet().fit(data)
    model.save(tmp_path / "run")
    best = palate.restore(tmp_path / "run").recommend(users=["u0"], k=2, filter_seen=False)
    assert best["item"].to_list() == ["i0", "i1"]


def test_an_encoder_is_found_by_its_name_alone(install):
    install(ENTRY_POINTS)
    found = encoders.get("length")().encode(["four", None])
    assert found.values.tolist() == [[4.0], [0.0]] and found.present.tolist() == [True, False]


def test_a_broken_plugin_is_named_with_what_to_do(install):
    install("[palate.models]\nhollow = broken_plugin\n")
    for call in (lambda: models.get("hollow"), models.names):
        with pytest.raises(ConfigError, match="a_package_that_is_not_there") as caught:
            call()
        assert "palate.models: hollow = broken_plugin" in str(caught.value) and "uninstall" in caught.value.hint


def test_a_plugin_that_registers_another_name_is_refused(install):
    install("[palate.readers]\nquiet = silent_plugin\n")
    with pytest.raises(ConfigError, match="registers no layout") as caught:
        readers.get("quiet")
    assert "silent_plugin" in str(caught.value)


def test_a_plugin_cannot_take_a_name_that_is_known(install, tmp_path):
    folder = install("[palate.models]\nease2 = second_ease\n")
    (folder / "second_ease.py").write_text(dedent(MODULES["alphabet_model"]).replace('"alphabet"', '"ease"'))
    models.get("ease")
    with pytest.raises(ConfigError, match="two models claim the name"):
        models.get("ease2")


def test_every_registry_has_a_group():
    import palate.batches.registry
    import palate.contracts
    import palate.modules.towers
    import palate.serving.stages.stage as stages

    registries = (
        models, readers, encoders, palate.contracts.pretrainers, palate.contracts.tasks, palate.contracts.generators,
        palate.batches.registry.batch_kinds, palate.modules.towers.towers, stages.stages,
    )  # fmt: skip
    groups = [registry.group for registry in registries]
    assert all(group and group.startswith("palate.") for group in groups) and len(set(groups)) == len(groups)
