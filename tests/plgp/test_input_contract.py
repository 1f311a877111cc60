"""The command's settings that data and network both need: they act on both, or are refused in one sentence."""

import json
import shutil

import pytest
from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import labeler.dataset.generate  # noqa: F401  (brings the numba kernels before any trainer)
from labeler.dataset.recipe import DataSetRecipe
from plgp.module import GraspModule, load_module
from plgp.policy import NetworkPolicy
from plgp.train import train
from sim.errors import InputError
from sim.gripper import GripperGeometry


@pytest.fixture(scope="module")
def franka_folder(bars_folder, tmp_path_factory):
    """The bars, labelled for a Franka hand."""
    folder = shutil.copytree(bars_folder, tmp_path_factory.mktemp("franka") / "set")
    content = json.loads((folder / "dataset.json").read_text())
    recipe = DataSetRecipe(gripper=instantiate(composed("gripper=franka").gripper)).describe()
    (folder / "dataset.json").write_text(json.dumps({**content, "recipe": recipe}))
    return folder


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=list(overrides))


class FakeTrainer:
    """As much of a trainer as ``GraspModule.setup`` looks at."""

    def __init__(self, datamodule):
        self.datamodule = datamodule


def agree(folder, *overrides):
    """Data and module of a command line, brought together as a trainer does it."""
    config = composed("data.recipe=null", f"data.folder={folder}", *overrides)
    data = instantiate(config.data)
    data.setup("fit")
    module: GraspModule = instantiate(config.module)
    module._fabric = None
    module._trainer = FakeTrainer(data)
    module.setup("fit")
    return data, module


@pytest.mark.parametrize(
    "override",
    ["depth_scale=10", "data.depth_scale=10", "crop=96", "data.crop=96", "modality=rgbd", "data.modality=rgb"],
)
def test_a_setting_acts_on_both(bars_folder, override):
    data, module = agree(bars_folder, override)
    assert data.input_format == module.input_format == module.trained_view.input_format
    name, value = override.removeprefix("data.").split("=")
    assert str(getattr(module.input_format, {"crop": "window"}.get(name, name))) in (value, f"{value}.0")


@pytest.mark.parametrize("override", ["bins=6", "data.bins=6", "labeler.angles=6"])
def test_bins_act_on_both(bars_folder, override):
    """This data set does not say how many angles its labels have."""
    data, module = agree(bars_folder, override)
    assert data.bins == module.network.bins == module.trained_view.bins == 6


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("module.depth_scale=10", "depth_scale 1.0 and 10.0"),
        ("module.window=96", "window 320 and 96"),
        ("module.modality=rgb", "modality depth and rgb"),
        ("module.bins=6", "bins 18 and 6"),
        ("data.colours=imagenet", "colours imagenet and centred"),
        ("data.max_opening=0.08", r"data\.max_opening is 0.08 m"),
        ("gripper=franka", r"gripper\.finger_width"),
        ("gripper.max_opening=0.08", r"gripper\.max_opening 0\.1 and 0\.08"),
    ],
)
def test_a_setting_of_one_is_refused(bars_folder, override, words):
    with pytest.raises(InputError, match=words) as caught:
        agree(bars_folder, override)
    assert "\n" not in str(caught.value)


def test_a_part_of_the_modules_gripper_cannot_be_set_alone():
    with pytest.raises((HydraException, OmegaConfBaseException), match="max_opening"):
        composed("module.gripper.max_opening=0.08")


def test_bins_other_than_the_labels(franka_folder):
    with pytest.raises(InputError, match="labels of 18 angles, bins is 6"):
        agree(franka_folder, "bins=6", "gripper=franka")


@pytest.mark.parametrize("asked", ["paper", "franka", "robotiq_2f85"])
def test_the_gripper_is_the_data_sets(franka_folder, tmp_path, small, asked, capsys):
    """From the data set to the checkpoint, the saved configuration, the policy: whatever gripper= says."""
    config = composed(
        *small,
        f"data.folder={franka_folder}",
        f"gripper={asked}",
        f"output={tmp_path}",
        "callbacks=none",
        "logger=none",
        "+trainer.max_steps=1",
    )
    train(config)
    said = capsys.readouterr().err
    assert ("the one that the data set was made for" in said) == (asked != "franka")
    franka = instantiate(composed("gripper=franka").gripper)
    (path,) = tmp_path.rglob("*.ckpt")
    assert load_module(path).gripper == franka == load_module(path).trained_view.gripper
    assert OmegaConf.load(tmp_path / "config.yaml").gripper.max_opening == franka.max_opening
    assert NetworkPolicy.from_checkpoint(path, franka).gripper == franka
    with pytest.raises(InputError, match="another gripper"):
        NetworkPolicy.from_checkpoint(path, GripperGeometry())
