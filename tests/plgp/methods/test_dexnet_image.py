"""A camera of another scale is resized for Dex-Net's networks: where things lie stays true."""

import numpy as np
import pytest

from plgp.methods.dexnet.image import see
from sim.benchmark import Observation
from sim.camera import PinholeCamera, overhead_pose


@pytest.mark.parametrize(("size", "focal", "height"), [((640, 480), 617, 0.6), ((1280, 720), 920, 0.7)])
def test_things_stay_where_they_are_in_a_resized_image(size, focal, height):
    """Sixty blocks: their mean lies within 0.1 mm. By the pixels' corners it lay 0.7 mm to the right and below."""
    lens = np.array([[focal, 0, size[0] / 2 - 0.5], [0, focal, size[1] / 2 - 0.5], [0, 0, 1]])
    camera = PinholeCamera(*size, lens, overhead_pose(height))
    rng, errors, top = np.random.default_rng(0), [], height - 0.03
    for _ in range(60):
        side, row, col = (int(rng.integers(*span)) for span in ((25, 45), (160, 280), (240, 360)))
        depth = np.full((size[1], size[0]), height, np.float32)
        depth[row : row + side, col : col + side] = top
        seen = see(Observation(None, depth, camera), None, min_height=0.005)
        assert seen.depth.shape != depth.shape
        rows, cols = np.nonzero(seen.allowed)
        found = seen.camera.deproject([rows.mean()], [cols.mean()], [top])[0]
        middle = camera.deproject([row + (side - 1) / 2], [col + (side - 1) / 2], [top])[0]
        errors.append(1000 * (found - middle)[:2])
        np.testing.assert_array_equal(seen.depth[seen.allowed], np.float32(top))
    assert np.abs(np.mean(errors, axis=0)).max() < 0.1
