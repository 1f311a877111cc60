"""Numbers in a picture never cover each other."""

import numpy as np
import pytest

from sim.drawing.figures import panels
from sim.drawing.number_boxes import number_points


def boxes_of(figure, texts):
    figure.draw_without_rendering()
    return [text.get_window_extent() for text in texts]


@pytest.mark.parametrize("place", [(50, 50), (0, 0), (99, 99), (99, 0)])
def test_no_box_covers_another_even_on_one_spot(place):
    figure, grid = panels(1, 2, (8, 4))
    axes = grid[0, 1]
    axes.imshow(np.zeros((100, 100)))
    points = np.array(place) + np.random.default_rng(0).uniform(-1, 1, (30, 2))
    texts = number_points(axes, points)
    assert [text.get_text() for text in texts] == [str(i + 1) for i in range(30)]
    boxes = boxes_of(figure, texts)
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:i])
    panel = axes.get_window_extent()
    assert all(panel.x0 <= b.x0 and b.x1 <= panel.x1 and panel.y0 <= b.y0 and b.y1 <= panel.y1 for b in boxes)


def test_a_single_number_stands_beside_its_point():
    figure, grid = panels(1, 1, (4, 4))
    axes = grid[0, 0]
    axes.imshow(np.zeros((100, 100)))
    (box,) = boxes_of(figure, number_points(axes, [(40, 60)]))
    x, y = axes.transData.transform((40, 60))
    assert not (box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1)
    assert np.hypot((box.x0 + box.x1) / 2 - x, (box.y0 + box.y1) / 2 - y) < 25
    assert number_points(axes, np.zeros((0, 2))) == []
