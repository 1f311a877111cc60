"""What a depth sensor loses pixel by pixel: the shadow of its second eye, grazing surfaces, blobs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled

FloatImage = NDArray[np.float32]
_FRAY = 0.04  # of the border's width: its edge is ragged


@compiled
def hide_shadow(depth: FloatImage, shift: float, out: NDArray[np.bool_]) -> None:
    """Marks the pixels that the second eye of a sensor does not see: a right camera, or a projector.

    Pixel x of a row stands at x - shift / depth in the second eye's row. A pixel is in the shadow where a pixel on the
    second eye's side of it comes to stand at or before it there: the order of the two is reversed (Marr and Poggio
    1979, the ordering constraint). One pass over a row finds them all.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
        shift: Focal length times baseline, pixels times metres; its sign is the second eye's side along x.
        out: (H, W) bool, set to True where a pixel is not seen.
    """
    height, width = depth.shape
    for row in range(height):
        foremost = 1e30
        for k in range(width):
            # The mirrored row of a mirrored sensor obeys the same rule.
            col = width - 1 - k if shift > 0 else k
            z = depth[row, col]
            if z <= 0:
                continue
            place = float(width - 1 - k) - abs(shift) / z
            if place >= foremost:
                out[row, col] = True
            if place < foremost:
                foremost = place


@compiled
def lose_border(
    field: FloatImage, share: float, place: tuple[int, int, int], frame: tuple[int, int], out: NDArray[np.bool_]
) -> None:
    """Marks the pixels along the frame's border: those that the second eye does not look at.

    Args:
        field: (h, w) float32, a standard normal field: the border's edge follows it.
        share: Share of the frame, [0, 1].
        place: Where they are: 1 left, -1 right, 0 on all four sides; first row and first column of the part of the
            frame that is looked at.
        frame: (H, W) of the frame.
        out: (h, w) bool, set to True where a pixel is lost.
    """
    height, width = frame
    side, top, left = place
    margin = share if side != 0 else (1.0 - math.sqrt(1.0 - share)) / 2.0  # of the frame's width and height
    most = margin * (1.0 + 3.0 * _FRAY)
    for row in range(out.shape[0]):
        y = (top + row + 0.5) / height
        for col in range(out.shape[1]):
            x = (left + col + 0.5) / width
            inward = x if side > 0 else 1.0 - x if side < 0 else min(min(x, 1.0 - x), min(y, 1.0 - y))
            if inward < most and inward < margin * (1.0 + _FRAY * min(max(field[row, col], -3.0), 3.0)):
                out[row, col] = True


@compiled
def lose_pixels(depth: FloatImage, field: FloatImage, numbers: NDArray[np.float64], out: NDArray[np.bool_]) -> None:
    """Marks the pixels that a surface too steep, or mere chance, takes from the sensor.

    The slope of a pixel is the greatest of the four towards its neighbours. The probability grows linearly in the
    angle of incidence, as that of eq. (5) does in the gradient.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
        field: (H, W) float32, a standard normal field: what makes holes blobs.
        numbers: (4,) float64: focal length in pixels; angles in radians from which pixels are lost, and from which
            all are; normal deviate of the share that chance takes.
        out: (H, W) bool, set to True where a pixel is lost.
    """
    height, width = depth.shape
    focal, low, high, chance = numbers[0], numbers[1], numbers[2], numbers[3]
    least = math.tan(low)
    for row in range(height):
        for col in range(width):
            z = depth[row, col]
            if z <= 0 or out[row, col]:
                continue
            if field[row, col] < chance:
                out[row, col] = True
                continue
            jump = 0.0
            if col > 0 and depth[row, col - 1] > 0:
                jump = max(jump, abs(depth[row, col - 1] - z))
            if col < width - 1 and depth[row, col + 1] > 0:
                jump = max(jump, abs(depth[row, col + 1] - z))
            if row > 0 and depth[row - 1, col] > 0:
                jump = max(jump, abs(depth[row - 1, col] - z))
            if row < height - 1 and depth[row + 1, col] > 0:
                jump = max(jump, abs(depth[row + 1, col] - z))
            slope = focal * jump / z
            if slope > least:
                share = (math.atan(slope) - low) / (high - low)
                if 0.5 * math.erfc(-field[row, col] / math.sqrt(2.0)) < share:
                    out[row, col] = True


@compiled
def disturb(
    depth: FloatImage,
    lost: NDArray[np.bool_],
    fine: FloatImage,
    bend: FloatImage,
    numbers: NDArray[np.float64],
) -> FloatImage:
    """Returns the depth with its errors, rounded as the sensor rounds, 0 where a pixel is lost.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
        lost: (H, W) bool.
        fine: (H, W) float32, standard normal: the error from pixel to pixel.
        bend: (H, W) float32, standard normal: the error that bends planes.
        numbers: (6,) float64: error in metres and its growth with the squared depth in 1/m; the same two of the bend;
            step of the inverse depth in 1/m; step of the depth in metres. A step of 0 rounds nothing.

    Returns:
        (H, W) float32, metres, 0 = missing.
    """
    height, width = depth.shape
    noisy = np.zeros((height, width), np.float32)
    sigma, sigma_square, bent, bent_square, inverse, unit = numbers
    for row in range(height):
        for col in range(width):
            z = float(depth[row, col])
            if z <= 0 or lost[row, col]:
                continue
            z2 = z * z
            z += (sigma + sigma_square * z2) * fine[row, col] + (bent + bent_square * z2) * bend[row, col]
            z = max(z, 1e-3)
            if inverse > 0:
                z = 1.0 / (max(1.0, np.floor(1.0 / (z * inverse) + 0.5)) * inverse)
            if unit > 0:
                z = max(1.0, np.floor(z / unit + 0.5)) * unit
            noisy[row, col] = z
    return noisy
