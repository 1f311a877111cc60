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

_SCENES = 4  # of each category


def reference_clutter() -> dict[str, Scenes]:
    """Returns depth renderers of the first scenes of plgp-320 with few and with many novel objects."""
    published = load_scene_set("plgp-320")
    return {name: [partial(_depth, state) for state in published[name][:_SCENES]] for name in ("novel-5", "novel-15")}


def _depth(state: SceneState, camera: PinholeCamera) -> NDArray[np.float32]:
    """Returns the depth that a camera sees of a scene, (H, W) float32, metres."""
    return render_depth(state, camera)[0]
