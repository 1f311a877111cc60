"""A benchmark's rows belong to what made them: they never come back for something else, and never depend on chance."""

import dataclasses
import importlib
import random
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

from sim.benchmark import WALL_TIMES, BenchmarkSettings, run_benchmark
from sim.benchmark.baselines import RandomPolicy
from sim.benchmark.store import scene_identity
from sim.depth_noise import DepthNoise, MixedNoise
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.objects import ObjectSet
from sim.scene import SceneState

RULES = BenchmarkSettings(count=2, max_failures=2, depth_noise=None)
DOWN = np.diag([1.0, -1, -1])
POLICY = """
import numpy as np
from sim.grasp import GraspPoses

class Mine:
    name = "mine"

    def __call__(self, observation, count):
        return GraspPoses.empty()
"""


SHARED = """
import random
import sys

import numpy as np

from sim.benchmark import BenchmarkSettings, run_benchmark
from sim.grasp import GraspPoses
from sim.objects import ObjectSet
from sim.scene import SceneState


class Drawing:
    name = "drawing"

    def __call__(self, observation, count):
        drawn.append((random.random(), np.random.random()))
        return GraspPoses.empty()


def states():
    return random.getstate(), [str(part) for part in np.random.get_state()]


scene = SceneState(ObjectSet.from_folder(sys.argv[1]).models[:1], np.eye(4)[None], category="box-1")
drawn, before = [], states()
run_benchmark(Drawing(), [scene], [0.4], BenchmarkSettings(count=2, max_failures=2, depth_noise=None))
assert drawn
assert states() == before
"""


class Drawing:
    """Draws its grasps with generators of its own and with those that all share."""

    name = "drawing"

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.inner = {"others": [np.random.RandomState(seed), random.Random(seed)]}

    def __call__(self, observation, count):
        old, plain = self.inner["others"]
        far = [self.rng.random(), old.random_sample(), plain.random(), np.random.random(), random.random()]  # noqa: NPY002
        places = np.stack([np.resize(far, 3) + 10 + i for i in range(count)])
        return GraspPoses(places, np.stack([DOWN] * count), np.full(count, 0.05), np.full(count, sum(far)))


def write_box(folder, size):
    folder.mkdir(parents=True, exist_ok=True)
    x, y, z = (s / 2 for s in size)
    corners = [(a, b, c) for a in (-x, x) for b in (-y, y) for c in (-z, z)]
    faces = ["1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4"]
    text = "\n".join([f"v {a} {b} {c}" for a, b, c in corners] + [f"f {f}" for f in faces])
    (folder / "box.obj").write_text("o box\n" + text + "\n")
    shape = '<geometry><mesh filename="box.obj"/></geometry>'
    (folder / "box.urdf").write_text(
        '<robot name="box"><link name="l"><inertial><mass value="0.1"/><inertia ixx="1e-4" iyy="1e-4" izz="1e-4" '
        f'ixy="0" ixz="0" iyz="0"/></inertial><visual>{shape}</visual><collision>{shape}</collision></link></robot>'
    )
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_box(tmp_path / "objects", (0.03, 0.03, 0.05))


def make_scene(folder, **changes):
    models = ObjectSet.from_folder(folder).models
    pose = np.eye(4)
    pose[2, 3] = 0.025
    return dataclasses.replace(SceneState(models[:1], pose[None], category="box-1"), **changes)


def same(a, b):
    pd.testing.assert_frame_equal(a.drop(columns=WALL_TIMES), b.drop(columns=WALL_TIMES), check_exact=True)


def test_a_policy_whose_module_was_edited_is_another_one(folder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    scene, out = make_scene(folder), tmp_path / "out"
    for text in (POLICY, POLICY.replace("GraspPoses.empty()", "GraspPoses.empty('world')")):
        (tmp_path / "mod_edited.py").write_text(text)
        sys.modules.pop("mod_edited", None)
        importlib.invalidate_caches()
        policy = importlib.import_module("mod_edited").Mine()
        if text == POLICY:
            first = run_benchmark(policy, [scene], [0.4], RULES, out=out)
            same(run_benchmark(policy, [scene], [0.4], RULES, out=out), first)
        else:
            with pytest.raises(InputError, match=r"other settings \(code: class.source of mod_edited\)"):
                run_benchmark(policy, [scene], [0.4], RULES, out=out)
    sys.modules.pop("mod_edited", None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"policy": RandomPolicy(seed=1)}, "code: seed: 1, there 0"),
        ({"settings": dataclasses.replace(RULES, camera_height=0.9)}, "rules: camera_height: 0.9, there 0.6"),
        ({"settings": dataclasses.replace(RULES, seed=3)}, "rules: seed: 3, there 0"),
        ({"frictions": [0.4, 0.6]}, "frictions: 0.4, 0.6, there 0.4"),
        ({"mesh": (0.09, 0.02, 0.02)}, r"\(meshes\)"),
        ({"scene": {"at_rest": False}}, r"\(scene\)"),
        ({"versions": "9.9"}, "versions: plgp 9.9"),
    ],
)
def test_what_differs_is_refused_by_its_name(folder, tmp_path, monkeypatch, change, words):
    call = {"policy": RandomPolicy(), "frictions": [0.4], "settings": RULES}
    run_benchmark(scenes=[make_scene(folder)], out=tmp_path / "out", **call)
    if "mesh" in change:
        write_box(folder, change["mesh"])
    if "versions" in change:
        monkeypatch.setattr("sim.benchmark.store.package_version", lambda _: change["versions"])
    scene = make_scene(folder, **change.get("scene", {}))
    call |= {key: value for key, value in change.items() if key in call}
    with pytest.raises(InputError, match=words):
        run_benchmark(scenes=[scene], out=tmp_path / "out", **call)


