"""What is doubtful about a data set's poses by themselves, and which unit is wrong where no pose fits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from labeler.posed.views import PosedView

_NAMED = 3  # poses that are named
_SAME = 1e-4  # metres and parts of a rotation within which two poses are one
_EDGE = 0.2  # decades around a power of ten
_FAR = 0.7  # metres: what is usual between camera and objects


def pose_doubts(views: Iterable[PosedView | tuple[str, str]]) -> list[str]:
    """Returns a sentence on poses behind their camera, and one on poses that are listed twice.

    Args:
        views: The views; those that cannot be read say so elsewhere.
    """
    behind, twice = list[str](), list[str]()
    for view in views:
        if isinstance(view, PosedView):
            names = [f"{view.name} {model}" for model in view.models]
            behind += [name for name, pose in zip(names, view.poses, strict=True) if pose[2, 3] <= 0]
            twice += [names[i] for i in range(len(names)) if _is_listed(view, i)]
    told = {"behind their camera, where they are not seen": behind, "listed twice in their view": twice}
    cures = ("mend or delete them", "delete one of the two: what stands twice at one place bursts apart in physics")
    return [
        f"poses {what} ({len(names)}): {', '.join(names[:_NAMED])}{' ...' if len(names) > _NAMED else ''}; {cure}"
        for (what, names), cure in zip(told.items(), cures, strict=True)
        if names
    ]


def _is_listed(view: PosedView, index: int) -> bool:
    """Tells whether a pose is that of an object with the same mesh that is listed before it."""
    same = [i for i in range(index) if view.models[i] == view.models[index]]
    return any(np.abs(view.poses[i] - view.poses[index]).max() < _SAME for i in same)


def unit_doubt(view: PosedView, measured: NDArray[np.float32], shown: NDArray[np.bool_]) -> str:
    """Returns a clause on depth and poses that are apart by a power of ten; "" where they are not.

    Args:
        view: The view; none of its poses fits.
        measured: (H, W) measured depth, metres, 0 = missing.
        shown: (H, W) where its objects are rendered.
    """
    seen = measured[shown & (measured > 0)]
    seen = seen if len(seen) else measured[measured > 0]
    posed = view.poses[view.poses[:, 2, 3] > 0, 2, 3]
    if not len(seen) or not len(posed):
        return ""
    depth, distance = float(np.median(seen)), float(np.median(posed))
    decades = np.log10(depth / distance)
    power = round(decades)
    if not power or abs(decades - power) > _EDGE:
        return ""
    factor = f"{10.0 ** abs(power):g} times {'farther' if power > 0 else 'nearer'} than its poses"
    if abs(np.log10(depth / _FAR)) > abs(np.log10(distance / _FAR)):
        cure = f"{10.0**-power:g} times depth_scale would fit (GraspNet: {10.0**power:g} times factor_depth)"
    else:
        cure = "see cam_t_m2c, which is in millimetres (GraspNet: poses, in metres)"
    return f"its depth is {factor} ({depth:.3g} m, {distance:.3g} m): {cure}"
