"""Arguments of the kernels: thresholds and gripper in pixels and steps, and the way back from a turned pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint16]  # (h, w), steps of the relief, 0 = unknown
BLOCK = 16  # columns of a block of ``Images.deepest``
ANYWHERE = 2**31 - 1  # entry of ``Scratch.edges`` where nothing is known yet
Rows = NDArray[np.int64]  # (m,), pixels
Levels = NDArray[np.int32]  # (levels,), pixels
# (N,) each: number in reasons.REASONS, level, greater contact distance in pixels, score in [0, 1]
Results = tuple[NDArray[np.uint8], NDArray[np.int16], NDArray[np.int32], NDArray[np.float32]]


class Images(NamedTuple):
    """What the kernels ask at one angle, see labeler.pdg.images.

    Attributes:
        turned: (h, w) uint16, the relief.
        standing: (h, w) uint16, how deep a finger can stand on a column.
        deepest: (h, ceil(w / BLOCK)) uint16, greatest ``standing`` of a block of columns.
    """

    turned: Image
    standing: Image
    deepest: Image


class Scratch(NamedTuple):
    """Memory of one candidate's checks; index 0 is the left finger.

    Attributes:
        contacts: (2, levels) int32, contact distances per level, pixels.
        edges: (2, m) int32, per finger row how far outwards an edge can still lie: at deeper tips there was none
            beyond, pixels.
        order: (2, m) int64, numbers of the finger's rows in the order in which they are examined.
    """

    contacts: NDArray[np.int32]
    edges: NDArray[np.int32]
    order: NDArray[np.int64]


def make_scratch(levels: int, rows: int) -> Scratch:
    """Returns the memory of one candidate's checks, for a number of levels and of finger rows."""
    edges = np.full((2, rows), ANYWHERE, np.int32)
    return Scratch(np.empty((2, levels), np.int32), edges, np.tile(np.arange(rows), (2, 1)))


class Limits(NamedTuple):
    """Label settings and gripper in pixels and steps.

    Attributes:
        half: Half of the rows that a finger needs, pixels.
        levels: Number of depth levels.
        level_step: Steps of the relief between two levels.
        farthest: Greatest distance of a contact from the candidate, pixels.
        footprint: Number of columns that a finger needs from its contact outwards.
        asymmetry: Greatest difference of the two contacts' distances, pixels.
        band: Greatest distance of a row's edge behind the first contact, pixels.
        wall: Distance behind a row's edge at which the wall is measured, pixels.
        engagement: Least height of the wall above the tips, steps.
        finger_length: Length of a finger, L3, less the palm's margin, steps.
        palm_half: Half of the palm's extent along the closing direction, pixels.
        normal: Greatest slope (tangent) of a contact edge.
        wedge: Greatest angle between the two contact edges, radians.
        flatness: Greatest mean squared distance from the edge's line, square pixels.
        coverage: Least share of rows with an edge.
        wall_share: Least share of those rows with a wall.
        undercut: Whether the back layer is used.
        clearance: Number of free columns beyond the footprint that earn the full score.
    """

    half: int
    levels: int
    level_step: int
    farthest: int
    footprint: int
    asymmetry: int
    band: int
    wall: int
    engagement: int
    finger_length: int
    palm_half: int
    normal: float
    wedge: float
    flatness: float
    coverage: float
    wall_share: float
    undercut: bool
    clearance: int


class Lookup(NamedTuple):
    """Where the crop shows what a turned pixel shows: the crop's images, and the fields of ``labeler.pdg.relief.Turn``.

    Attributes:
        mask: (H, W) uint16, mask values of the crop.
        back: (H, W) uint16, back layer of the crop, steps, or (1, 1) if the view has none.
        quarter: Whether the crop was turned clockwise by 90 degrees first.
        cosine: Cosine of the rest of the angle.
        sine: Sine of the rest of the angle.
        pivot_row: Row of the source that stays in place, pixels.
        pivot_col: Column of the source that stays in place, pixels.
        left: Column of the turned image that shows the pivot.
        top: Row of the turned image that shows the pivot.
    """

    mask: NDArray[np.uint16]
    back: NDArray[np.uint16]
    quarter: bool
    cosine: float
    sine: float
    pivot_row: float
    pivot_col: float
    left: int
    top: int
