"""Which objects carry a label, and which graspable places do: tables by object or by family of procedural objects."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from labeler.shards.data_set import DataSet

TABLES = ("object", "family")


def group_by(names: pd.Series, table: str) -> pd.Series:
    """Returns the group of each object's name: the name itself, or its family.

    Args:
        names: Names of objects.
        table: One of ``TABLES``.
    """
    return names if table == "object" else names.map(_family)


def _family(name: str) -> str:
    """Returns the family in a procedural object's name; another object is a family of its own."""
    match = re.fullmatch(r"procedural-\d+/\d+-([a-z]+)", name)
    return match[1] if match else name


def seen_objects(data: DataSet) -> pd.DataFrame:
    """Returns the objects seen in each image of a data set (at least one mask pixel).

    Returns:
        Rows of ``image, scene, object`` (name), ``labelled`` (whether it has a label in that image).
    """
    rows = []
    for image in range(len(data)):
        frame = data.read(image, ("instance_mask", "objects"))
        labels, mask = frame["grasps"], frame["instance_mask"]
        seen, carriers = np.unique(mask), np.unique(mask[labels.row, labels.col])
        rows += [
            {"image": image, "scene": frame["scene"], "object": o.name, "labelled": o.mask_value in carriers}
            for o in frame["objects"]
            if o.mask_value in seen
        ]
    return pd.DataFrame(rows, columns=["image", "scene", "object", "labelled"])


def describe_coverage(seen: pd.DataFrame, grasps: pd.DataFrame, table: str) -> str:
    """Returns a table of what the labels cover, the group with the smallest share of labelled objects first.

    Args:
        seen: Rows of ``seen_objects``.
        grasps: Rows of ``labeler.truth.recall.measure_recall``.
        table: One of ``TABLES``.
    """
    lifted = grasps[grasps.success]
    found = seen.groupby(group_by(seen.object, table)).labelled.agg(["mean", "size"])
    held = lifted.groupby(group_by(lifted.held, table)).labelled.agg(["mean", "size"])
    found = found.sort_values(["mean", "size"], ascending=[True, False])
    held = held.reindex(found.index)
    width = max(map(len, found.index), default=0)
    lines = [f"coverage by {table}, objects without a label first"]
    for name, share, count in found.itertuples():
        number = held.loc[name, "size"]
        places = "no random grasp lifts" if np.isnan(number) else _places(int(number), held.loc[name, "mean"])
        lines.append(f"  {name:{width}}  {100 * share:5.1f} % of {count:3d} seen have a label; {places}")
    return "\n".join(lines)


def _places(number: int, share: float) -> str:
    return f"a label stands for {100 * share:5.1f} % of {number} random grasps that lift"
