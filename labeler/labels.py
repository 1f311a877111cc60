"""PDG-Generation: every grasp that the parallel depth image allows, for every pixel of a view."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from labeler.pdg.kernels import REASONS, VALID, Limits, Lookup, label_angle
from labeler.pdg.relief import Relief, Turn, erode_ahead, erode_rows, make_relief, turn_image
from labeler.settings import LabelSettings as LabelSettings
from sim.errors import InputError
from sim.grasp import PixelGrasps, bin_to_angle
from sim.gripper import GripperGeometry
from sim.view import SceneView

_SCORED_CLEARANCE = 0.010  # metres of free space beyond the fingers that earn the full score
_RELAXED_SCORE = 0.5  # factor on the score of labels from relaxed checks: they rank behind the others


@dataclass(frozen=True)
class GraspLabels:
    """N labels of one view.

    Attributes:
        row: (N,) uint16, pixels of the camera image.
        col: (N,) uint16, pixels of the camera image.
        angle_bin: (N,) uint8, k of theta = k pi / K.
        depth: (N,) float32, metres of the finger tips below the surface at the pixel.
        width: (N,) float32, metres between the inner finger faces, tolerance included.
        score: (N,) float32 in [0, 1], clearance and contact; not stored in shards (there 0).
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
        """Returns the labels as grasps of eq. (7); ``angles`` is K; the score becomes the quality."""
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
    gripper, settings = gripper or GripperGeometry(), settings or LabelSettings()
    labels = _label(view, gripper, settings)
    if settings.relaxed:
        seen = np.unique(view.instance_mask[view.depth > 0])
        bare = np.setdiff1d(seen[seen > 0], view.instance_mask[labels.row, labels.col])
        if len(bare):
            more = _best_of(_label(view, gripper, settings.second_pass(), bare), view, settings.relaxed_labels)
            both = (np.concatenate([getattr(x, f.name) for x in (labels, more)]) for f in fields(GraspLabels))
            labels = GraspLabels(*both)
    return labels[np.lexsort((labels.angle_bin, labels.col, labels.row))]


