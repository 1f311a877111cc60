"""An Azure Kinect's own calibration: JSON as its SDK reads it from the camera and recordings keep it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sim.errors import InputError


class _Mode(NamedTuple):
    """A mode of the SDK (transformation of calibrations, modes of depth and of colour).

    Attributes:
        binned: Width and height of the whole sensor at the mode's resolution, pixels.
        offset: Left and top of the part that is delivered, pixels.
    """

    binned: tuple[int, int]
    offset: tuple[int, int] = (0, 0)


# Modes by width and height of their images.
_DEPTH = {
    (640, 576): _Mode((1024, 1024), (192, 180)),
    (320, 288): _Mode((512, 512), (96, 90)),
    (512, 512): _Mode((512, 512)),
    (1024, 1024): _Mode((1024, 1024)),
}
_COLOUR = {
    (1280, 720): _Mode((1280, 960), (0, 120)),
    (1920, 1080): _Mode((1920, 1440), (0, 180)),
    (2560, 1440): _Mode((2560, 1920), (0, 240)),
    (2048, 1536): _Mode((2048, 1536)),
    (3840, 2160): _Mode((3840, 2880), (0, 360)),
    (4096, 3072): _Mode((4096, 3072)),
}
_BROWN_CONRADY = "CALIBRATION_LensDistortionModelBrownConrady"


def in_mode(document: Any, size: tuple[int, int] | None, source: str) -> dict[str, Any] | None:
    """Returns fx, fy, cx, cy, the lens and its metric radius of an Azure Kinect's image; None of other documents.

    The size of the image says which camera and which mode it is of; depth that was brought into the colour camera has
    that one's size. Parameters are shares of the binned sensor, whose pixels begin, not end, at integers.

    Args:
        document: What the file holds.
        size: Height and width of the image, pixels.
        source: The file's name in messages.

    Raises:
        InputError: The size is none of the camera's, its camera is lacking, or its lens's model is another.
    """
    outer = document.get("CalibrationInformation", document) if isinstance(document, Mapping) else {}
    cameras = outer.get("Cameras") if isinstance(outer, Mapping) else None
    if not isinstance(cameras, list) or not any("ModelParameters" in str(camera) for camera in cameras):
        return None
    width, height = (size[1], size[0]) if size is not None else (0, 0)
    mode = _DEPTH.get((width, height)) or _COLOUR.get((width, height))
    if mode is None:
        known = ", ".join(f"{w}x{h}" for w, h in (*_DEPTH, *_COLOUR))
        raise InputError(
            f"{source} is an Azure Kinect's calibration, whose images have {known} pixels, not {width}x{height}; give "
            "the image as the camera took it, or its own intrinsics"
        )
    wanted = "Depth" if (width, height) in _DEPTH else "PhotoVideo"
    found = [c for c in cameras if isinstance(c, Mapping) and str(c.get("Purpose", "")).endswith(wanted)]
    if not found:
        raise InputError(
            f"{source} has no camera for {wanted}, of which {width}x{height} pixels are; give another file"
        )
    return _intrinsics(found[0], mode, (width, height), source)


def _intrinsics(camera: Mapping[str, Any], mode: _Mode, size: tuple[int, int], source: str) -> dict[str, Any]:
    try:
        model = str(camera["Intrinsics"]["ModelType"])
        values = [float(value) for value in camera["Intrinsics"]["ModelParameters"]]
        cx, cy, fx, fy, k1, k2, k3, k4, k5, k6, centre_x, centre_y, p2, p1 = values[:14]
        radius = float(camera.get("MetricRadius") or 1.7)  # the SDK's own where there is none
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{source} is an Azure Kinect's calibration without its 14 parameters; export it again"
        ) from error
    if model != _BROWN_CONRADY or centre_x or centre_y:
        raise InputError(f"{source} has the lens's model {model}, which is not read; give the intrinsics of the SDK")
    (across, down), (left, top) = mode.binned, mode.offset
    return {
        "fx": fx * across,
        "fy": fy * down,
        "cx": cx * across - left - 0.5,
        "cy": cy * down - top - 0.5,
        "width": size[0],
        "height": size[1],
        "coeffs": [k1, k2, p1, p2, k3, k4, k5, k6],
        "model": "rational_polynomial",
        "metric_radius": radius,
    }
