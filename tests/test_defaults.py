"""A default is stated once: what conf/ says and what the class says are the same, but for the presets named here."""

import dataclasses
import inspect

import pytest
import yaml
from hydra.utils import get_object

from sim.cli import conf_folder
from sim.depth_noise import SensorNoise
from sim.objects.object_set import load_models

OURS = ("sim.", "labeler.", "plgp.", "robot.")
# Presets differ from the class's defaults: that is what they are for.
PRESETS = {
    "callbacks/default.yaml": {"category"},  # checkpoints are chosen on seen objects
    "callbacks/validation.yaml": {"name", "seed", "workers"},
    "data/plgp.yaml": {"generate_workers"},  # a command may take two processes, a function only what it is given
    "data/crops.yaml": {"generate_workers"},
    "experiment/fc_gqcnn.yaml": {"bins"},  # the labels' own; the public weights have 16
    "depth_noise/none.yaml": {"missing_low", "missing_high", "missing_low_probability", "sigma", "blurs"},
    "labeler/paper.yaml": {
        *("max_asymmetry", "engagement", "min_coverage", "max_normal_angle", "max_wedge_angle"),
        *("max_flatness", "undercut", "relaxed", "relaxed_labels"),
    },
    "network/smp_unet_lite0.yaml": {"encoder", "encoder_weights", "colours"},
    "objects/procedural_novel.yaml": {"seed", "families"},
    "objects/procedural_seen.yaml": {"last", "families"},
    "objects/pybullet_novel.yaml": {"first", "last"},
    "policy/contact_graspnet_topdown.yaml": {"top_down_max_angle"},
    "policy/graspnet_topdown.yaml": {"top_down_max_angle", "name"},
    "policy/random-free.yaml": {"redraw"},
    "policy/specialist.yaml": {"weights"},
    "policy/untrained.yaml": {"untrained"},
    "scene_set/drop.yaml": {"workers"},
    "view/as_is.yaml": {"mode"},
    "view/trained.yaml": {"mode"},
}
PRESETS |= {f"arm/{name}.yaml": {"urdf", "acceleration", "jerk", "ready"} for name in ("ur5e", "panda", "fr3", "xarm6")}
PRESETS |= {
    "calibration/exact.yaml": {"position", "rotation"},
    "calibration/measured.yaml": {"file"},
    "robot/kinova_gen2_ros.yaml": {"version", "joint_states", "stop_topic", "stop_empty", "positions"},
    "safety/hardware.yaml": {"box_low", "box_high"},
    "safety/simulated.yaml": {"box_low", "box_high", "force"},
}
GRIPPERS = {"finger_width", "finger_thickness", "finger_length", "max_opening", "palm_width", "palm_thickness", "force"}
PRESETS |= {f"gripper/{name}.yaml": GRIPPERS for name in ("franka", "robotiq_2f85", "robotiq_2f140")}
# A sensor's numbers are measured.
PRESETS |= {
    f"depth_noise/{name}.yaml": {f.name for f in dataclasses.fields(SensorNoise)}
    for name in ("d435", "azure_kinect", "phoxi", "primesense")
}


def targets(node):
    if isinstance(node, dict):
        if str(node.get("_target_", "")).startswith(OURS):
            yield node
        for value in node.values():
            yield from targets(value)


def plain(value):
    """A value as YAML can hold it: tuples are lists, and 1.0e9, which PyYAML takes for text, is a number."""
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


FILES = {p.relative_to(conf_folder()).as_posix(): p for p in sorted(conf_folder().rglob("*.yaml"))}
PAIRS = [
    (name, node["_target_"], key, value)
    for name, path in FILES.items()
    for node in targets(yaml.safe_load(path.read_text()))
    for key, value in node.items()
    if not key.startswith("_") and key != "defaults" and not isinstance(value, dict) and "${" not in str(value)
]


def parameters_of(target):
    """What a class or function takes by name, each with its default; object sets share some as ``**options``."""
    found = dict(inspect.signature(get_object(target)).parameters)
    return {**inspect.signature(load_models).parameters, **found} if "options" in found else found


@pytest.mark.parametrize(("name", "target", "key", "value"), PAIRS, ids=[f"{n}-{k}" for n, _, k, _ in PAIRS])
def test_yaml_and_class_agree(name, target, key, value):
    parameters = parameters_of(target)
    assert key in parameters, f"{name}: {target} has no {key}"
    default = parameters[key].default
    if default is inspect.Parameter.empty:
        return
    if key not in PRESETS.get(name, ()):
        same = pytest.approx(default, rel=1e-5) if isinstance(value, float) else plain(default)
        assert plain(value) == same
    elif not name.startswith("gripper/"):  # a measured hand may share a measure with the default one
        assert plain(value) != plain(default), f"{name} may leave out {key}: it is the default"


def test_presets_named_here_exist():
    assert set(PRESETS) <= set(FILES)
