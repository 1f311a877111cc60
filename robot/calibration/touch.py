"""The test of a calibration that needs no second one: the tip touches corners that the camera has seen."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robot.calibration.hand_eye import HandEye
from robot.calibration.park import board_pose
from robot.calibration.samples import Sample
from sim.errors import InputError
from sim.geometry import transform

FloatArray = NDArray[np.float64]
COLUMNS = ("corner", "x", "y", "z")
HALF_TURN = np.array([-1.0, -1.0, 1.0])  # from a UR pendant's base to base_link
LARGE = 0.02  # m of error, from which on another frame is tried


def corner_places(sample: Sample, hand_eye: HandEye, corners: FloatArray) -> FloatArray:
    """Returns where the board's corners are by the camera.

    Args:
        sample: A picture of the board.
        hand_eye: The calibration under test, of a camera that does not carry the board.
        corners: (M, 3) corners, board frame, metres.

    Returns:
        (M, 3) float64, base frame, metres.
    """
    seen = board_pose(sample.points, sample.pixels, sample.camera)
    return transform(hand_eye.camera_pose(sample.flange) @ seen, corners)


def compare_touches(places: FloatArray, touches: Mapping[int, FloatArray]) -> FloatArray:
    """Returns the errors of a calibration.

    Args:
        places: (M, 3) corners by the camera, base frame, metres.
        touches: Number of a corner -> (3,) place of the tip that touched it, base frame, metres.

    Returns:
        (K, 3) float64 camera minus tip, base frame, metres, in the order of ``touches``.

    Raises:
        InputError: A number is no corner's.
    """
    for corner in touches:
        if not 0 <= corner < len(places):
            raise InputError(f"corner {corner} is not on the board; give 0 to {len(places) - 1}")
    return np.array([places[k] - np.asarray(tip, np.float64) for k, tip in touches.items()]).reshape(-1, 3)


def read_touches(path: Path) -> dict[int, FloatArray]:
    """Reads a table of touched corners, columns corner, x, y, z in the base frame, metres; none where it is missing.

    Raises:
        InputError: A line is no corner and three numbers.
    """
    if not path.is_file():
        return {}
    touches = {}
    with path.open(newline="", errors="replace") as file:
        for line, row in enumerate(csv.DictReader(file, skipinitialspace=True), 2):
            try:
                corner, place = int(row["corner"]), np.array([float(row[c]) for c in COLUMNS[1:]])
            except (KeyError, TypeError, ValueError):
                raise InputError(f"line {line} of {path} is not {','.join(COLUMNS)}; correct it") from None
            if not (np.abs(place) < 10).all():
                raise InputError(f"line {line} of {path} holds {place.tolist()}; give metres in the base frame")
            touches[corner] = place
    return touches


def _describe_touches(places: FloatArray, touches: Mapping[int, FloatArray]) -> str:
    """Returns the errors of touched corners in words, and whether they are in a UR pendant's frame."""
    errors = 1000 * compare_touches(places, touches)
    size, (x, y, z) = np.linalg.norm(errors, axis=1), errors.mean(0)
    worst = list(touches)[int(size.argmax())]
    turned = 1000 * compare_touches(places, {k: HALF_TURN * tip for k, tip in touches.items()})
    better = float(np.linalg.norm(turned, axis=1).mean())
    lines = [
        f"{len(size)} touched corners: mean error {size.mean():.2f} mm, worst {size.max():.2f} mm (corner {worst})",
        f"the camera sees them off by x {x:+.2f}, y {y:+.2f}, z {z:+.2f} mm on average, base frame",
    ]
    if size.mean() > 1000 * LARGE and better < size.mean() / 4:
        lines.append(
            f"with x and y of the touches negated the mean error is {better:.2f} mm: they are a UR pendant's, whose "
            "base is turned by 180 degrees; give them in the frame of base_link, x and y with the other sign"
        )
    return "\n".join(lines)


def describe_validation(
    hand_eye: HandEye, samples: Sequence[Sample], *, corners: FloatArray, touches: Mapping[int, FloatArray]
) -> str:
    """Returns how far a calibration is off, in words.

    Args:
        hand_eye: The calibration under test.
        samples: Pictures of one board that did not move.
        corners: (M, 3) corners, board frame, metres.
        touches: Touched corners as of ``read_touches``; without them the pictures are compared with each other.

    Raises:
        InputError: There is too little to compare.
    """
    if not samples:
        raise InputError("no picture shows the board; take one at rest, in good light, with the whole board in view")
    if hand_eye.mount == "base" and not touches:
        raise InputError("a camera beside the arm is tested by touched corners; write touches.csv")
    places = np.stack([corner_places(s, hand_eye, corners) for s in samples])
    if touches:
        return _describe_touches(places.mean(0), touches)
    if len(samples) < 2:
        raise InputError("one picture and no touches.csv compare with nothing; touch corners or take more pictures")
    spread = 1000 * np.linalg.norm(places - places.mean(0), axis=2)
    return (
        f"{len(samples)} pictures put the board's corners {spread.mean():.2f} mm apart from their mean, "
        f"worst {spread.max():.2f} mm; touch corners to see an error that all pictures share"
    )
