"""Figures off screen: no window, no change of matplotlib's own state, the same bytes each time."""

import subprocess
import sys

import pytest

from sim.drawing.figures import hide_ticks, panels, save_figure, to_png


def test_panels_are_a_grid_of_the_size_asked_for():
    figure, axes = panels(2, 3, (6, 4), dpi=50, sharex=True)
    assert axes.shape == (2, 3)
    assert tuple(figure.get_size_inches()) == (6, 4)
    assert figure.dpi == 50
    assert axes[0, 0].get_shared_x_axes().joined(axes[0, 0], axes[1, 2])


def test_single_panel_keeps_the_shape_of_a_grid():
    assert panels(1, 1, (1, 1))[1].shape == (1, 1)


def test_figures_touch_neither_pyplot_nor_the_chosen_backend():
    code = "import sys; from sim.drawing.figures import panels, to_png; assert 'matplotlib' not in sys.modules; "
    code += "to_png(panels(1, 1, (1, 1))[0], 20); print('matplotlib.pyplot' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_the_same_figure_gives_the_same_bytes():
    first, second = (to_png(panels(1, 2, (2, 1))[0], 40) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")
    assert b"matplotlib" not in first


def test_save_makes_the_folder(tmp_path):
    figure, axes = panels(1, 1, (1, 1))
    hide_ticks(*axes.flat)
    assert not len(axes[0, 0].get_xticks())
    path = save_figure(figure, tmp_path / "deep" / "picture.png", 30)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="Format"):
        save_figure(figure, tmp_path / "picture.nonsense", 30)
