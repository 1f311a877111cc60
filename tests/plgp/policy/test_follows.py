"""The grasp follows the thing, not the camera: four frames of a camera that descends into a bin, kept for measuring.

The things move between the frames as well (the frames are of a tracker's demonstration), so a grasp is compared in the
frame of the thing that it lies on.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from plgp.policy import DecoderSettings, NetworkPolicy
from sim.camera import PinholeCamera
from sim.view import Observation

FRAMES = Path("/work/shared/real_frames")
pytestmark = pytest.mark.skipif(not (FRAMES / "manifest.csv").is_file(), reason="needs the frames in /work/shared")
HUES = {"ball": (22, 42), "doll": (60, 110)}  # degrees, of saturated pixels


def frames():
    with (FRAMES / "manifest.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if r["source"] == "anygrasp_sdk"]
    for row in rows:
        rgb = np.asarray(Image.open(FRAMES / row["rgb"]).convert("RGB"))
        depth = np.asarray(Image.open(FRAMES / row["depth"])).astype(np.float32) * np.float32(1e-4)
        k = json.loads((FRAMES / row["intrinsics"]).read_text())
        matrix = np.array([[k["fx"], 0, k["cx"]], [0, k["fy"], k["cy"]], [0, 0, 1]])
        yield Observation(rgb, depth, PinholeCamera(k["width"], k["height"], matrix))


def best_on(found, hue):
    """The best grasp on what stands 55 mm or higher and has a colour: offset from its middle, angle, opening; or None.

    Offset and opening in millimetres, the angle in degrees, in the view from straight above.
    """
    view = found.view
    hsv = np.asarray(Image.fromarray(view.seen.rgb).convert("HSV")).astype(float)
    tall = (np.nan_to_num(view.heights()) > 0.055) & (hsv[..., 1] > 120)
    parts, number = ndimage.label(tall & (hsv[..., 0] / 255 * 360 > hue[0]) & (hsv[..., 0] / 255 * 360 < hue[1]))
    rows, cols = max((np.nonzero(parts == k + 1) for k in range(number)), key=lambda p: len(p[0]), default=((), ()))
    if len(rows) < 150:
        return None
    points = view.seen.camera.deproject(rows, cols, view.seen.depth[rows, cols])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    g = found.shown
    places = view.seen.camera.deproject(g.row, g.col, view.seen.depth[g.row, g.col])
    on = np.flatnonzero(np.linalg.norm((places - middle)[:, :2], axis=1) < 0.03)
    if not len(on):
        return None
    return (places[on[0]] - middle)[:2] * 1e3, np.degrees(g.angle[on[0]]), g.width[on[0]] * 1e3


@pytest.fixture(scope="module")
def found():
    policy = NetworkPolicy.pretrained(decoder=DecoderSettings(revisit=0.3))
    return [policy.find(seen, 12) for seen in frames()]


@pytest.mark.parametrize(("thing", "least", "spread"), [("ball", 4, 8.0), ("doll", 3, 11.0)])
def test_the_best_grasp_stays_on_the_thing(found, thing, least, spread):
    best = [b for b in (best_on(f, HUES[thing]) for f in found) if b is not None]
    print(thing, [(b[0].round(), round(b[1]), round(b[2])) for b in best])
    assert len(best) >= least
    offsets = np.array([b[0] for b in best])
    assert max(np.linalg.norm(a - b) for a in offsets for b in offsets) < 11.5
    assert np.ptp([b[2] for b in best]) <= spread
