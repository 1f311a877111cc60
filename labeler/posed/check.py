"""Poses checked by rendering: does the object stand where the depth image shows it?

How much of an object's rendered surface agrees with the measured depth says little of a small error: a box that stands
5 mm beside its place agrees but for its rims. So every object is also moved, in small steps, to where its rendering
fits the depth best. How far that is from the given pose is the pose's error. A turn is looked for on its own: it moves
the surface by little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labeler.posed.fit import best_shift, compare_around
from labeler.posed.turn import best_turn, noise_covariance
from sim.camera import PinholeCamera
from sim.errors import NOT_NEGATIVE, POSITIVE, check_numbers
from sim.geometry import FloatArray, transform
from sim.render import render_depth
from sim.scene import SceneState

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
        turn: Greatest turn of an object to where it fits best, degrees; only what noise does not explain counts.
    """

    within: float = 0.010
    agree: float = 0.6
    tolerance: float = 0.003
    gain: float = 0.10
    bad_objects: float = 0.5
    turn: float = 1.5

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = dict.fromkeys(("within", "tolerance", "turn"), POSITIVE)
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
        turn: Turn to where it fits best, degrees, as far as the noise of the depth does not explain it; 0 where it
            does, NaN where the pose was judged without.
        turn_error: Standard deviation of that turn by noise, about the axis of its greatest, degrees; NaN likewise, and
            where no turn would show.
    """

    object: str
    pixels: int
    agree: float
    mean: float
    shift: float
    verdict: str
    reason: str = ""
    turn: float = np.nan
    turn_error: float = np.nan


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
    noise = noise_covariance(rendered, mask, measured)
    return [
        _check(
            state,
            i,
            camera,
            rendered=rendered,
            mask=mask == i + 1,
            measured=measured,
            noise=noise,
            settings=settings,
        )
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
    noise: FloatArray,
    settings: CheckSettings,
) -> PoseCheck:
    name, pixels = state.models[index].name, int(mask.sum())
    seen = mask & (measured > 0)
    differ = (measured - rendered)[seen]
    agreeing = np.abs(differ) < settings.within
    agree = float(agreeing.mean()) if len(differ) else np.nan
    mean = float(differ[agreeing].mean()) if agreeing.any() else np.nan
    shift, turn, error, verdict, reason = 0.0, np.nan, np.nan, "good", ""
    if len(differ) < _FEWEST:
        verdict, reason = "unchecked", f"only {len(differ)} of its pixels have a depth"
    elif agree < settings.agree:
        verdict, reason = "bad", f"{agree:.0%} of its pixels agree within {1000 * settings.within:g} mm"
    else:
        rest, _, _ = render_depth(state.keep([i for i in range(len(state.models)) if i != index]), camera)
        vertices = transform(np.linalg.inv(camera.pose) @ state.poses[index], state.models[index].mesh().vertices)
        faces = state.models[index].mesh().faces
        around = compare_around(camera, vertices, faces, mask=mask, measured=measured, rest=rest)
        shift, gain = best_shift(around, vertices)
        turn, error = np.degrees(best_turn(around, vertices, noise)).tolist()
        if shift > settings.tolerance and gain > settings.gain:
            verdict, reason = "bad", f"it fits better {1000 * shift:.1f} mm away"
        elif turn > settings.turn:
            verdict, reason = "bad", f"it fits better turned by {turn:.1f} degrees"
    return PoseCheck(
        object=name,
        pixels=pixels,
        agree=agree,
        mean=mean,
        shift=shift,
        verdict=verdict,
        reason=reason,
        turn=turn,
        turn_error=error,
    )
