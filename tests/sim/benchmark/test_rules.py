"""The benchmark's central rules, each by what it must give; ``test_mutations.py`` breaks them one by one."""

import dataclasses

import numpy as np
import pytest

from sim.benchmark import AttemptSettings, BenchmarkSettings, Observation, observe, run_benchmark, summarise
from sim.benchmark.attempt_outcome import AttemptResult, Touched, carried_objects
from sim.benchmark.grasp_attempt import attempt
from sim.benchmark.parallel_jaw import ParallelJaw
from sim.benchmark.runner import scene_after
from sim.camera import PinholeCamera
from sim.geometry import make_pose
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World
from sim.scene import SceneState

GRIPPER = GripperGeometry()
SIZE = (0.04, 0.04, 0.06)
DOWN = np.diag([1.0, -1.0, -1.0])
MISS = (-0.15, 0.15, 0.02)
RULES = BenchmarkSettings(camera=PinholeCamera.from_fov(160, 120), depth_noise=None, count=1, max_failures=3)
# Carried off sideways at 50 g, which friction cannot hold.
THROWN = AttemptSettings(force=30.0, carry=(0.0, 0.25), carry_steps=12, arm_force=5000.0)


def box_model(folder, mass=0.1, size=SIZE):
    shape = f'<geometry><box size="{size[0]} {size[1]} {size[2]}"/></geometry>'
    inertia = '<inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/>'
    (folder / "box.urdf").write_text(
        f'<robot name="box"><link name="l"><inertial><mass value="{mass}"/>{inertia}</inertial>'
        f"<visual>{shape}</visual><collision>{shape}</collision></link></robot>"
    )
    return ObjectSet.from_folder(folder).models[0]


def boxes(folder, *places, mass=0.1, size=SIZE, category="boxes"):
    """Returns a scene of equal boxes that stand at (x, y) places."""
    poses = [make_pose(np.eye(3), (*place, size[2] / 2)) for place in places]
    return SceneState((box_model(folder, mass, size),) * len(places), np.array(poses), category=category)


def grasps(*places, frame="world"):
    """Returns grasps from straight above with the tips at (x, y, z) places."""
    count = len(places)
    return GraspPoses(
        np.array(places, float).reshape(-1, 3),
        np.tile(DOWN, (count, 1, 1)),
        np.full(count, 0.08),
        np.ones(count),
        frame,
    )


class Scripted:
    """A policy that gives what a list says, and keeps what it was shown: the first answer is for the ranks."""

    name = "scripted"

    def __init__(self, ranked, *cleared):
        self.answers, self.seen, self.counts = [ranked, *([one] for one in cleared)], [], []

    def __deepcopy__(self, memo):
        return self  # each job takes a copy, and what this one was shown is read afterwards

    def __call__(self, observation, count):
        self.seen.append(observation)
        self.counts.append(count)
        places = self.answers[len(self.seen) - 1] if len(self.seen) <= len(self.answers) else [MISS]
        return grasps(*places).transform(np.linalg.inv(observation.camera.pose), "camera")


@pytest.fixture
def world():
    made = World(PhysicsSettings(), TraySettings())
    yield made
    made.close()


def rows_of(table, protocol):
    return table[table.protocol == protocol].sort_values("attempt")


def test_a_clearing_ends_after_failures_in_a_row_and_a_success_begins_the_count_anew(tmp_path):
    first, second = (-0.1, 0, 0.02), (0.0, 0, 0.02)
    policy = Scripted([MISS], MISS, MISS, first, MISS, MISS, second)
    table = run_benchmark(policy, [boxes(tmp_path, (-0.1, 0), (0, 0), (0.1, 0))], 0.6, RULES)
    cleared = rows_of(table, "clear")
    assert cleared.success.tolist() == [False, False, True, False, False, True, False, False, False]
    assert cleared.lifted.tolist() == [0, 0, 1, 0, 0, 1, 0, 0, 0]
    assert (cleared.objects == 3).all()
    summary = summarise(table).iloc[-1]
    assert pytest.approx((100 * 2 / 9, 100 * 2 / 3, 0)) == (summary.SR, summary.PC, summary.AP)


def test_a_cleared_scene_ends_at_once(tmp_path):
    table = run_benchmark(Scripted([MISS], (0, 0, 0.02)), [boxes(tmp_path, (0, 0))], 0.6, RULES)
    assert rows_of(table, "clear").success.tolist() == [True]


def test_ranked_grasps_are_tried_best_first_each_in_the_scene_as_it_was_and_a_missing_one_fails(tmp_path):
    first, second = (-0.1, 0, 0.02), (0.1, 0, 0.02)
    policy = Scripted([first, MISS, first, second])
    rules = dataclasses.replace(RULES, count=5)
    table = run_benchmark(policy, [boxes(tmp_path, (-0.1, 0), (0.1, 0))], 0.6, rules)
    ranked = rows_of(table, "rank")
    assert ranked.success.tolist() == [True, False, True, True, False]
    assert ranked.reason.tolist() == ["", "missed", "", "", "no grasp given"]
    assert summarise(table).AP.iloc[-1] == 60
    assert policy.counts == [5, 1, 1, 1]


