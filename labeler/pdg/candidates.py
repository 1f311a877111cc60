"""The candidates of PDG-Generation, and how each angle's images of them are made and judged.

A candidate is a camera pixel on an object whose point the parallel image shows, section III-D. Per angle the relief is
turned and eroded (``labeler.pdg.images``), and the kernels judge every candidate on the results
(``labeler.pdg.kernels``). Angles run in threads of their own, never in numba's: they need no barriers and leave nothing
behind that a fork could trip over.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from labeler.pdg.images import find_spans, make_images
from labeler.pdg.kernels import label_angle
from labeler.pdg.limits import BLOCK, Images, Limits, Lookup, Results, make_scratch
from labeler.pdg.relief import Relief, Turn, make_relief
from labeler.settings import LabelSettings
from sim.errors import InputError
from sim.grasp import bin_to_angle
from sim.gripper import GripperGeometry
from sim.view import SceneView

_SCORED_CLEARANCE = 0.010  # metres of free space beyond the fingers that earn the full score


def limits_in_pixels(view: SceneView, gripper: GripperGeometry, settings: LabelSettings) -> Limits:
    """Returns the settings in pixels of the view's parallel image.

    The limits that are counted in steps of the relief (``level_step``, ``engagement``, ``finger_length``) stay 0 here:
    ``prepare`` knows the relief and sets them.

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
        half=finger_rows(gripper, settings, eta)[0],
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
    """Returns the opening of the gripper whose inner faces stand in front of both contacts, tolerance included.

    Args:
        contact: (N,) integer, greater distance of the two contacts from the candidate, pixels.
        eta: Scale of the parallel image, pixels per metre.
        settings: The thresholds.

    Returns:
        (N,) float64, metres.
    """
    width: NDArray[np.float64] = (contact * 2 - 1) / eta + settings.width_tolerance
    return width


def finger_rows(gripper: GripperGeometry, settings: LabelSettings, eta: float) -> tuple[int, NDArray[np.int64]]:
    """Returns which rows of the turned image a finger covers.

    Args:
        gripper: The gripper.
        settings: The thresholds.
        eta: Scale of the parallel image, pixels per metre.

    Returns:
        Half of the rows that it needs, margins included, pixels; and the rows on which a contact is examined, (m,)
        int64 offsets from the finger's middle, pixels.
    """
    half = int(np.ceil((gripper.finger_width / 2 + settings.finger_margin) * eta - 0.5))
    count = int(gripper.finger_width / 2 / settings.row_step)
    offsets = np.rint(np.arange(-count, count + 1) * settings.row_step * eta).astype(np.int64)
    return max(0, half), np.unique(offsets)


def palm_rows(gripper: GripperGeometry, half: int, eta: float) -> NDArray[np.int64]:
    """Returns the shifts of fingers' rows (each 2 half + 1) that together cover the palm's thickness.

    Args:
        gripper: The gripper.
        half: Half of the rows that a finger needs, pixels.
        eta: Scale of the parallel image, pixels per metre.

    Returns:
        (p,) int64, pixels.
    """
    reach = max(0, int(np.ceil(gripper.palm_thickness / 2 * eta - 0.5)) - half)
    pieces = 1 + int(np.ceil(2 * reach / (2 * half + 1)))
    return np.rint(np.linspace(-reach, reach, pieces)).astype(np.int64) if reach else np.zeros(1, np.int64)


class Candidates(NamedTuple):
    """N camera pixels to label, and their aligned points in the relief's crop.

    Attributes:
        rows: (N,) int64, rows of the camera image, pixels.
        cols: (N,) int64, columns of the camera image, pixels.
        crop_rows: (N,) float64, rows of the crop, pixels.
        crop_cols: (N,) float64, columns of the crop, pixels.
        surfaces: (N,) int64, depths of the points, steps of the relief.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    crop_rows: NDArray[np.float64]
    crop_cols: NDArray[np.float64]
    surfaces: NDArray[np.int64]


def find_candidates(view: SceneView, relief: Relief, objects: NDArray[np.integer] | None = None) -> Candidates:
    """Returns the camera pixels to label and their aligned points: eqs. (12), (13).

    A pixel whose aligned point shows another object, or nothing, is hidden from the gripper and no candidate.

    Args:
        view: The view.
        relief: Relief of the view.
        objects: Mask values of the objects to label; None for all.
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
    return Candidates(rows[seen], cols[seen], r[seen], c[seen], surface)