@dataclasses.dataclass(frozen=True)
class Mild:
    """A noise of the user's."""

    sigma: float = 0.001

    def __call__(self, depth, rng):
        return depth


@dataclasses.dataclass(frozen=True)
class Blind(Mild):
    """With the same numbers, another noise."""

    def __call__(self, depth, rng):
        return np.zeros_like(depth)


def test_a_noise_of_the_users_counts_by_its_class_and_code(folder, tmp_path):
    scene, policy = make_scene(folder), RandomPolicy()
    mild, blind = (dataclasses.replace(RULES, depth_noise=kind()) for kind in (Mild, Blind))
    run_benchmark(policy, [scene], [0.4], mild, out=tmp_path / "out")
    with pytest.raises(InputError, match="rules: depth_noise"):
        run_benchmark(policy, [scene], [0.4], blind, out=tmp_path / "out")
    mixed = [MixedNoise(noises={"paper": DepthNoise(), "mine": kind()}) for kind in (Mild, Blind)]
    rules = [
        scene_identity("", scene, frictions=[0.4], settings=dataclasses.replace(RULES, depth_noise=n))["rules"]
        for n in mixed
    ]
    assert rules[0] != rules[1]


@pytest.mark.parametrize("wrong", ["", "..", "a/b"])
def test_a_name_that_is_no_folder_is_refused_where_results_are_kept(folder, tmp_path, wrong):
    scene = make_scene(folder)
    with pytest.raises(InputError, match="a scene's category is"):
        run_benchmark(RandomPolicy(), [dataclasses.replace(scene, category=wrong)], [0.4], RULES, out=tmp_path / "out")
    if wrong:
        with pytest.raises(InputError, match="the policy's name is"):
            run_benchmark(RandomPolicy(), [scene], [0.4], RULES, out=tmp_path / "out", name=wrong)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_policys_own_random_numbers_depend_on_scene_and_attempt_alone(folder):
    scenes = [make_scene(folder, seed=s) for s in range(3)]
    policy = Drawing()
    one = run_benchmark(policy, scenes, [0.4, 0.8], RULES)
    assert policy.rng.bit_generator.state == np.random.default_rng(0).bit_generator.state
    np.random.seed(5)  # noqa: NPY002
    same(run_benchmark(policy, scenes, [0.4, 0.8], RULES, workers=2), one)
    same(run_benchmark(policy, scenes[:2], [0.8], RULES), _part(one, one.scene.lt(2) & one.friction.eq(0.8)))
    questions = one[one.attempt.eq(0) & one.protocol.eq("rank")]
    assert questions.groupby("scene").quality.nunique().eq(1).all()  # the friction is none of the policy's business
    assert questions.quality.nunique() == 3
    assert one[one.protocol.eq("clear")].groupby(["scene", "attempt"]).quality.nunique().eq(1).all()
    assert one[one.protocol.eq("clear")].quality.nunique() == 6
    assert not one.quality.equals(run_benchmark(Drawing(1), scenes, [0.4, 0.8], RULES).quality)


def test_the_generators_that_all_share_are_left_as_they_were(folder):
    """In a process of its own: threads that other tests leave behind (of W&B, of Dask) draw from ``random`` too."""
    done = subprocess.run([sys.executable, "-c", SHARED, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _part(table, chosen):
    return table[chosen].reset_index(drop=True)


def test_a_policy_that_cannot_be_copied_is_measured_all_the_same(folder):
    policy = Drawing()
    policy.session, policy.library = threading.Lock(), np
    scenes = [make_scene(folder, seed=s) for s in range(2)]
    same(run_benchmark(policy, scenes, [0.4], RULES), run_benchmark(Drawing(), scenes, [0.4], RULES))


@pytest.mark.parametrize("backend", ["threading", pytest.param("multiprocessing", marks=pytest.mark.slow)])
def test_output_stays_with_any_backend(folder, capfd, backend):
    scenes = [make_scene(folder, seed=s) for s in range(3)]
    rows = run_benchmark(RandomPolicy(), scenes, [0.4], RULES, workers=2, backend=backend)
    print("still here")
    print("and here", file=sys.stderr)
    out, err = capfd.readouterr()
    assert "still here" in out
    assert "and here" in err
    same(rows, run_benchmark(RandomPolicy(), scenes, [0.4], RULES))


def test_two_runs_of_other_settings_in_one_folder_do_not_mix(folder, tmp_path):
    class Slow:
        """While this one is measured, another run finishes the same scene."""

        name = "random"

        def __call__(self, observation, count):
            if not list((tmp_path / "out").rglob("*.parquet")):
                run_benchmark(RandomPolicy(), [make_scene(folder)], [0.4], RULES, out=tmp_path / "out")
            return GraspPoses.empty()

    with pytest.raises(InputError, match="other settings"):
        run_benchmark(Slow(), [make_scene(folder)], [0.4], RULES, out=tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_said_before_the_first_attempt(folder, tmp_path):
    (tmp_path / "file").write_text("")
    asked = []

    class Asked(RandomPolicy):
        def __call__(self, observation, count):
            asked.append(count)
            return super().__call__(observation, count)

    with pytest.raises(InputError, match="cannot be written"):
        run_benchmark(Asked(), [make_scene(folder)], [0.4], RULES, out=tmp_path / "file" / "out")
    assert not asked