def test_each_attempt_of_a_scene_sees_noise_of_its_own_and_every_policy_the_same(tmp_path):
    scenes = [boxes(tmp_path, (0, 0)), boxes(tmp_path, (0, 0))]
    noisy = dataclasses.replace(RULES, depth_noise=BenchmarkSettings().depth_noise, seed=3)
    policy, other = Scripted([]), Scripted([])
    policy.answers = other.answers = [[]] * 8
    run_benchmark(policy, scenes, 0.6, noisy)
    run_benchmark(other, scenes, 0.6, noisy)
    assert all(isinstance(o, Observation) for o in policy.seen)
    depths = [o.depth for o in policy.seen]
    clean = observe(scenes[0], RULES, [0]).depth
    error = (depths[0] - clean)[(depths[0] > 0) & (clean > 0)]
    assert 1e-3 < error.std() < 6e-3
    # Of a scene: the ranks' view, then those of three attempts; nothing was touched between them.
    for number in (0, 1):
        for asked, depth in zip((0, 0, 1, 2), depths[4 * number :], strict=False):
            np.testing.assert_array_equal(depth, observe(scenes[number], noisy, [3, number, asked]).depth)
    different = [depths[i] for i in (0, 2, 3, 4, 6, 7)]
    assert len({d.tobytes() for d in different}) == len(different)
    np.testing.assert_array_equal(depths, [o.depth for o in other.seen])


def test_without_noise_the_camera_sees_the_depth_itself(tmp_path):
    depth = observe(boxes(tmp_path, (0, 0)), RULES, [0]).depth
    assert depth[60, 80] == pytest.approx(0.6 - SIZE[2], abs=1e-5)
    assert depth[5, 80] == pytest.approx(0.6, abs=6e-3)


def test_a_failed_attempt_leaves_the_scene_as_it_left_it(tmp_path):
    policy = Scripted([MISS], (0, 0, 0.02))
    rules = dataclasses.replace(RULES, max_failures=2, attempt=THROWN)
    table = run_benchmark(policy, [boxes(tmp_path, (0, 0), (0.1, 0.1))], 0.6, rules)
    assert rows_of(table, "clear").reason.tolist()[0] in ("dropped", "slipped")
    before, after = policy.seen[1].depth, policy.seen[2].depth
    assert np.abs(before - after).max() > 0.02  # the box lies elsewhere now


def test_what_falls_out_of_the_hand_while_it_is_carried_is_a_failure(world, tmp_path):
    state = boxes(tmp_path, (0, 0))
    kept = attempt(world, state, grasps((0, 0, 0.02)), GRIPPER, 0.4)
    lost = attempt(world, state, grasps((0, 0, 0.02)), GRIPPER, 0.4, THROWN)
    assert (kept.success, kept.reason) == (True, "")
    assert (lost.success, lost.reason, lost.object_index) == (False, "dropped", 0)


def test_what_both_fingers_touch_but_do_not_raise_is_a_failure(world, tmp_path):
    """A box of 20 kg stays where it stands, and the fingers slide up along it."""
    state = boxes(tmp_path, (0, 0), mass=20.0)
    low = AttemptSettings(lift=0.02, carry=(0.0, 0.0))
    result = attempt(world, state, grasps((0, 0, 0.01)), GRIPPER, 0.4, low)
    assert (result.success, result.reason, result.lifted) == (False, "dropped", ())


@pytest.mark.parametrize(("share", "counts"), [(0.45, False), (0.55, True)])
def test_lifted_is_what_rises_by_half_the_lift(share, counts):
    before = np.tile(np.eye(4), (3, 1, 1))
    after = before.copy()
    after[:2, 2, 3] += 0.2 * share
    held, lifted = carried_objects(Touched(False, [0, 2], [0, 2], [0, 2]), before[:, :3, 3], after[:, :3, 3], lift=0.2)
    assert held == ([0] if counts else [])
    assert lifted == ([0, 1] if counts else [])


CLUB = """<robot name="club"><link name="l"><inertial><origin xyz="0 0.04 0"/><mass value="0.1"/><inertia ixx="1e-4"
iyy="1e-4" izz="1e-4" ixy="0" ixz="0" iyz="0"/></inertial>{}</link></robot>"""
HEAD = '<geometry><sphere radius="0.02"/></geometry>'
SHAFT = '<origin xyz="0 0.06 0"/><geometry><box size="0.01 0.12 0.01"/></geometry>'


