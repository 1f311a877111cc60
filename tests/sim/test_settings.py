"""Every number of every settings class: wrong ones end in one sentence, before the first scene is simulated."""

import dataclasses
import warnings

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

from labeler.dataset.recipe import DataSetRecipe
from labeler.labels import label_view
from labeler.oracle import LabelOracle
from labeler.settings import LabelSettings, check_hand
from sim.benchmark import AttemptSettings, BenchmarkSettings
from sim.camera import ParallelCamera, PinholeCamera
from sim.cli import conf_folder
from sim.depth_noise import DepthNoise, SensorNoise
from sim.errors import InputError
from sim.gripper import GripperGeometry
from sim.physics import PhysicsSettings, TraySettings
from sim.scene import SceneSettings

CLASSES = [
    *(PhysicsSettings, TraySettings, SceneSettings, AttemptSettings, BenchmarkSettings, DepthNoise, SensorNoise),
    *(GripperGeometry, LabelSettings, DataSetRecipe),
]
NUMBERS = [
    (kind, field.name)
    for kind in CLASSES
    for field in dataclasses.fields(kind)
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]


@pytest.mark.parametrize(("kind", "name"), NUMBERS, ids=[f"{k.__name__}.{n}" for k, n in NUMBERS])
def test_a_number_that_is_none_is_named(kind, name):
    wrong = [np.nan, np.inf, -np.inf, "0.1", None, [1], True]
    if name not in ("missing_low", "missing_high", "baseline"):
        wrong.append(-1)
    if isinstance(next(f.default for f in dataclasses.fields(kind) if f.name == name), int):
        wrong.append(2.5)
    for value in wrong:
        with pytest.raises(InputError, match=name) as caught:
            kind(**{name: value})
        assert "\n" not in str(caught.value)
        assert "; give" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (PhysicsSettings, ["time_step", "gravity", "object_friction", "solver_iterations"]),
        (TraySettings, ["floor", "wall_height", "thickness"]),
        (SceneSettings, ["wave", "wave_steps", "settle_steps", "drop_height"]),
        (AttemptSettings, ["force", "arm_force", "closing_speed", "lift", "lift_steps", "finger_mass", "palm_height"]),
        (BenchmarkSettings, ["count", "max_failures", "camera_height", "pixels_per_metre", "settle_steps"]),
        (DataSetRecipe, ["scenes", "views", "camera_height", "parallel_side", "pixels_per_metre"]),
        (LabelSettings, ["angles", "depth_step", "row_step", "max_width", "friction"]),
        (DepthNoise, ["grid", "sobel_size"]),
        (GripperGeometry, [f.name for f in dataclasses.fields(GripperGeometry)]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_nothing_of_what_must_be_something_is_named(kind, names):
    for name in names:
        with pytest.raises(InputError, match=rf"{name} is 0; give"):
            kind(**{name: 0})


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: BenchmarkSettings(camera_height=0.04), "camera_height is 0.04 m and a finger 0.05 m"),
        (lambda: DataSetRecipe(camera_height=0.05), "camera_height is 0.05 m and a finger 0.05 m"),
        (lambda: DataSetRecipe(labels=LabelSettings(row_step=0.02)), r"labeler\.row_step is 0.02 m .* no rows"),
        (lambda: DataSetRecipe(labels=LabelSettings(depth_step=0.06)), r"labeler\.depth_step"),
        (lambda: DataSetRecipe(labels=LabelSettings(palm_margin=0.048)), r"labeler\.palm_margin"),
        (lambda: DataSetRecipe(labels=LabelSettings(width_tolerance=0.1)), r"labeler\.width_tolerance"),
        (lambda: DataSetRecipe(gripper=GripperGeometry(finger_length=0.001)), r"labeler\.depth_step .* 0.001 m long"),
        (lambda: DataSetRecipe(gripper=GripperGeometry(finger_width=0.001)), r"labeler\.row_step .* 0.001 m wide"),
        (lambda: DataSetRecipe(gripper=GripperGeometry(max_opening=0.004)), r"labeler\.width_tolerance"),
        (lambda: LabelSettings(angles=257), "from 1 to 256"),
        (lambda: LabelSettings(undercut="no"), r"labeler\.undercut"),
        (lambda: check_hand(LabelSettings(engagement=0.06), GripperGeometry()), r"labeler\.engagement"),
        (lambda: SceneSettings(drop_area=0.4), r"scene\.drop_area"),
        (lambda: TraySettings(floor=4.0), r"scene\.tray\.floor is 4.0 m"),
        (lambda: AttemptSettings(carry=(0.1,)), r"attempt\.carry"),
        (lambda: AttemptSettings(carry=None), r"attempt\.carry"),
        (lambda: AttemptSettings(carry=(np.nan, 0)), r"attempt\.carry"),
        (lambda: DataSetRecipe(object_counts=None), "object_counts"),
        (lambda: DataSetRecipe(object_counts=["many"]), "object_counts"),
        (lambda: DepthNoise(missing_high=100), r"depth_noise\.missing_high"),
        (lambda: ParallelCamera(np.nan), r"pixels_per_metre is nan"),
        (lambda: ParallelCamera(2500.0, 0, 10), "height is 0"),
        (lambda: PinholeCamera(0, 480, np.eye(3)), r"camera\.width is 0"),
    ],
)
def test_settings_that_contradict_each_other_are_named(make, named):
    with pytest.raises(InputError, match=named) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_label_view_says_what_leaves_nothing_to_check():
    with pytest.raises(InputError, match=r"labeler\.row_step"):
        label_view(None, GripperGeometry(), LabelSettings(row_step=0.02))


@pytest.mark.parametrize(
    ("hand", "widths"),
    [
        *((name, (0.09, 0.1)) for name in ("paper", "paper_on_arm", "franka", "robotiq_2f85")),
        ("robotiq_2f140", (0.13, 0.14)),
    ],
)
def test_labels_of_the_presets_are_as_wide_as_a_wide_hand_allows(hand, widths):
    """For hands of up to 100 mm the very numbers of former recipes, to the last bit: their hashes are known."""
    files = {group: conf_folder() / group for group in ("labeler", "gripper")}
    for choice, width in zip(("truest", "paper"), widths, strict=True):
        names = {"labeler": choice, "gripper": hand}
        config = OmegaConf.create({group: OmegaConf.load(files[group] / f"{names[group]}.yaml") for group in names})
        settings = instantiate(config.labeler)
        assert settings.max_width == width
        assert choice == "paper" or settings == LabelSettings.for_hand(instantiate(config.gripper))


@pytest.mark.parametrize("command", ["generate", "train", "benchmark"])
def test_a_command_s_labels_follow_its_hand(command):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose(command, ["gripper=robotiq_2f140", "gripper.max_opening=0.15", "labeler=held"])
    assert config.labeler.max_width == 0.14


def test_labels_much_narrower_than_a_wide_hand_are_told():
    wide = GripperGeometry(max_opening=0.2)
    told = r"at most 90 mm wide, the hand opens 200 mm; give labeler\.max_width=0\.19"
    for make in (
        lambda: check_hand(LabelSettings(), wide),
        lambda: DataSetRecipe(gripper=wide),
        lambda: LabelOracle(wide, LabelSettings()),
    ):
        with pytest.warns(UserWarning, match=told):
            make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_hand(LabelSettings(), GripperGeometry())
        check_hand(LabelSettings(max_width=0.05), GripperGeometry())
        check_hand(LabelSettings(max_width=0.19), wide)
        assert LabelOracle(wide).settings == LabelSettings(max_width=0.19)
