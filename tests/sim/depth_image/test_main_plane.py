"""The main plane of bins and rooms: which of several planes things stand on."""

import numpy as np
import pytest

from sim.camera import PinholeCamera
from sim.depth_image.main_plane import find_main_plane

CAMERA = PinholeCamera(160, 120, np.array([[140.0, 0, 79.5], [0, 140.0, 59.5], [0, 0, 1]]))


def seen(planes, seed=0):
    """Depth (120, 160) of the inside of planes (normal towards the camera, distance), with 1 mm of noise."""
    y, x = np.mgrid[:120, :160]
    rays = np.stack([(x - 79.5) / 140, (y - 59.5) / 140, np.ones(x.shape)], axis=2)
    depth = np.min([-d / np.minimum(rays @ n, -1e-9) for n, d in planes], axis=0)
    return (depth + np.random.default_rng(seed).normal(0, 0.001, depth.shape)).astype(np.float32)


def leaning(side, lean, distance):
    """A plane whose normal leans by ``lean`` degrees to a side (x, y) away from looking back at the camera."""
    side, lean = np.array([*side, 0.0]), np.deg2rad(lean)
    return np.sin(lean) * side - np.cos(lean) * np.array([0, 0, 1.0]), distance


FLOOR = leaning((0, 0), 0, 0.56)


@pytest.mark.parametrize(
    "walls", [((-1, 0), (0, 1), (0, -1)), ((-1, 0), (1, 0), (0, 1), (0, -1)), ((1, 0), (0, 1), (0, -1))]
)
def test_a_bins_floor_is_found_though_a_wall_shows_more(walls):
    # The first wall reaches into the picture's middle; the others stand farther out.
    planes = [FLOOR] + [leaning(w, 35, 0.50 if i == 0 else 0.56) for i, w in enumerate(walls)]
    depth = seen(planes)
    plane = find_main_plane(depth, CAMERA)
    assert plane.normal == pytest.approx([0, 0, -1], abs=0.02)
    assert plane.distance == pytest.approx(0.56, abs=0.003)


@pytest.mark.parametrize("seed", range(8))
def test_a_floor_that_holds_little_is_found_by_any_draw(seed):
    # Four walls and a floor of a fifth of the picture each; boxes on the floor hide most of it.
    depth = seen([FLOOR] + [leaning(w, 40, 0.52) for w in ((-1, 0), (1, 0), (0, 1), (0, -1))])
    rng = np.random.default_rng(5)
    for row, col in rng.integers((5, 5), (105, 145), size=(25, 2)):
        depth[row : row + 10, col : col + 10] -= np.float32(rng.uniform(0.02, 0.05))
    assert find_main_plane(depth, CAMERA, seed=seed).normal == pytest.approx([0, 0, -1], abs=0.04)


def test_a_table_before_one_wall_is_the_larger_of_both():
    table, wall = leaning((0, -1), 45, 0.5), leaning((0, 1), 45, 0.8)
    assert find_main_plane(seen([table, wall]), CAMERA).normal == pytest.approx(table[0], abs=0.03)


def test_where_gravity_is_known_it_decides():
    wall = leaning((-1, 0), 35, 0.50)
    depth = seen([FLOOR, wall, leaning((0, 1), 35, 0.56), leaning((0, -1), 35, 0.56)])
    assert find_main_plane(depth, CAMERA, up=wall[0]).normal == pytest.approx(wall[0], abs=0.03)


def test_planes_with_things_below_them_are_no_sides_of_a_bin():
    # A large box's top, leaning, on a table of which less is seen: what is below it says that it is no floor's rival.
    depth = seen([FLOOR])
    depth[20:100, 10:150] -= np.float32(0.08)
    plane = find_main_plane(depth, CAMERA)
    assert plane.distance == pytest.approx(0.48, abs=0.005)  # as ever: the plane that shows most
