"""Clutter on which noise is drawn where it is fitted: published scenes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sim.benchmark.scene_sets import load_scene_set
from sim.camera import PinholeCamera
from sim.depth_noise.fit import Scenes
from sim.physics import TraySettings
from sim.render.view import render_depth
from sim.scene import SceneState

_SCENES = 4
# Objects; half a one is one more in every other scene.
_COUNTS = (*(n / 2 for n in range(2, 13)), 7, 8, 9, 10, 11, 13, 15, 18, 22, 26, 30)
_TABLE = TraySettings(floor=1.9, wall_height=0.001, wall_lean=0.0)  # fills every frame


def reference_clutter() -> dict[str, Scenes]:
    """Returns depth renderers of the first scenes of plgp-320's novel-15 on a table, with few of the objects first.

    More than 15 objects are those of two scenes at once, which no hand could lay out; only depth is asked of them.
    """
    published = load_scene_set("plgp-320")["novel-15"][: _SCENES + 1]
    full = [
        replace(a, models=a.models + b.models, poses=np.concatenate([a.poses, b.poses]), tray=_TABLE)
        for a, b in pairwise(published)
    ]
    clutter: dict[str, Scenes] = {}
    for mean in _COUNTS:
        counts = [int(mean + i % 2 / 2) for i in range(len(full))]
        kept = [state.keep(list(range(min(n, len(state.models))))) for n, state in zip(counts, full, strict=True)]
        clutter[f"{mean:g} object" + "s" * (mean != 1)] = [partial(_depth, state) for state in kept]
    return clutter


def _depth(state: SceneState, camera: PinholeCamera) -> NDArray[np.float32]:
    """Returns the depth that a camera sees of a scene, (H, W) float32, metres."""
    return render_depth(state, camera)[0]