def test_the_pads_resist_a_twist(world, tmp_path):
    """A club held by its round head, with a point on either side: hard pointed fingers let its shaft swing down."""
    shapes = "".join(f"<visual>{shape}</visual><collision>{shape}</collision>" for shape in (HEAD, SHAFT))
    (tmp_path / "club.urdf").write_text(CLUB.format(shapes))
    state = SceneState(ObjectSet.from_folder(tmp_path).models, make_pose(np.eye(3), (0, 0, 0.02))[None])
    turned = []
    for radius in (AttemptSettings().contact_radius, 0.0):
        result = attempt(world, state, grasps((0, 0, 0.005)), GRIPPER, 0.8, AttemptSettings(contact_radius=radius))
        turned.append(np.degrees(np.arcsin(abs(result.poses[0, 2, 1]))))
    assert turned[0] < 10
    assert turned[1] > 30


def test_each_row_is_executed_with_its_own_friction(tmp_path):
    """A box of 1 kg needs 0.16."""
    always = Scripted([(0, 0, 0.02)], *[(0, 0, 0.02)] * 20)
    table = run_benchmark(always, [boxes(tmp_path, (0, 0), mass=1.0)], [0.02, 0.9], RULES)
    assert table.groupby("friction").success.mean().to_dict() == {0.02: 0, 0.9: 1}


def test_an_object_that_one_finger_pushes_is_not_held(world, tmp_path):
    state = boxes(tmp_path, (0.015, 0))
    world.rebuild(list(state.models), list(state.poses))
    settings = AttemptSettings(pre_grasp=0.0)
    jaw = ParallelJaw(world, GRIPPER, settings, pose=make_pose(DOWN, (0, 0, 0.02)), opening=0.08, friction=0.4)
    for _ in range(20):
        jaw.close(1)
        moved = world.poses()[0][0, 3] - 0.015
        assert moved < -0.005 or jaw.held() == []
        if moved < -1e-3:
            break
    assert -0.01 < moved < -1e-3  # the near finger pushes it
    jaw.close(60)
    assert jaw.held() == [0]


def result_of(poses, *, success=True, lifted=()):
    held = lifted[0] if lifted else -1
    return AttemptResult(success, "" if success else "dropped", held, tuple(lifted), 0.0, np.array(poses), 0.0)


def test_after_a_success_all_that_was_lifted_is_gone_and_after_a_failure_nothing(world, tmp_path):
    state = boxes(tmp_path, (-0.1, 0), (0, 0), (0.1, 0))
    success = scene_after(world, state, result_of(state.poses, lifted=(1, 2)), settings=RULES)
    assert success.poses[:, 0, 3] == pytest.approx([-0.1], abs=1e-3)
    failure = scene_after(world, state, result_of(state.poses, success=False, lifted=(1,)), settings=RULES)
    assert len(failure.models) == 3


def test_after_an_attempt_what_hangs_in_the_air_comes_to_rest_and_what_left_the_tray_is_gone(world, tmp_path):
    state = boxes(tmp_path, (-0.1, 0), (0, 0), (0.1, 0))
    poses = state.poses.copy()
    poses[0, 2, 3] = 0.12  # was let go over the floor
    poses[1, :3, 3] = 0.4, 0, 0.03  # lies beside the tray
    after = scene_after(world, state, result_of(poses, success=False), settings=RULES)
    assert after.at_rest
    assert after.poses[:, 0, 3] == pytest.approx([-0.1, 0.1], abs=0.02)
    assert after.poses[:, 2, 3].max() < 0.04
    hurried = scene_after(
        world, state, result_of(poses, success=False), settings=dataclasses.replace(RULES, settle_steps=60)
    )
    assert not hurried.at_rest


def test_what_falls_out_of_the_tray_while_it_settles_is_gone(world, tmp_path, monkeypatch):
    state, at_rest = boxes(tmp_path, (-0.1, 0), (0, 0)), world.poses

    def rolled_out():
        poses = np.array(at_rest())
        poses[1, 0, 3] = 0.3
        return poses

    monkeypatch.setattr(world, "poses", rolled_out)
    after = scene_after(world, state, result_of(state.poses, success=False), settings=RULES)
    assert after.poses[:, 0, 3] == pytest.approx([-0.1], abs=1e-3)


def test_a_row_counts_what_was_lifted_with_the_held_one_and_nothing_after_a_failure(tmp_path, monkeypatch):
    state = boxes(tmp_path, (-0.1, 0), (0, 0), (0.1, 0))

    def answer(success):
        def fake(world, now, *_):
            return result_of(now.poses, success=success, lifted=(0, 1)[: len(now.models)])

        monkeypatch.setattr("sim.benchmark.runner.attempt", fake)
        return rows_of(run_benchmark(Scripted([MISS]), [state], 0.6, RULES), "clear").lifted.tolist()

    assert answer(True) == [2, 1]
    assert answer(False) == [0, 0, 0]
