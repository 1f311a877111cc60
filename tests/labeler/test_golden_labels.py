"""Labels are the same bytes as ever: hashes kept from before the package was taken apart into rooms.

A change that is meant to give other labels raises ``GENERATOR_VERSION`` and keeps the hashes anew.
"""

import hashlib

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from labeler.dataset.generate import make_frames
from labeler.dataset.recipe import DataSetRecipe
from labeler.labels import label_view
from sim.camera import ParallelCamera, PinholeCamera, random_view_pose
from sim.cli import conf_folder
from sim.objects import ObjectSet
from sim.physics import TraySettings
from sim.render import render_view
from sim.scene import Scene, SceneSettings

FORMER = SceneSettings(tray=TraySettings(friction=1.0))  # by which the kept scenes fell
RECIPE = DataSetRecipe(scene=FORMER, pixels_per_metre=2500.0, scenes=2, views=1, seed=5)
RECIPE_HASH = "cd9575cc669a43ee6376057bd684014eca03baec76d17b914917658ab6e6b75e"
FIRST_SCENE = "2ff326c2ff433b7cc0246277ee28b097bc0467b304449e7b08f47601c1bc07a0"
VIEW = "c39533469a464dd08f9eead52fdac71968c60f4eb77083b27171b62ce6e3fd0a"
LABELS = {
    "truest": "e1887cbc07ab47617b706fd02e6e1fd6ab05343f2ea8c61582f6c149390ad2b4",
    "paper": "a1342aa87586787c5c6b187b9344a3c60f2f45ec45e678211026a3c5cfe9d33b",
}


def sha256(*arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array if isinstance(array, bytes) else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def hash_labels(labels):
    return sha256(labels.row, labels.col, labels.angle_bin, labels.depth, labels.width)


@pytest.fixture(scope="module")
def view():
    """Eight objects dropped by seed, seen by a tilted camera."""
    rng = np.random.default_rng(14)
    with Scene(ObjectSet.pybullet(0, 40), FORMER) as scene:
        scene.drop(8, rng)
        scene.settle()
        camera = PinholeCamera.from_fov(pose=random_view_pose(rng, 0.6, 0.1))
        return render_view(scene, camera, ParallelCamera.covering(2500), back_layer=True)


@pytest.mark.parametrize("preset", ["truest", "paper"])
def test_labels_of_a_seeded_view(view, preset):
    assert sha256(view.depth, view.parallel_depth, view.parallel_mask) == VIEW, "the view itself has changed"
    settings = instantiate(OmegaConf.load(conf_folder() / "labeler" / f"{preset}.yaml"))
    assert hash_labels(label_view(view, settings=settings)) == LABELS[preset]


def test_hash_of_a_recipe():
    """Data sets on disk are found by it; it is another since recipes name the tray's friction and the hand's force."""
    assert RECIPE.hash == RECIPE_HASH


def test_first_scene_of_a_recipe():
    """Images, poses and labels, as generation writes them."""
    (frame,) = make_frames(RECIPE, 0)
    arrays = [frame[name] for name in ("rgb", "depth", "depth_noisy", "instance_mask", "intrinsics", "pose")]
    poses = [o.pose_world for o in frame["objects"]]
    assert sha256(*arrays, *poses, hash_labels(frame["grasps"]).encode()) == FIRST_SCENE
