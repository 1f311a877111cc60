"""PDG-Generation: from a SceneView to grasp labels, and from scenes to HDF5 data sets.

Second floor of the house: imports only sim. Names below are loaded on first use (PEP 562), so
that ``import labeler`` stays cheap.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "GraspLabels": "labeler.labels",
    "LabelSettings": "labeler.settings",
    "label_view": "labeler.labels",
    "count_rejections": "labeler.labels",
    "Explanation": "labeler.explain",
    "explain_pixel": "labeler.explain",
    "LabelOracle": "labeler.oracle",
    "DataSet": "labeler.shards",
    "ShardReader": "labeler.shards",
    "ShardWriter": "labeler.shards",
    "DataSetRecipe": "labeler.recipe",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'labeler' has no attribute '{name}'")
