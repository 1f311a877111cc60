"""Causes of failed grasps as geometry tells them: the labels at the grasp's place, what stands in the hand's way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labeler.labels import GraspLabels, LabelSettings, label_view
from sim.benchmark.attempt_table import endings
from sim.benchmark.observation import noiseless_view
from sim.benchmark.protocol import BenchmarkSettings
from sim.grasp import GraspPoses, bin_to_angle
from sim.gripper import GripperGeometry
from sim.scene import SceneState
from sim.view import SceneView

FloatArray = NDArray[np.float64]

_TILTED = 0.9986  # cosine of 3 degrees: an approach further off the camera's axis is not compared


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """Limits beyond which a grasp counts as off its nearest label.

    Attributes:
        near: Distance, seen along the camera's axis, within which a label stands at the grasp's place, metres.
        bins: Limit of the angle, in bins of the labels.
        depth: Limit of the finger tips' depth, metres: the wall height that a label needs.
        width: Limit of the opening, metres.
        overlap: Least overlap of a finger or the palm with what stands in its way, metres.
    """

    near: float = 0.010
    bins: float = 1.0
    depth: float = 0.006
    width: float = 0.010
    overlap: float = 0.001


@dataclass(frozen=True)
class Labelled:
    """A scene as the benchmark's camera sees it, and its labels.

    Attributes:
        view: The noiseless view.
        labels: N labels.
        tips: (N, 3) float64, metres, camera frame: the middle between each label's finger tips.
        angles: (N,) float64, radians.
        bin_width: Width of a bin of the labels' angles, radians.
    """

    view: SceneView
    labels: GraspLabels
    tips: FloatArray
    angles: FloatArray
    bin_width: float


def label_state(
    state: SceneState, settings: BenchmarkSettings, label_settings: LabelSettings | None = None
) -> Labelled:
    """Returns a scene's view from the benchmark's camera, and its labels."""
    chosen = label_settings or LabelSettings.for_hand(settings.gripper)
    view = noiseless_view(state, settings)
    labels = label_view(view, settings.gripper, chosen)
    surface = view.depth[labels.row, labels.col].astype(np.float64)
    tips = view.camera.deproject(labels.row, labels.col, surface) + labels.depth[:, None] * np.array([0.0, 0.0, 1.0])
    return Labelled(view, labels, tips, bin_to_angle(labels.angle_bin, chosen.angles), np.pi / chosen.angles)


def compare_with_labels(grasp: GraspPoses, place: Labelled, limits: Tolerances | None = None) -> dict[str, Any]:
    """Tells in what a grasp differs from the labels at its place.

    Args:
        grasp: One grasp, camera frame.
        place: The scene before it.
        limits: Limits beyond which it differs.

    Returns:
        ``cause`` text; ``label_mm`` distance of the nearest label; ``angle_deg`` off the nearest angle within
        ``near``; ``depth_mm`` (deeper is positive) and ``width_mm`` (wider is positive) off the label nearest
        in both among those whose angle agrees. NaN where there is none.
    """
    limits = limits or Tolerances()
    found: dict[str, Any] = {"cause": "", **dict.fromkeys(("label_mm", "angle_deg", "depth_mm", "width_mm"), np.nan)}
    centre, rotation = grasp.translation[0], grasp.rotation[0]
    if rotation[2, 2] < _TILTED:
        return found | {"cause": "tilted approach: not compared"}
    distance = np.linalg.norm(place.tips[:, :2] - centre[:2], axis=1)
    near = distance <= limits.near
    found["label_mm"] = 1e3 * float(distance.min(initial=np.inf)) if len(distance) else np.nan
    if not near.any():
        target = target_object(grasp, place.view)
        owners = place.view.instance_mask[place.labels.row, place.labels.col]
        bare = target > 0 and not (owners == target).any()
        return found | {"cause": "no label on its object" if bare else f"no label within {1e3 * limits.near:g} mm"}
    angle = np.arctan2(-rotation[1, 0], rotation[0, 0])
    turn = np.abs((place.angles - angle + np.pi / 2) % np.pi - np.pi / 2)
    found["angle_deg"] = float(np.degrees(turn[near].min()))
    agree = near & (turn <= limits.bins * place.bin_width + 1e-6)
    if not agree.any():
        return found | {"cause": f"angle off by > {limits.bins:g} bin"}
    deeper, wider = centre[2] - place.tips[agree, 2], grasp.width[0] - place.labels.width[agree]
    miss = np.stack([np.abs(deeper) / limits.depth, np.abs(wider) / limits.width])
    best = int(np.argmin(miss.max(axis=0)))
    found |= {"depth_mm": 1e3 * float(deeper[best]), "width_mm": 1e3 * float(wider[best])}
    if miss[:, best].max() <= 1:
        return found | {"cause": "label agrees: physics"}
    if miss[0, best] >= miss[1, best]:
        return found | {"cause": "depth off: too deep" if deeper[best] > 0 else "depth off: too shallow"}
    return found | {"cause": "width off: too wide" if wider[best] > 0 else "width off: too narrow"}


def find_obstacle(
    grasp: GraspPoses, view: SceneView, gripper: GripperGeometry, *, limits: Tolerances | None = None
) -> dict[str, Any]:
    """Tells what the open gripper runs into on its way down: what overlaps most with where it should end.

    Args:
        grasp: One grasp, camera frame.
        view: The scene before it.
        gripper: The gripper.
        limits: Limits, of which the least overlap counts.

    Returns:
        ``hit`` ("left finger", for example "finger on a neighbour", "palm on the tray", "nothing in the way"),
        ``hit_object`` its name or "", ``overlap_mm``.
    """
    limits = limits or Tolerances()
    if grasp.rotation[0][2, 2] < _TILTED:
        return {"hit": "tilted approach: not examined", "hit_object": "", "overlap_mm": np.nan}
    half, tips = float(grasp.width[0]) / 2, float(grasp.translation[0, 2])
    outer, across = half + gripper.finger_thickness, gripper.finger_width / 2
    palm = (-gripper.palm_width / 2, gripper.palm_width / 2, gripper.palm_thickness / 2, tips - gripper.finger_length)
    parts = [("finger", -outer, -half, across, tips), ("finger", half, outer, across, tips), ("palm", *palm)]
    best = ("", 0, -np.inf)
    for name, low, high, side, bottom in parts:
        step = 1 / view.parallel_camera.pixels_per_metre
        along, sideways = np.meshgrid(np.arange(low, high + step / 2, step), np.arange(-side, side + step / 2, step))
        depth, mask = sample_relief(view, grasp, along.ravel(), across=sideways.ravel())
        depth = np.where(depth > 0, depth, np.inf)
        top = int(np.argmin(depth))
        if bottom - depth[top] > best[2]:
            best = (name, int(mask[top]), float(bottom - depth[top]))
    if best[2] < limits.overlap:
        return {"hit": "nothing in the way", "hit_object": "", "overlap_mm": 1e3 * best[2]}
    target = target_object(grasp, view)
    what = "the tray" if best[1] == 0 else "its own object" if best[1] == target else "a neighbour"
    names = {o.mask_value: o.name for o in view.objects}
    return {"hit": f"{best[0]} on {what}", "hit_object": names.get(best[1], ""), "overlap_mm": 1e3 * best[2]}


def target_object(grasp: GraspPoses, view: SceneView) -> int:
    """Returns the mask value of the object under a grasp's centre, else of most of its closing line; 0 for none."""
    along = np.linspace(-0.5, 0.5, 101) * float(grasp.width[0])
    _, mask = sample_relief(view, grasp, along, across=np.zeros_like(along))
    counts = np.bincount(mask)
    counts[0] = 0
    return int(mask[50]) or (int(np.argmax(counts)) if counts.any() else 0)


