"""Synthetic scenes for the labeler's tests: height fields seen by a small camera."""

from types import SimpleNamespace

import numpy as np
import pytest

from sim.camera import ParallelCamera, PinholeCamera
from sim.view import SceneView

FLOOR = 0.6
ETA = 2500
SIZE = 750


def grid(eta=ETA, size=SIZE):
    """x right and y down of every parallel pixel, metres."""
    axis = (np.arange(size) - (size - 1) / 2) / eta
    return np.meshgrid(axis, axis)


def make_view(height, mask, back=None, eta=ETA, camera=None):
    """A view of a height field: ``height`` metres above the floor, (n, n); the camera image by ray marching."""
    size = height.shape[0]
    depth = np.round((FLOOR - height) / 1e-5).astype(np.float64) * 1e-5
    camera = camera or PinholeCamera(160, 160, np.array([[300, 0, 79.5], [0, 300, 79.5], [0, 0, 1.0]]))
    parallel = ParallelCamera(eta, size, size)
    rows, cols = np.mgrid[: camera.height, : camera.width]
    seen = np.full(rows.shape, FLOOR)
    seen_mask = np.zeros(rows.shape, np.uint8)
    done = np.zeros(rows.shape, bool)
    for z in np.arange(depth.min(), FLOOR + 1e-9, 1e-3):
        r, c, _ = parallel.project(camera.deproject(rows.ravel(), cols.ravel(), np.full(rows.size, z)))
        r = np.clip(np.rint(r).astype(int), 0, size - 1).reshape(rows.shape)
        c = np.clip(np.rint(c).astype(int), 0, size - 1).reshape(rows.shape)
        hit = ~done & (depth[r, c] <= z)
        seen[hit], seen_mask[hit] = depth[r, c][hit], mask[r, c][hit]
        done |= hit
    return SceneView(
        seen.astype(np.float32),
        seen_mask,
        camera,
        depth.astype(np.float32),
        mask.astype(np.uint8),
        parallel,
        parallel_back_depth=None if back is None else back.astype(np.float32),
    )


def turned_box(x, y, centre, size, angle):
    """Where a box's footprint lies; ``angle`` counter-clockwise as seen (y is down)."""
    dx, dy = x - centre[0], y - centre[1]
    u, v = dx * np.cos(angle) - dy * np.sin(angle), dx * np.sin(angle) + dy * np.cos(angle)
    return (np.abs(u) <= size[0] / 2) & (np.abs(v) <= size[1] / 2)


@pytest.fixture(scope="module")
def synthetic():
    """The functions above."""

    result = SimpleNamespace()
    result.grid, result.make_view, result.turned_box = grid, make_view, turned_box
    result.floor, result.eta, result.size = FLOOR, ETA, SIZE
    return result
