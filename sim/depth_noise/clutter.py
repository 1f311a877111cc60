"""Clutter on which noise is drawn where it is fitted: published scenes."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from sim.benchmark.scene_sets import load_scene_set
from sim.camera import PinholeCamera
from sim.depth_noise.fit import Scenes
from sim.render.view import render_depth
from sim.scene import SceneState

_SCENES = 4
_COUNTS = (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10, 11, 13, 15)  # objects; a half: by turns one more


def reference_clutter() -> dict[str, Scenes]:
    """Returns depth renderers of the first scenes of plgp-320's novel-15, with few of the objects first."""
    published = load_scene_set("plgp-320")["novel-15"][:_SCENES]
    clutter: dict[str, Scenes] = {}
    for mean in _COUNTS:
        counts = [int(mean + i % 2 / 2) for i in range(len(published))]
        kept = [state.keep(list(range(min(n, len(state.models))))) for n, state in zip(counts, published, strict=True)]
        clutter[f"{mean:g} objects"] = [partial(_depth, state) for state in kept]
    return clutter


def _depth(state: SceneState, camera: PinholeCamera) -> NDArray[np.float32]:
    """Returns the depth that a camera sees of a scene, (H, W) float32, metres."""
    return render_depth(state, camera)[0]
