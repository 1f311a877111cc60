"""Poses checked by rendering: does the object stand where the depth image shows it?

How much of an object's rendered surface agrees with the measured depth says little of a small error: a box that stands
5 mm beside its place agrees but for its rims. So every object is also moved, in small steps, to where its rendering
fits the depth best. How far that is from the given pose is the pose's error.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.camera import PinholeCamera
from sim.errors import NOT_NEGATIVE, POSITIVE, check_numbers
from sim.geometry import FloatArray, transform
from sim.render import render_depth
from sim.render.rasteriser import rasterise_pinhole
from sim.scene import SceneState

_CAP = 0.015  # metres: what differs by more is another surface, however far
_STEPS = (0.004, 0.002, 0.001)  # metres that an object's rim is moved by at a time
_SWEEPS = 4  # steps of each length at most
_BAND = 0.012  # metres around the object that are compared: there it would stand instead
_WORTH = 0.995  # factor on the misfit below which a step is taken
_FEWEST = 60  # pixels with a depth, for a pose to be checked

FloatImage = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """When a pose is bad.

    Attributes:
        within: Difference of rendered and measured depth that counts as agreement, metres.
        agree: Least share of an object's pixels that agree, in [0, 1].
        tolerance: Greatest shift of an object's surface to where it fits best, metres.
        gain: Least share of the misfit that this shift must take away to count, in [0, 1].
        bad_objects: Greatest share of bad poses in a view that is kept, in [0, 1].
    """

    within: float = 0.010
    agree: float = 0.6
    tolerance: float = 0.003
    gain: float = 0.10
    bad_objects: float = 0.5

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = dict.fromkeys(("within", "tolerance"), POSITIVE)
        check_numbers("import-posed", self, limits | dict.fromkeys(("agree", "gain", "bad_objects"), NOT_NEGATIVE))


@dataclass(frozen=True, kw_only=True)
class PoseCheck:
    """What the rendering says of one pose.

    Attributes:
        object: Name of the object.
        pixels: Number of pixels on which it is rendered.
        agree: Share of those with a measured depth whose depth agrees; NaN where none has one.
        mean: Mean signed difference, measured minus rendered, of the agreeing pixels, metres; NaN without any.
        shift: Mean shift of its surface to where it fits best, metres; 0 where nothing fits better.
        verdict: "good", "bad", or "unchecked" where too little of it is seen.
        reason: Why, one clause; empty for good ones.
    """

    object: str
    pixels: int
    agree: float
    mean: float
    shift: float
    verdict: str
    reason: str = ""


def check_poses(
    state: SceneState,
    camera: PinholeCamera,
    *,
    rendered: FloatImage,
    mask: NDArray[np.integer],
    measured: FloatImage,
    settings: CheckSettings,
) -> list[PoseCheck]:
    """Compares every object's rendering with the measured depth.

    Args:
        state: The scene as its poses have it.
        camera: The camera, with its pose in the world.
        rendered: (H, W) rendered depth, metres.
        mask: (H, W) rendered mask, objects 1 ... N.
        measured: (H, W) measured depth, metres, 0 = missing.
        settings: When a pose is bad.
    """
    return [
        _check(state, i, camera, rendered=rendered, mask=mask == i + 1, measured=measured, settings=settings)
        for i in range(len(state.models))
    ]


def _check(
    state: SceneState,
    index: int,
    camera: PinholeCamera,
    *,
    rendered: FloatImage,
    mask: NDArray[np.bool_],
    measured: FloatImage,
    settings: CheckSettings,
) -> PoseCheck:
    name, pixels = state.models[index].name, int(mask.sum())
    seen = mask & (measured > 0)
    differ = (measured - rendered)[seen]
    agreeing = np.abs(differ) < settings.within
    agree = float(agreeing.mean()) if len(differ) else np.nan
    mean = float(differ[agreeing].mean()) if agreeing.any() else np.nan
    shift, verdict, reason = 0.0, "good", ""
    if len(differ) < _FEWEST:
        verdict, reason = "unchecked", f"only {len(differ)} of its pixels have a depth"
    elif agree < settings.agree:
        verdict, reason = "bad", f"{agree:.0%} of its pixels agree within {1000 * settings.within:g} mm"
    else:
        rest, _, _ = render_depth(state.keep([i for i in range(len(state.models)) if i != index]), camera)
        vertices = transform(np.linalg.inv(camera.pose) @ state.poses[index], state.models[index].mesh().vertices)
        shift, gain = _best_shift(
            camera, vertices, state.models[index].mesh().faces, mask=mask, measured=measured, rest=rest
        )
        if shift > settings.tolerance and gain > settings.gain:
            verdict, reason = "bad", f"it fits better {1000 * shift:.1f} mm away"
    return PoseCheck(object=name, pixels=pixels, agree=agree, mean=mean, shift=shift, verdict=verdict, reason=reason)


def _best_shift(
    camera: PinholeCamera,
    vertices: FloatArray,
    faces: NDArray[np.int32],
    *,
    mask: NDArray[np.bool_],
    measured: FloatImage,
    rest: FloatImage,
) -> tuple[float, float]:
    """Moves an object to where its rendering fits best.

    Args:
        camera: The camera.
        vertices: (V, 3) of the object, camera frame, metres.
        faces: (F, 3) vertex indices.
        mask: (H, W) pixels on which it is rendered.
        measured: (H, W) measured depth, metres, 0 = missing.
        rest: (H, W) rendered depth of all else, metres.

    Returns:
        Mean shift of its vertices, metres, and the share of the misfit that it takes away.
    """
    reach = max(3, round(_BAND * camera.intrinsics[0, 0] / float(np.median(vertices[:, 2]))))
    band = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    rows, cols = np.nonzero(band)
    cut = slice(rows.min(), rows.max() + 1), slice(cols.min(), cols.max() + 1)
    m = camera.intrinsics.copy()
    m[0, 2] -= cut[1].start
    m[1, 2] -= cut[0].start
    part = PinholeCamera(cut[1].stop - cut[1].start, cut[0].stop - cut[0].start, m)
    behind, target = np.where(rest[cut] > 0, rest[cut], np.inf), measured[cut]
    compared = band[cut] & (target > 0)

    def misfit(points: FloatArray) -> float:
        depth, _ = rasterise_pinhole(part, points, faces)
        whole = np.minimum(np.where(depth > 0, depth, np.inf), behind)
        return float(np.minimum(np.abs(whole - target), _CAP)[compared].mean())

    now, start = vertices, misfit(vertices)
    least = start
    radius = float(np.linalg.norm(vertices - vertices.mean(axis=0), axis=1).max())
    for step in _STEPS:
        for _ in range(_SWEEPS):
            tried = [(misfit(p), i, p) for i, p in enumerate(_moved(now, step, radius))]
            best = min(tried, key=lambda t: t[:2])
            if best[0] >= least * _WORTH:
                break
            least, now = best[0], best[2]
    return float(np.linalg.norm(now - vertices, axis=1).mean()), 1 - least / start if start > 0 else 0.0


def _moved(vertices: FloatArray, step: float, radius: float) -> list[FloatArray]:
    """Returns an object moved along and turned about every axis, both ways."""
    middle = vertices.mean(axis=0)
    result: list[FloatArray] = []
    for axis in np.eye(3):
        for sign in (-step, step):
            turn = np.asarray(Rotation.from_rotvec(sign / max(radius, 1e-3) * axis).as_matrix(), np.float64)
            result += [vertices + sign * axis, (vertices - middle) @ turn.T + middle]
    return result