def sample_relief(
    view: SceneView, grasp: GraspPoses, along: FloatArray, *, across: FloatArray, back: bool = False
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Reads the parallel image around a grasp, in its own directions as seen along the camera's axis.

    Args:
        view: The view.
        grasp: One grasp, camera frame.
        along: (N,) float64, metres along the closing direction from the grasp's centre.
        across: (N,) float64, metres along the grasp's y.
        back: Whether to read the back layer, where the view has one.

    Returns:
        Depth (N,) float64 in metres, 0 = nothing there, and mask values (N,) int64.
    """
    axes = grasp.rotation[0][:2, :2]
    points = np.zeros((len(along), 3))
    points[:, :2] = grasp.translation[0, :2] + np.stack([along, across], axis=1) @ axes.T
    rows, cols, _ = view.parallel_camera.project(points)
    height, width = view.parallel_depth.shape
    r, c = np.rint(rows).astype(int).clip(0, height - 1), np.rint(cols).astype(int).clip(0, width - 1)
    layer = view.parallel_back_depth if back and view.parallel_back_depth is not None else view.parallel_depth
    return layer[r, c].astype(np.float64), view.parallel_mask[r, c].astype(np.int64)


def reason_table(attempts: pd.DataFrame) -> pd.DataFrame:
    """Returns how attempts ended: columns ``policy, protocol, where, reason, attempts, share``, a share a friction.

    ``where`` is a category, or a number of objects over all categories; shares are percent of the attempts
    of the same policy, protocol and place (and friction).
    """
    parts = [attempts.assign(where=attempts.category), attempts.assign(where=attempts.objects.map("all of {}".format))]
    rows = pd.concat(parts, ignore_index=True).assign(reason=endings)
    head = ["policy", "protocol", "where"]
    result = rows.groupby([*head, "reason"], sort=False).size().rename("attempts").reset_index()
    result["share"] = 100 * result.attempts / result.groupby(head).attempts.transform("sum")
    for friction in sorted(rows.friction.unique()):
        part = rows[rows.friction == friction]
        counts, totals = part.groupby([*head, "reason"]).size(), part.groupby(head).size()
        shares = 100 * counts / totals.reindex(counts.index.droplevel("reason")).to_numpy()
        result[f"friction {friction:g}"] = shares.reindex(
            pd.MultiIndex.from_frame(result[[*head, "reason"]])
        ).to_numpy()
    return result.sort_values([*head, "attempts"], ascending=[True, False, True, False], ignore_index=True).fillna(0.0)


def cause_table(examined: pd.DataFrame) -> pd.DataFrame:
    """Returns how often each cause (and obstacle) stands behind each ending: a row a policy, objects, reason, cause.

    Args:
        examined: Rows with ``cause`` and ``hit``, as ``write_failures`` writes into attempts.csv.

    Returns:
        ``policy, objects, reason, kind, cause, attempts, share``: ``kind`` "label" or "obstacle"; ``share`` is
        percent of the policy's attempts with this reason in scenes of so many objects.
    """
    parts = []
    examined = examined.assign(reason=endings)
    for kind, column in (("label", "cause"), ("obstacle", "hit")):
        rows = examined[examined[column] != ""]
        head = ["policy", "objects", "reason"]
        counts = rows.groupby([*head, column]).size().rename("attempts").reset_index()
        counts["share"] = 100 * counts.attempts / counts.groupby(head).attempts.transform("sum")
        parts.append(counts.rename(columns={column: "cause"}).assign(kind=kind))
    table = pd.concat(parts, ignore_index=True)[["policy", "objects", "reason", "kind", "cause", "attempts", "share"]]
    order = ["policy", "objects", "kind", "reason", "attempts"]
    return table.sort_values(order, ascending=[True, True, True, True, False], ignore_index=True)
