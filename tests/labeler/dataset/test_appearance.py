"""Light and colours of generated images: part of the recipe, drawn apart from everything else."""

from dataclasses import replace

import numpy as np

from labeler.dataset.generate import DataSetRecipe, make_frames
from labeler.settings import LabelSettings
from sim.camera import PinholeCamera
from sim.objects import ObjectSet
from sim.render.appearance import Appearance, RandomAppearance

RECIPE = DataSetRecipe(
    objects=ObjectSet.pybullet(0, 20),
    camera=PinholeCamera.from_fov(160, 120),
    pixels_per_metre=1000.0,
    labels=LabelSettings(angles=6),
    scenes=1,
    views=2,
    object_counts=(2,),
    seed=5,
)


def test_random_colours_change_the_colours_only():
    plain = list(make_frames(RECIPE, 0))
    random, again = (list(make_frames(replace(RECIPE, appearance=RandomAppearance()), 0)) for _ in range(2))
    for a, b, c in zip(plain, random, again, strict=True):
        for key in ("depth", "depth_noisy", "instance_mask", "pose"):
            np.testing.assert_array_equal(a[key], b[key])
        assert (a["grasps"].row == b["grasps"].row).all()
        assert (a["rgb"] != b["rgb"]).mean() > 0.9
        np.testing.assert_array_equal(b["rgb"], c["rgb"])
    # Each view has a look of its own: the corner shows the ground.
    assert (random[0]["rgb"][0, 0] != random[1]["rgb"][0, 0]).any()
    assert (plain[0]["rgb"][0, 0] == plain[1]["rgb"][0, 0]).all()


def test_the_appearance_is_part_of_the_hash():
    looks = [Appearance(), Appearance(ambient=0.5), RandomAppearance(), RandomAppearance(objects=None)]
    assert len({replace(RECIPE, appearance=look).hash for look in looks}) == len(looks)
