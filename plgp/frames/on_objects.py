"""How many of the best grasps lie on objects: what can be said of real frames, where nothing is grasped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from plgp.policy.views.viewed import ViewedGrasps
from sim.depth_image.main_plane import main_plane
from sim.view import Observation

_BEST = 10  # grasps that are looked at
_HEIGHT = 0.008  # metres over the main plane from which on a surface is an object's
_APART = 0.025  # metres between two places


@dataclass(frozen=True, kw_only=True)
class OnObjects:
    """What the best ten grasps of a frame do.

    Attributes:
        frame: Name of the frame.
        tilt_deg: Lean of the main plane against the image, degrees; NaN without a plane.
        plane_m: Distance of the camera from it, metres.
        shown: View that the network was shown: "trained" or "as_is".
        grasps: Number of grasps, ten at most.
        on_objects: Those whose surface point lies 8 mm or more over the main plane, and inside the mask.
        places: Places of those, 25 mm apart or more.
    """

    frame: str
    tilt_deg: float
    plane_m: float
    shown: str
    grasps: int
    on_objects: int
    places: int


def count_on_objects(
    frame: str, seen: Observation, found: ViewedGrasps, *, mask: NDArray[np.bool_] | None = None
) -> OnObjects:
    """Returns how many of a frame's ten best grasps lie on objects, and in how many places.

    The plane is found anew in the frame itself, whatever view the network was shown.

    Args:
        frame: Name of the frame.
        seen: The image.
        found: Its grasps.
        mask: (H, W) bool, where objects or the workspace are; None is everywhere.
    """
    plane = main_plane(seen, 0.0)
    shown = "as_is" if found.view is None else "trained"
    best = found.pixels[slice(_BEST)]
    if plane is None:
        known = {"tilt_deg": np.nan, "plane_m": np.nan, "on_objects": 0, "places": 0}
        return OnObjects(frame=frame, shown=shown, grasps=len(best), **known)  # type: ignore[arg-type]
    points = seen.camera.deproject(best.row, best.col, seen.depth[best.row, best.col])
    good = points @ plane.normal + plane.distance >= _HEIGHT
    if mask is not None:
        good &= mask[best.row, best.col]
    places: list[NDArray[np.float64]] = []
    for point in points[good]:
        if all(np.linalg.norm(point - other) >= _APART for other in places):
            places.append(point)
    return OnObjects(
        frame=frame,
        tilt_deg=float(np.degrees(plane.tilt)),
        plane_m=plane.distance,
        shown=shown,
        grasps=len(best),
        on_objects=int(good.sum()),
        places=len(places),
    )


def counts_frame(rows: Sequence[OnObjects]) -> pd.DataFrame:
    """Returns the counts as a table of data, a row a frame."""
    return pd.DataFrame([[getattr(row, f.name) for f in fields(row)] for row in rows], columns=_names())


def counts_table(rows: Sequence[OnObjects]) -> Table:
    """Returns the counts as a table to print, with the mean below."""
    mean = np.mean([row.on_objects for row in rows]) if rows else 0.0
    table = Table(title=f"of the {_BEST} best grasps {mean:.1f} on objects, mean of {len(rows)} frames")
    for head in ("frame", "tilt, deg", "plane, m", "view", "grasps", "on objects", "places"):
        table.add_column(head, justify="left" if head in ("frame", "view") else "right")
    for row in rows:
        numbers = f"{row.tilt_deg:.0f}", f"{row.plane_m:.2f}", row.shown, str(row.grasps)
        table.add_row(row.frame, *numbers, str(row.on_objects), str(row.places))
    return table


def _names() -> list[str]:
    return [f.name for f in fields(OnObjects)]
