"""PDG-Generation: every grasp that the parallel depth image allows, for every pixel of a view."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeler.holding import can_hold
from labeler.pdg.candidates import AngleResults, Prepared, label_angles, label_width, prepare
from labeler.pdg.reasons import REASONS, VALID, WEIGHT
from labeler.settings import LabelSettings as LabelSettings
from labeler.settings import check_hand
from sim.grasp import PixelGrasps, bin_to_angle
from sim.gripper import GripperGeometry
from sim.view import SceneView

_RELAXED_SCORE = 0.5  # factor on the score of labels from relaxed checks: they rank behind the others


@dataclass(frozen=True)
class GraspLabels:
    """N labels of one view.

    Attributes:
        row: (N,) uint16, rows of the camera image, pixels.
        col: (N,) uint16, columns of the camera image, pixels.
        angle_bin: (N,) uint8, number k of the angle theta = k pi / K.
        depth: (N,) float32, depth of the finger tips below the surface at the pixel, metres.
        width: (N,) float32, opening between the inner finger faces, tolerance included, metres.
        score: (N,) float32 in [0, 1], clearance and contact; 0 in data sets made without ``recipe.scores``.
    """

    row: NDArray[np.uint16]
    col: NDArray[np.uint16]
    angle_bin: NDArray[np.uint8]
    depth: NDArray[np.float32]
    width: NDArray[np.float32]
    score: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of labels."""
        return len(self.row)

    def __getitem__(self, index: Any) -> GraspLabels:
        """Returns the labels that a NumPy slice, mask or index array picks."""
        return GraspLabels(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def empty(cls) -> GraspLabels:
        """Returns no labels."""
        pixel, real = np.zeros(0, np.uint16), np.zeros(0, np.float32)
        return cls(pixel, pixel, np.zeros(0, np.uint8), real, real, real)

    def to_pixel_grasps(self, angles: int) -> PixelGrasps:
        """Returns the labels as grasps of eq. (7), the score as quality; ``angles`` is K, the number of angle bins."""
        angle = bin_to_angle(self.angle_bin, angles)
        return PixelGrasps(self.row, self.col, self.depth, angle, self.width, self.score)  # type: ignore[arg-type]


def label_view(
    view: SceneView, gripper: GripperGeometry | None = None, settings: LabelSettings | None = None
) -> GraspLabels:
    """Labels every object pixel of a view; section III-D.

    Args:
        view: The view; its back layer is used where it has one.
        gripper: The gripper; default GripperGeometry().
        settings: The thresholds; default preset ``truest``.

    Returns:
        The labels, sorted by row, column and angle bin; per pixel and angle the deepest valid depth.
        An object without any is labelled again with ``settings.relaxed``.

    Raises:
        InputError: The gripper cannot hold anything with these settings.
    """
    gripper = gripper or GripperGeometry()
    settings = settings or LabelSettings.for_hand(gripper)
    check_hand(settings, gripper)
    prepared = prepare(view, gripper, settings)
    if prepared is None:
        return GraspLabels.empty()
    labels = _label(view, prepared, settings, gripper=gripper)
    if settings.relaxed:
        seen = np.unique(view.instance_mask[view.depth > 0])
        bare = np.setdiff1d(seen[seen > 0], view.instance_mask[labels.row, labels.col])
        relaxed = settings.second_pass()
        again = prepare(view, gripper, relaxed, relief=prepared.relief) if len(bare) else None
        if again is not None:
            more = _best_of(_label(view, again, relaxed, gripper=gripper, objects=bare), view, settings.relaxed_labels)
            both = (np.concatenate([getattr(x, f.name) for x in (labels, more)]) for f in fields(GraspLabels))
            labels = GraspLabels(*both)
    return labels[np.lexsort((labels.angle_bin, labels.col, labels.row))]


def _label(
    view: SceneView,
    prepared: Prepared,
    settings: LabelSettings,
    *,
    gripper: GripperGeometry,
    objects: NDArray[np.integer] | None = None,
) -> GraspLabels:
    """Returns one pass's labels, of all objects or of those with these mask values; sorted by angle first."""
    labels = _valid(label_angles(view, prepared, settings, objects=objects), view, settings)
    if settings.hold_friction > 0:
        labels = labels[can_hold(labels.to_pixel_grasps(settings.angles), view, gripper=gripper, settings=settings)]
    return labels


def _valid(results: Iterable[AngleResults], view: SceneView, settings: LabelSettings) -> GraspLabels:
    """Returns what passes every check of the images, weight not asked."""
    eta = view.parallel_camera.pixels_per_metre
    parts = [GraspLabels.empty()]
    for found in results:
        kept = np.flatnonzero(found.reason == VALID)
        parts.append(
            GraspLabels(
                found.rows[kept].astype(np.uint16),
                found.cols[kept].astype(np.uint16),
                np.full(len(kept), found.angle_bin, np.uint8),
                (found.level[kept] * settings.depth_step).astype(np.float32),
                label_width(found.contact[kept], eta, settings).astype(np.float32),
                found.score[kept],
            )
        )
    return GraspLabels(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(GraspLabels)))


def _best_of(labels: GraspLabels, view: SceneView, count: int) -> GraspLabels:
    """Returns each object's best ``count`` by score, at most half, with scores that rank behind the first pass's."""
    owner = view.instance_mask[labels.row, labels.col]
    kept = np.zeros(len(labels), bool)
    for value in np.unique(owner):
        own = np.flatnonzero(owner == value)
        best = np.lexsort((own, -labels.score[own]))[: min((len(own) + 1) // 2, count)]
        kept[own[best]] = True
    return replace(labels[kept], score=labels.score[kept] * np.float32(_RELAXED_SCORE))


def count_rejections(
    view: SceneView, gripper: GripperGeometry | None = None, settings: LabelSettings | None = None
) -> dict[str, int]:
    """Returns how many (pixel, angle) pairs got no further than each of the first pass's checks, or "valid".

    Raises:
        InputError: ``settings.hold_friction`` asks for a mass that the view does not know.
    """
    gripper = gripper or GripperGeometry()
    settings = settings or LabelSettings.for_hand(gripper)
    counts = np.zeros(len(REASONS), np.int64)
    prepared = prepare(view, gripper, settings)
    results = [] if prepared is None else list(label_angles(view, prepared, settings))
    for found in results:
        counts += np.bincount(found.reason, minlength=len(REASONS))
    if settings.hold_friction > 0:
        grasps = _valid(results, view, settings).to_pixel_grasps(settings.angles)
        counts[VALID] = np.count_nonzero(can_hold(grasps, view, gripper=gripper, settings=settings))
        counts[WEIGHT] = len(grasps) - counts[VALID]
    return dict(zip(REASONS, counts.tolist(), strict=True))
