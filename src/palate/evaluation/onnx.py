"""A dot-product scorer as an ONNX graph: a user vector in, ranked item rows and their scores out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from palate.core.errors import MissingDependencyError
from palate.core.files import atomic_path
from palate.ranking.scorer import VectorScorer

OPSET, IR = 17, 10


def write_onnx(scorer: VectorScorer, path: str | Path) -> str:
    """Write the graph of scoring and top-k.

    Inputs ``user`` float32 [B, d] and ``k`` int64 [1]; outputs ``items`` int64 [B, k] (rows of items.parquet, best
    first) and ``scores`` float32 [B, k].

    Args:
        scorer: whose item vectors become part of the graph.
        path: file to write.

    Raises:
        MissingDependencyError: the package ``onnx`` is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper
    except ImportError as error:
        raise MissingDependencyError("onnx", "onnx") from error
    table = np.ascontiguousarray(scorer.items.cpu().numpy().T, dtype=np.float32)
    width = table.shape[0]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["user", "item_vectors"], ["all_scores"]),
            helper.make_node("TopK", ["all_scores", "k"], ["scores", "items"], axis=-1, largest=1, sorted=1),
        ],
        "palate",
        [
            helper.make_tensor_value_info("user", TensorProto.FLOAT, ["batch", width]),
            helper.make_tensor_value_info("k", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("items", TensorProto.INT64, ["batch", "k"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "k"]),
        ],
        [numpy_helper.from_array(table, "item_vectors")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    checker.check_model(model)
    with atomic_path(path) as aside:
        aside.write_bytes(model.SerializeToString())
    return str(path)
