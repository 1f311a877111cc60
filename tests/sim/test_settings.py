"""Every number of every settings class: wrong ones end in one sentence, before the first scene is simulated."""

import dataclasses

import numpy as np
import pytest

from labeler.dataset.recipe import DataSetRecipe
from labeler.labels import label_view
from labeler.settings import LabelSettings, check_hand
from sim.benchmark import AttemptSettings, BenchmarkSettings
from sim.camera import ParallelCamera, PinholeCamera
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
