"""Where things stand: numbers in another unit would send the arm elsewhere."""

import numpy as np
import pytest

from robot.cell.settings import CellSettings, ReceptacleSettings
from sim.errors import InputError


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"base": (0.45, 0, 0.15, 0, 0, 180)}, "cell.base is turned by 180 rad, as if in degrees; give metres"),
        ({"base": (-450, 0, 150, 0, 0, 0)}, "cell.base is 450 m away, as if in millimetres"),
        ({"camera": (0, -0.08, 0.04, 0, 0, -90)}, "cell.camera is turned by 90 rad, as if in degrees"),
        ({"camera": (0, -80, 40, 0, 0, -1.57)}, "cell.camera is 80 m away, as if in millimetres"),
        ({"camera_height": 600}, "cell.camera_height is 600; give metres"),
        ({"release": 80}, "cell.release is 80; give metres"),
        ({"hand_speed": 100}, "cell.hand_speed is 100; give metres a second"),
    ],
)
def test_a_cell_in_another_unit_is_named(wrong, said):
    with pytest.raises(InputError, match=said):
        CellSettings(**wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"centre": (-120, 450)}, "cell.receptacle.centre is 450 m away, as if in millimetres; give metres$"),
        ({"side": 300}, "cell.receptacle.side is 300; give metres"),
        ({"wall": 80}, "cell.receptacle.wall is 80; give metres"),
    ],
)
def test_a_receptacle_in_another_unit_is_named(wrong, said):
    with pytest.raises(InputError, match=said):
        ReceptacleSettings(**wrong)


def test_a_whole_turn_is_allowed():
    assert CellSettings(base=(2.0, -2.0, 0.8, -2 * np.pi, 0, 2 * np.pi)).base[3] == -2 * np.pi
