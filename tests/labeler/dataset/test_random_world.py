"""A data set of random worlds: every scene has a tray of its own, which comes back from the shards."""

import shutil
import warnings

import h5py
import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from labeler.dataset.generate import generate, make_frames
from labeler.dataset.preview import draw_preview
from labeler.dataset.recipe import DataSetRecipe
from labeler.dataset.validate import find_problems
from labeler.labels import label_view
from labeler.shards.data_set import DataSet
from labeler.truth.execution import find_objects, rebuild_scene, rebuild_view
from sim.errors import InputError
from sim.objects import ObjectSet
from sim.physics import TraySettings
from sim.worlds import RandomWorld

WORLD = RandomWorld(counts=(1, 3), sizes=((160, 120), (128, 106), (120, 140)))


@pytest.fixture(scope="module")
def recipe(small_recipe):
    return small_recipe(world=WORLD, scenes=3, views=2)


@pytest.fixture(scope="module")
def made(recipe, tmp_path_factory):
    return DataSet(generate(recipe, tmp_path_factory.mktemp("world") / "random", progress=False))


def test_former_recipes_keep_their_hash(small_recipe):
    assert "world" not in small_recipe().describe()
    former = small_recipe(world=RandomWorld(sizes=(), still=0.0)).describe()["world"]
    assert not {"sizes", "still"} & former.keys(), "random worlds of the time when there was none of these"
    assert small_recipe(world=WORLD).hash != small_recipe().hash
    assert small_recipe(world=WORLD).hash != small_recipe(world=RandomWorld()).hash


def test_a_world_draws_its_own_numbers_of_objects():
    few = ObjectSet("few", ObjectSet.pybullet(900, 902).models)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert DataSetRecipe(objects=few, world=WORLD).object_counts == (5, 15)
    with pytest.warns(UserWarning, match="scenes have 3 instead of 5 and 15"):
        assert DataSetRecipe(objects=few).object_counts == (3,)


def test_every_scene_has_its_own_tray_and_every_view_its_own_camera(made, recipe):
    frames = [made.read(i, ("depth", "objects")) for i in range(len(made))]
    trays = {f["scene"]: f["tray"] for f in frames}
    assert len({tray["floor"] for tray in trays.values()}) == 3
    assert len({f["intrinsics"][0, 0] for f in frames}) == len(frames)
    for frame in frames:
        rebuilt = rebuild_scene(made.manifest.recipe, find_objects(made), frame)
        assert rebuilt.tray == TraySettings(**trays[frame["scene"]])
        assert rebuilt.names == [o.name for o in frame["objects"]]


def test_a_view_is_rebuilt_as_it_was_labelled(made, recipe):
    """The same labels come from the rebuilt view: its parallel image covers what the first one did."""
    for index in range(len(made)):
        frame = made.read(index, ("instance_mask", "objects"))
        view = rebuild_view(made.manifest.recipe, find_objects(made), frame)
        again, kept = label_view(view, recipe.gripper, recipe.labels), frame["grasps"]
        for name in ("row", "col", "angle_bin", "depth", "width"):
            np.testing.assert_array_equal(getattr(again, name), getattr(kept, name))
    assert sum(made.grasp_counts()) > 0


def test_images_of_several_sizes_share_a_shard_that_plain_h5py_reads(made, tmp_path):
    read = [made.read(i, ("rgb", "depth", "depth_noisy", "instance_mask")) for i in range(len(made))]
    sizes = {frame["depth"].shape for frame in read}
    assert len(sizes) > 1
    assert sizes <= {(120, 160), (106, 128), (140, 120)}
    with h5py.File(made.folder / "shard-00000.h5") as file:
        assert file["depth"].shape[1:] == (140, 160)
        for index, (frame, (rows, cols)) in enumerate(zip(read, file["camera/size"][...], strict=True)):
            assert (rows, cols) == frame["depth"].shape == frame["rgb"].shape[:2]
            np.testing.assert_array_equal(file["instance_mask"][index, :rows, :cols], frame["instance_mask"])
            assert not file["depth"][index, rows:].any()
            assert not file["depth"][index, :, cols:].any()
            middle = frame["intrinsics"][:2, 2]
            np.testing.assert_allclose(middle, ((cols - 1) / 2, (rows - 1) / 2))
    assert find_problems(made.folder) == []
    draw_preview(made.folder).savefig(tmp_path / "preview.png")


def test_a_damaged_size_is_named(made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "copy")
    with h5py.File(tmp_path / "copy" / "shard-00000.h5", "r+") as file:
        file["camera/size"][0] = (141, 10)
    with pytest.raises(InputError, match="camera/size"):
        DataSet(tmp_path / "copy").read(0)


def test_the_floor_is_where_the_pose_says(made):
    """The depth of the floor, brought into the world, is 0: pose, intrinsics and depth belong together."""
    for index in range(len(made)):
        frame = made.read(index, ("depth", "instance_mask"))
        rows, cols = np.nonzero((frame["instance_mask"] == 0) & (frame["depth"] > 0))
        rays = np.linalg.solve(frame["intrinsics"], np.stack([cols, rows, np.ones_like(rows)]).astype(float))
        points = frame["pose"][:3, :3] @ (rays * frame["depth"][rows, cols]) + frame["pose"][:3, 3:]
        assert np.median(np.abs(points[2])) < 6e-3, "the floor, or the ground 5 mm below it"


def test_same_bytes_in_any_order(made, recipe):
    again = list(make_frames(recipe, 2))
    kept = [made.read(i, ("depth", "rgb", "objects")) for i in np.flatnonzero(made.scenes == 2)]
    for first, second in zip(again, kept, strict=True):
        np.testing.assert_array_equal(first["grasps"].row, second["grasps"].row)
        np.testing.assert_array_equal(first["rgb"], second["rgb"])
        np.testing.assert_array_equal(first["pose"], second["pose"])
        assert dict(first["tray"]) == dict(second["tray"])


@pytest.mark.parametrize("command", ["generate", "train"])
def test_a_random_world_has_random_light_unless_another_is_asked_for(command):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        looks = {
            words: compose(command, words.split()).appearance._target_.rsplit(".", 1)[1]
            for words in ("world=paper", "world=random", "world=random appearance=default")
        }
    assert list(looks.values()) == ["Appearance", "RandomPatterns", "Appearance"]


@pytest.mark.parametrize(("choice", "expected"), [("paper", type(None)), ("random", RandomWorld)])
@pytest.mark.parametrize("command", ["generate", "train"])
def test_the_command_line_chooses_the_world(command, choice, expected):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        recipe = instantiate(compose(command, [f"world={choice}"]).recipe, _convert_="all")
    assert type(recipe.world) is expected
    assert ("world" in recipe.describe()) == (choice == "random")