@dataclass(frozen=True)
class Prepared:
    """A view's relief and everything else that does not depend on the angle; see ``prepare``.

    Attributes:
        relief: Relief of the view.
        limits: Settings in the relief's pixels and steps.
        offsets: (m,) int64, rows on which contacts are examined, from the finger's middle, pixels.
        palm: (p,) int64, shifts of fingers' rows that cover the palm, pixels.
        reach: Pixels needed around a candidate along and across the closing direction.
    """

    relief: Relief
    limits: Limits
    offsets: NDArray[np.int64]
    palm: NDArray[np.int64]
    reach: tuple[int, int]

    def images(
        self, turn: Turn, buffer: NDArray[np.uint16], *, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> tuple[Images, Lookup]:
        """Returns the images of one angle, as far as they matter to its candidates, and their lookup.

        Args:
            turn: Turn by the angle.
            buffer: (2, at least turn.height * turn.width) uint16, memory that the images are put into.
            rows: (N,) int64, rows of the candidates in the images.
            cols: (N,) int64, their columns.
        """
        relief = self.relief
        turned, standing = (p[: turn.height * turn.width].reshape(turn.height, turn.width) for p in buffer)
        geometry = (turn.cosine, turn.sine, turn.pivot_row, turn.pivot_col, turn.left, turn.top)
        images = Images(turned, standing, np.empty((turn.height, -(-turn.width // BLOCK)), np.uint16))
        source = relief.front_quarter if turn.quarter else relief.front
        spans = find_spans(rows, cols, self.reach, turned.shape, self.limits.half)
        make_images(source, geometry, spans, self.limits.half, self.limits.footprint, *images)
        return images, Lookup(relief.mask, relief.back, turn.quarter, *geometry)


def prepare(
    view: SceneView, gripper: GripperGeometry, settings: LabelSettings, *, relief: Relief | None = None
) -> Prepared | None:
    """Returns what all angles share, or None if the parallel image shows no object.

    Args:
        view: The view.
        gripper: The gripper.
        settings: The thresholds of one pass.
        relief: Relief of this view from a former pass; it is used again where it has the same reach.

    Raises:
        InputError: The gripper cannot hold anything with these settings.
    """
    limits = limits_in_pixels(view, gripper, settings)
    eta = view.parallel_camera.pixels_per_metre
    half, offsets = finger_rows(gripper, settings, eta)
    palm = palm_rows(gripper, half, eta)
    along = max(limits.farthest + limits.footprint + limits.clearance, limits.palm_half) + 1
    across = max(half + int(palm[-1]), int(offsets[-1])) + 1
    room = max(along, across) * 1.5 / eta
    if relief is None or relief.reach != room:
        relief = make_relief(view, room)
    if relief is None:
        return None
    limits = limits._replace(
        level_step=round(settings.depth_step / relief.unit),
        engagement=round(settings.engagement / relief.unit),
        finger_length=round((gripper.finger_length - settings.palm_margin) / relief.unit),
    )
    return Prepared(relief, limits, offsets, palm, (along, across))


class AngleResults(NamedTuple):
    """Answers of the checks for all N candidates at one angle.

    Attributes:
        angle_bin: Number k of the angle k pi / K.
        rows: (N,) int64, rows of the camera image, pixels.
        cols: (N,) int64, columns of the camera image, pixels.
        reason: (N,) uint8, furthest check that a level reached, a number in ``reasons.REASONS``.
        level: (N,) int16, deepest valid level, -1 unless VALID.
        contact: (N,) int32, greater distance of its two contacts, pixels of the parallel image.
        score: (N,) float32 in [0, 1], 0 unless VALID.
    """

    angle_bin: int
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    reason: NDArray[np.uint8]
    level: NDArray[np.int16]
    contact: NDArray[np.int32]
    score: NDArray[np.float32]


def label_angles(
    view: SceneView,
    prepared: Prepared,
    settings: LabelSettings,
    *,
    objects: NDArray[np.integer] | None = None,
) -> Iterator[AngleResults]:
    """Judges all candidates of a view at every angle.

    Args:
        view: The view.
        prepared: What ``prepare`` made of the view with the same settings.
        settings: The thresholds of one pass.
        objects: Mask values of the objects to label; None for all.

    Yields:
        Each angle's answers, in the order of the bins; nothing where there is no candidate.
    """
    relief = prepared.relief
    rows, cols, crop_rows, crop_cols, surfaces = find_candidates(view, relief, objects)
    if not len(rows):
        return
    values = view.instance_mask[rows, cols].astype(np.uint16)
    angles = bin_to_angle(np.arange(settings.angles), settings.angles)
    turns = [Turn.around(relief, float(a), rows=crop_rows, cols=crop_cols, reach=prepared.reach) for a in angles]
    threads = min(numba.get_num_threads(), settings.angles)
    # Each thread keeps its memory for all its angles: fresh pages cost as much as the work on them.
    memory: SimpleQueue[NDArray[np.uint16]] = SimpleQueue()
    for _ in range(threads):
        memory.put(np.empty((2, max(t.height * t.width for t in turns)), np.uint16))

    def label_turn(turn: Turn) -> Results:
        buffer = memory.get()
        try:
            v, u = turn.place(relief, crop_rows, crop_cols)
            images, lookup = prepared.images(turn, buffer, rows=v, cols=u)
            n = len(rows)
            results = np.empty(n, np.uint8), np.empty(n, np.int16), np.empty(n, np.int32), np.empty(n, np.float32)
            steps = prepared.offsets, prepared.palm
            scratch = make_scratch(prepared.limits.levels, len(prepared.offsets))
            label_angle(images, lookup, *steps, v, u, surfaces, values, prepared.limits, results, scratch)
        finally:
            memory.put(buffer)  # a thread that waits for it would wait for ever
        return results

    if threads == 1:
        parts = [label_turn(turn) for turn in turns]
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(label_turn, turns))
    for angle_bin, (reason, level, contact, score) in enumerate(parts):
        yield AngleResults(angle_bin, rows, cols, reason, level, contact, score)
