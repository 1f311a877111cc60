"""The second judge: bodies as Bullet has them, the attempt in MuJoCo, and where the two engines agree."""

import importlib

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

from sim.benchmark import AttemptSettings, BenchmarkSettings, run_benchmark
from sim.benchmark.baselines import RandomPolicy
from sim.benchmark.grasp_attempt import attempt
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.judge import mujoco_world
from sim.judge.agreement import count_agreement, describe_agreement
from sim.judge.convex_bodies import convex_parts, inertias
from sim.judge.second_attempts import judge_attempts
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World, pybullet
from sim.scene import SceneState

mujoco = pytest.mark.skipif(importlib.util.find_spec("mujoco") is None, reason="MuJoCo is not installed: plgp[mujoco]")
GRIPPER, MASS = GripperGeometry(), 0.1
HOLDS_FROM = MASS * 9.81 / (2 * GRIPPER.force)  # 2 mu F = m g


def urdf(collision):
    return (
        f'<robot name="a"><link name="l"><inertial><origin xyz="0 0 0.01"/><mass value="{MASS}"/><inertia ixx="1e-4" '
        f'iyy="1e-4" izz="1e-4" ixy="0" ixz="0" iyz="0"/></inertial>{collision.replace("collision", "visual")}'
        f"{collision}</link></robot>"
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("box")
    box = '<collision><origin xyz="0 0 0.03"/><geometry><box size="0.04 0.04 0.06"/></geometry></collision>'
    (folder / "box.urdf").write_text(urdf(box))
    return SceneState(ObjectSet.from_folder(folder).models, np.eye(4)[None], category="novel-5")


def grasp(x=0.0, tip=0.02, angle=0.0, width=0.08):
    rotation = Rotation.from_euler("z", angle).as_matrix() @ np.diag([1.0, -1, -1])
    return GraspPoses(np.array([[x, 0, tip]]), rotation[None], np.array([width]), np.ones(1), "world")


def test_every_part_of_an_obj_is_a_convex_body(tmp_path):
    (tmp_path / "two.obj").write_text(
        "o a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1/1 2/2 4/4\nf 1 3 4\nf 2 3 4\n"
        "o b\nv 5 0 0\nv 6 0 0\nv 5 1 0\nv 5 0 2\nf 5 6 7\nf 5 6 8\nf 5 7 8\nf 6 7 8\n"
        "o flat\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 9 10 11\n"
    )
    mesh = '<geometry><mesh filename="two.obj" scale="0.1 0.1 0.1"/></geometry>'
    shape = f'<collision><origin xyz="0 0 1"/>{mesh}</collision>'
    (tmp_path / "two.urdf").write_text(urdf(shape))
    parts = convex_parts(ObjectSet.from_folder(tmp_path, pattern="*.urdf", scale=0.5).models[0])
    assert [len(p) for p in parts] == [4, 4]  # a flat part is none
    np.testing.assert_allclose(parts[1], [[0.25, 0, 0.5], [0.3, 0, 0.5], [0.25, 0.05, 0.5], [0.25, 0, 0.6]])


def test_parts_begin_where_bullet_begins_them(tmp_path):
    """Bullet overlooks a letter that ends its line; with a blank behind it, it begins a part without a name."""
    for line, parts in (("g", 1), ("o", 1), ("g ", 2), ("  g b", 2), ("o\tb", 2), ("group", 1)):
        cubes = [f"v {x + a} {b} {c}" for x in (0, 5) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
        faces = ["1 2 4", "5 7 8", "1 5 6", "3 4 8", "1 3 7", "2 6 8"]
        second = [" ".join(str(int(number) + 8) for number in face.split()) for face in faces]
        text = [*cubes[:8], "o a", *(f"f {f}" for f in faces), line, *cubes[8:], *(f"f {f}" for f in second)]
        (tmp_path / "two.obj").write_text("\n".join(text))
        mesh = '<geometry><mesh filename="two.obj" scale="0.02 0.02 0.02"/></geometry>'
        (tmp_path / "two.urdf").write_text(urdf(f"<collision>{mesh}</collision>"))
        model = ObjectSet.from_folder(tmp_path, pattern="*.urdf").models[0]
        assert len(convex_parts(model)) == parts, repr(line)
        world = World(PhysicsSettings(), TraySettings())
        world.rebuild([model], [np.eye(4)])
        between = pybullet.rayTest([0.07, 0.01, 1], [0.07, 0.01, 0.005], physicsClientId=world.client)[0][0]
        world.close()
        assert (between == -1) == (parts == 2), repr(line)


def test_bodies_weigh_what_they_weigh_in_bullet(state):
    world = World(PhysicsSettings(), TraySettings())
    world.rebuild(list(state.models), list(state.poses))
    (found,) = inertias(world)
    world.close()
    assert found.mass == MASS
    np.testing.assert_allclose(found.frame[:3, 3], [0, 0, 0.01], atol=1e-9)
    assert (found.diagonal > 0).all()


@pytest.fixture(scope="module")
def judge(state):
    return mujoco_world.MujocoWorld(state, GRIPPER, PhysicsSettings())


@mujoco
@pytest.mark.parametrize(("share", "holds"), [(0.5, False), (0.8, False), (2, True), (20, True), (60, True)])
def test_friction_decides(judge, share, holds):
    """2 mu F = m g, as in Bullet: below it slips, above it is carried to the drop-off place."""
    result = judge.attempt(grasp(), share * HOLDS_FROM)
    assert result.success == holds
    if not holds:
        assert result.reason == "slipped"
        return
    s = AttemptSettings()
    assert result.lifted == (0,)
    creep = 0.02 if share < 20 else 0.002  # MuJoCo's friction is soft: near the limit a thing creeps through the hand
    np.testing.assert_allclose(result.poses[0, :3, 3], [s.carry[0], 0, s.lift], atol=creep)
    assert result.slip < creep


@mujoco
def test_an_objects_own_friction_counts_as_in_bullet(state):
    """Two bodies' frictions are multiplied."""
    world = mujoco_world.MujocoWorld(state, GRIPPER, PhysicsSettings(object_friction=0.3))
    assert world.attempt(grasp(), 2 * HOLDS_FROM).reason == "slipped"
    assert world.attempt(grasp(), 8 * HOLDS_FROM).success
    world._reset(np.eye(4) + np.eye(4, k=3) * 0.5, 0.08, 0.5)
    assert world.data.ncon > 0
    on_tray = world.data.contact.friction[: world.data.ncon, 0]
    np.testing.assert_allclose(on_tray, 0.3 * state.tray.friction)
    above = np.eye(4)
    above[2, 3] = 0.06
    pair = SceneState(state.models * 2, np.stack([np.eye(4), above]), category="novel-5")
    world = mujoco_world.MujocoWorld(pair, GRIPPER, PhysicsSettings(object_friction=0.3))
    world._reset(np.eye(4) + np.eye(4, k=3) * 0.5, 0.08, 0.5)
    assert set(world.data.contact.friction[: world.data.ncon, 0].round(9)) == {0.09, 0.3 * state.tray.friction}


@mujoco
@pytest.mark.parametrize(
    ("where", "reason"),
    [({"x": 0.1}, "missed"), ({"x": 0.022}, "blocked"), ({"width": 0.03}, "blocked")],
    ids=["beside", "on the edge", "too narrow"],
)
def test_failures_have_the_same_names_as_in_bullet(judge, state, where, reason):
    world = World(PhysicsSettings(), TraySettings())
    first = attempt(world, state, grasp(**where), GRIPPER, 0.4)
    world.close()
    second = judge.attempt(grasp(**where), 0.4)
    assert (first.success, first.reason) == (second.success, second.reason) == (False, reason)


@mujoco
def test_a_turned_grasp_lifts_and_an_attempt_repeats(judge):
    first, again = judge.attempt(grasp(angle=np.pi / 2), 0.4), judge.attempt(grasp(angle=np.pi / 2), 0.4)
    assert first.success
    np.testing.assert_array_equal(first.poses, again.poses)
    with pytest.raises(ValueError, match="one grasp in the world frame"):
        judge.attempt(GraspPoses.empty("world"), 0.4)


def test_without_mujoco_the_cure_is_named(state, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(mujoco_world.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"pip install 'plgp\[mujoco\]'"):
        mujoco_world.MujocoWorld(state, GRIPPER, PhysicsSettings())


def test_agreement_is_counted_and_told():
    rows = pd.DataFrame(
        {
            "success": [True, True, False, False, True],
            "reason": ["", "", "slipped", "blocked", ""],
            "mujoco_success": [True, False, False, True, True],
            "mujoco_reason": ["", "slipped", "missed", "", ""],
        }
    )
    assert count_agreement(rows).to_numpy().tolist() == [[2, 1], [1, 1]]
    text = describe_agreement(rows, "labels")
    assert "labels: 60.0 % lift in Bullet, 60.0 % in MuJoCo; the two agree on 3 of 5" in text
    assert "1 success -> slipped" in text
    assert "1 blocked -> success" in text
    with pytest.raises(InputError, match="physics=mujoco"):
        count_agreement(rows[["success"]])


@mujoco
def test_a_benchmarks_ranked_grasps_are_judged_and_kept(state, tmp_path):
    rules = BenchmarkSettings(count=4, depth_noise=None, max_failures=1)
    attempts = run_benchmark(RandomPolicy(redraw=True), [state], [0.4], rules)
    scenes = {"novel-5": [state]}
    judged = judge_attempts(attempts, scenes, rules, folder=tmp_path)
    assert set(judged.protocol) == {"rank"}
    assert 1 <= len(judged) <= 4
    (kept,) = tmp_path.rglob("*.csv")
    written = kept.stat().st_mtime_ns
    again = judge_attempts(attempts, scenes, rules, folder=tmp_path)
    pd.testing.assert_frame_equal(judged, again)
    assert kept.stat().st_mtime_ns == written
    judge_attempts(attempts.assign(x=attempts.x + 0.001), scenes, rules, folder=tmp_path)
    assert len(list(tmp_path.rglob("*.csv"))) == 2  # other grasps are others' outcomes
    with pytest.raises(InputError, match="nothing to judge"):
        judge_attempts(attempts[attempts.protocol == "clear"], scenes, rules)