def _label(
    view: SceneView, gripper: GripperGeometry, settings: LabelSettings, objects: NDArray[np.integer] | None = None
) -> GraspLabels:
    """Returns one pass's labels, of all objects or of those with these mask values; sorted by angle first."""
    eta = view.parallel_camera.pixels_per_metre
    parts = [GraspLabels.empty()]
    for angle_bin, rows, cols, (reason, level, contact, score) in _label_angles(view, gripper, settings, objects):
        kept = np.flatnonzero(reason == VALID)
        parts.append(
            GraspLabels(
                rows[kept].astype(np.uint16),
                cols[kept].astype(np.uint16),
                np.full(len(kept), angle_bin, np.uint8),
                (level[kept] * settings.depth_step).astype(np.float32),
                label_width(contact[kept], eta, settings).astype(np.float32),
                score[kept],
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
    """Returns how many (pixel, angle) pairs got no further than each of the first pass's checks, or "valid"."""
    gripper, settings = gripper or GripperGeometry(), settings or LabelSettings()
    counts = np.zeros(len(REASONS), np.int64)
    for _, _, _, results in _label_angles(view, gripper, settings):
        counts += np.bincount(results[0], minlength=len(REASONS))
    return dict(zip(REASONS, counts.tolist(), strict=True))


def limits_in_pixels(view: SceneView, gripper: GripperGeometry, settings: LabelSettings) -> Limits:
    """Returns the settings in pixels of the view's parallel image; depths in metres / ``unit`` follow later.

    Raises:
        InputError: Fingers, tolerance and opening leave nothing to hold.
    """
    eta = view.parallel_camera.pixels_per_metre
    reach = (min(settings.max_width, gripper.max_opening) - settings.width_tolerance) / 2
    if reach * eta < 1:
        raise InputError(
            f"an opening of {gripper.max_opening} m leaves nothing to hold beside a width tolerance of "
            f"{settings.width_tolerance} m; lower labeler.width_tolerance"
        )
    slope = float(np.tan(settings.max_normal_angle))
    thickness = settings.width_tolerance / 2 + gripper.finger_thickness + settings.finger_margin
    return Limits(
        levels=int(np.ceil(gripper.finger_length / settings.depth_step - 1e-9)),
        level_step=0,
        farthest=int(reach * eta + 0.5),
        footprint=max(1, round(thickness * eta)),
        asymmetry=int(settings.max_asymmetry * eta + 1e-9),
        # A straight edge at the greatest angle, and half a millimetre for its roughness.
        band=int(np.ceil((gripper.finger_width * slope + 0.0005) * eta)),
        wall=max(1, round(settings.friction * settings.engagement * eta)),
        engagement=0,
        finger_length=0,
        palm_half=int(np.ceil(gripper.palm_width / 2 * eta)),
        normal=slope,
        wedge=settings.max_wedge_angle,
        flatness=settings.max_flatness * eta**2,
        coverage=settings.min_coverage,
        wall_share=settings.min_wall_share,
        undercut=settings.undercut and view.parallel_back_depth is not None,
        clearance=max(1, round(_SCORED_CLEARANCE * eta)),
    )


def label_width(contact: NDArray[np.integer], eta: float, settings: LabelSettings) -> NDArray[np.float64]:
    """Returns the opening (m) whose inner faces stand before the contacts ``contact`` pixels from the middle."""
    return (contact * 2 - 1) / eta + settings.width_tolerance


def finger_rows(gripper: GripperGeometry, settings: LabelSettings, eta: float) -> tuple[int, NDArray[np.int64]]:
    """Returns half of the eroded rows (margins included) and the rows on which contacts are examined."""
    half = int(np.ceil((gripper.finger_width / 2 + settings.finger_margin) * eta - 0.5))
    count = int(gripper.finger_width / 2 / settings.row_step)
    offsets = np.rint(np.arange(-count, count + 1) * settings.row_step * eta).astype(np.int64)
    return max(0, half), np.unique(offsets)


def palm_rows(gripper: GripperGeometry, half: int, eta: float) -> NDArray[np.int64]:
    """Returns the shifts of eroded rows (each 2 half + 1 high) that together cover the palm's thickness."""
    reach = max(0, int(np.ceil(gripper.palm_thickness / 2 * eta - 0.5)) - half)
    pieces = 1 + int(np.ceil(2 * reach / (2 * half + 1)))
    return np.rint(np.linspace(-reach, reach, pieces)).astype(np.int64) if reach else np.zeros(1, np.int64)


def find_candidates(
    view: SceneView, relief: Relief, objects: NDArray[np.integer] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Returns the camera pixels to label and their aligned points in the crop: eqs. (12), (13).

    A pixel whose aligned point shows another object, or nothing, is hidden from the gripper. With
    ``objects`` only pixels of these mask values are taken.

    Returns:
        ``rows``, ``cols`` (N,) int64 camera pixels; ``crop_rows``, ``crop_cols`` (N,) float64
        pixels of the crop; ``surface`` (N,) int64 steps of the relief.
    """
    wanted = view.instance_mask > 0 if objects is None else np.isin(view.instance_mask, objects)
    rows, cols = np.nonzero(wanted & (view.depth > 0))
    depth = view.depth[rows, cols].astype(np.float64)
    r, c, _ = view.parallel_camera.project(view.camera.deproject(rows, cols, depth))
    r, c = r - relief.row0, c - relief.col0
    i, j = np.rint(r).astype(np.int64), np.rint(c).astype(np.int64)
    height, width = relief.mask.shape
    seen = np.flatnonzero((i >= 0) & (i < height) & (j >= 0) & (j < width))
    seen = seen[relief.mask[i[seen], j[seen]] == view.instance_mask[rows[seen], cols[seen]]]
    surface = np.floor((depth[seen] - relief.nearest) / relief.unit + 1.5).astype(np.int64)
    return rows[seen], cols[seen], r[seen], c[seen], surface


@dataclass(frozen=True)
class Prepared:
    """A view's relief and everything else that does not depend on the angle; see ``prepare``.

    Attributes:
        relief: The relief.
        limits: The settings in its pixels and steps.
        half: Half of the eroded rows.
        offsets: (m,) rows on which contacts are examined.
        palm: (p,) shifts of eroded rows that cover the palm.
        reach: Pixels needed around a candidate along and across the closing direction.
    """

    relief: Relief
    limits: Limits
    half: int
    offsets: NDArray[np.int64]
    palm: NDArray[np.int64]
    reach: tuple[int, int]

    def images(self, turn: Turn, buffer: NDArray[np.uint16]) -> tuple[tuple[NDArray[np.uint16], ...], Lookup]:
        """Returns ``turned``, ``eroded``, ``standing`` of one angle (see labeler.pdg.relief), and their lookup.

        Args:
            turn: The angle.
            buffer: (3, at least turn.height * turn.width) uint16, where the images are put.
        """
        relief = self.relief
        images = tuple(part[: turn.height * turn.width].reshape(turn.height, turn.width) for part in buffer)
        geometry = (turn.cosine, turn.sine, turn.pivot_row, turn.pivot_col, turn.left, turn.top)
        turn_image(relief.front_quarter if turn.quarter else relief.front, *geometry, images[0])
        erode_rows(images[0], self.half, images[1])
        erode_ahead(images[1], self.half, turn.height - self.half, self.limits.footprint, images[2])
        return images, Lookup(relief.mask, relief.back, turn.quarter, *geometry)


def prepare(view: SceneView, gripper: GripperGeometry, settings: LabelSettings) -> Prepared | None:
    """Returns what all angles share, or None if the parallel image shows no object.

    Raises:
        InputError: The gripper cannot hold anything with these settings.
    """
    limits = limits_in_pixels(view, gripper, settings)
    eta = view.parallel_camera.pixels_per_metre
    half, offsets = finger_rows(gripper, settings, eta)
    palm = palm_rows(gripper, half, eta)
    along = max(limits.farthest + limits.footprint + limits.clearance, limits.palm_half) + 1
    across = max(half + int(palm[-1]), int(offsets[-1])) + 1
    relief = make_relief(view, max(along, across) * 1.5 / eta)
    if relief is None:
        return None
    limits = limits._replace(
        level_step=round(settings.depth_step / relief.unit),
        engagement=round(settings.engagement / relief.unit),
        finger_length=round(gripper.finger_length / relief.unit),
    )
    return Prepared(relief, limits, half, offsets, palm, (along, across))


def _label_angles(
    view: SceneView, gripper: GripperGeometry, settings: LabelSettings, objects: NDArray[np.integer] | None = None
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64], tuple[NDArray[Any], ...]]]:
    """Yields, per angle bin, the candidates' camera rows and columns and label_angle's results."""
    prepared = prepare(view, gripper, settings)
    if prepared is None:
        return
    relief = prepared.relief
    rows, cols, crop_rows, crop_cols, surfaces = find_candidates(view, relief, objects)
    if not len(rows):
        return
    values = view.instance_mask[rows, cols].astype(np.uint16)
    angles = bin_to_angle(np.arange(settings.angles), settings.angles)
    turns = [Turn.around(relief, float(a), crop_rows, crop_cols, prepared.reach) for a in angles]
    threads = min(numba.get_num_threads(), settings.angles)
    # Each thread keeps its memory for all its angles: fresh pages cost as much as the work on them.
    memory: SimpleQueue[NDArray[np.uint16]] = SimpleQueue()
    for _ in range(threads):
        memory.put(np.empty((3, max(t.height * t.width for t in turns)), np.uint16))

    def label_turn(turn: Turn) -> tuple[NDArray[Any], ...]:
        buffer = memory.get()
        images, lookup = prepared.images(turn, buffer)
        v, u = turn.place(relief, crop_rows, crop_cols)
        results = tuple(np.empty(len(rows), dtype) for dtype in (np.uint8, np.int16, np.int32, np.float32))
        label_angle(images, lookup, prepared.offsets, prepared.palm, v, u, surfaces, values, prepared.limits, results)
        memory.put(buffer)
        return results

    if threads == 1:
        parts = [label_turn(turn) for turn in turns]
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(label_turn, turns))
    for angle_bin, results in enumerate(parts):
        yield angle_bin, rows, cols, results
