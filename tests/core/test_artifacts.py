"""Artifacts of a run: kept with kind and hash, required by name, refused when damaged."""

import json

import pytest
import torch

from palate.core.artifacts import Artifact, load_artifacts, required_artifacts, save_artifacts
from palate.core.errors import ArtefactError, ConfigError

IDS = Artifact("semantic_ids", {"codes": torch.arange(12).reshape(4, 3)}, {"levels": 3}, "data-hash")


def test_artifacts_come_back_as_they_were(tmp_path):
    named = save_artifacts(tmp_path / "artifacts", {"ids": IDS})
    assert named == {"ids": {"kind": "semantic_ids", "hash": IDS.hash}}
    back = load_artifacts(tmp_path / "artifacts")["ids"]
    assert back.hash == IDS.hash and torch.equal(back.tensors["codes"], IDS.tensors["codes"])
    assert back.state == {"levels": 3} and back.made_from == "data-hash"
    assert load_artifacts(tmp_path / "none") == {}


def test_the_hash_sees_kind_state_dtype_shape_and_values():
    others = [
        Artifact("codebook", IDS.tensors, IDS.state),
        Artifact("semantic_ids", IDS.tensors, {"levels": 4}),
        Artifact("semantic_ids", {"codes": torch.arange(12)}, IDS.state),
        Artifact("semantic_ids", {"codes": torch.arange(12, dtype=torch.int32).reshape(4, 3)}, IDS.state),
        Artifact("semantic_ids", {"codes": torch.arange(1, 13).reshape(4, 3)}, IDS.state),
        Artifact("semantic_ids", {"other": IDS.tensors["codes"]}, IDS.state),
    ]
    assert len({IDS.hash, *(other.hash for other in others)}) == 7


def test_damaged_newer_missing_and_wrong_ones_are_named(tmp_path):
    save_artifacts(tmp_path / "artifacts", {"ids": IDS})
    found = required_artifacts({"ids": "semantic_ids"}, {"ids": tmp_path}, "tiger")
    assert found["ids"].hash == IDS.hash
    with pytest.raises(ConfigError, match="tiger requires a semantic_ids"):
        required_artifacts({"ids": "semantic_ids"}, {}, "tiger")
    with pytest.raises(ConfigError, match="requires a codebook"):
        required_artifacts({"ids": "codebook"}, {"ids": tmp_path}, "tiger")
    with pytest.raises(ConfigError, match="holds no"):
        required_artifacts({"words": "vocabulary"}, {"words": tmp_path}, "tiger")
    file = tmp_path / "artifacts" / "ids" / "artifact.json"
    facts = json.loads(file.read_text())
    file.write_text(json.dumps(facts | {"state": {"levels": 9}}))
    with pytest.raises(ArtefactError, match="damaged"):
        load_artifacts(tmp_path / "artifacts")
    file.write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(ArtefactError, match="newer format 99"):
        load_artifacts(tmp_path / "artifacts")
    with pytest.raises(ConfigError, match="unknown kind"):
        Artifact("recipe")
