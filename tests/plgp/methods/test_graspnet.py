"""GraspNet-baseline: grouping beside slow twins, golden answers, decoding, the collision step, the wiring."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from plgp.methods.graspnet import GraspNet, GraspNetPolicy, load_network
from plgp.methods.graspnet import policy as policy_module
from plgp.methods.graspnet.collision import free_of_cloud, thin_cloud
from plgp.methods.graspnet.decoding import decode, thin_out, to_poses
from plgp.methods.graspnet.grouping import ball_neighbours, cylinder_neighbours
from plgp.methods.graspnet.network import Heads, fibonacci_views, interpolate, view_frames
from plgp.policy import Workspace
from sim.benchmark import BenchmarkSettings, Observation
from sim.benchmark.grasp_attempt import attempt
from sim.benchmark.observation import observe
from sim.camera import PinholeCamera, offset_pose, overhead_pose
from sim.errors import InputError
from sim.geometry import make_pose
from sim.grasp import GraspPoses
from sim.objects import ObjectSet
from sim.physics import World
from sim.scene import SceneState

WEIGHTS = Path("/work/shared/weights")
FILE = WEIGHTS / "graspnet_baseline_third_party" / "grasp.pth"
public = pytest.mark.skipif(not FILE.is_file(), reason=f"a public training is not at {FILE}")
TRAY = Workspace((-0.18, -0.18, -0.1), (0.18, 0.18, 0.4))


def box_scene(camera=None, turn=0.0, middle=(0.0, 0.0), half=(0.06, 0.02), height=0.06):
    """A box on the world's ground as a camera sees it, ray by ray; its long side is turned from world x by ``turn``."""
    camera = camera or PinholeCamera.from_fov(320, 240, pose=overhead_pose(0.6))
    rows, cols = np.mgrid[: camera.height, : camera.width]
    world = camera.deproject(rows.ravel(), cols.ravel(), 1.0) @ camera.pose[:3, :3].T
    back = Rotation.from_euler("z", -turn).as_matrix()
    rays, origin = world @ back.T, back @ (camera.pose[:3, 3] - np.array([*middle, 0]))
    low, high = np.array([-half[0], -half[1], 0.0]), np.array([half[0], half[1], height])
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = (low - origin) / rays, (high - origin) / rays
    enter, leave = np.minimum(near, far).max(axis=1), np.maximum(near, far).min(axis=1)
    depth = np.where(enter < leave, enter, -camera.pose[2, 3] / world[:, 2]).reshape(rows.shape)
    return Observation(None, depth.astype(np.float32), camera)


def test_parameters_are_counted_as_published():
    assert sum(p.numel() for p in GraspNet().parameters()) == 1_025_964


@public
@torch.inference_mode()
def test_golden_answers():
    golden = np.load(WEIGHTS / "golden_graspnet.npz")
    heads = load_network(FILE)(golden["points"])
    answers = decode(heads)
    np.testing.assert_array_equal(answers.seed, golden["center"])
    np.testing.assert_array_equal(answers.is_object, golden["obj"])
    np.testing.assert_allclose(heads.views.max(dim=1).values, golden["view"], atol=1e-4)
    np.testing.assert_allclose(heads.rotation[:, :, 0], golden["approach"], atol=1e-6)
    for ours, name in ((answers.score, "score"), (answers.width, "width"), (answers.depth, "depth")):
        np.testing.assert_allclose(ours, golden[name], atol=1e-4)
    np.testing.assert_allclose(answers.rotation, golden["R"], atol=1e-5)


# --- grouping


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 2), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_neighbours_equal_slow_twins(seed, radius, limit):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (40, 3)).astype(np.float32)
    centres, axes = points[:9], rng.normal(size=(9, 3))
    axes = (axes / np.linalg.norm(axes, axis=1, keepdims=True)).astype(np.float32)
    balls = ball_neighbours(points, centres, radius, limit=limit)
    ends = np.array([0.2, 0.6], np.float32)
    tubes = cylinder_neighbours(points, centres, axes, radius=radius, behind=-0.3, ahead=ends, limit=limit)
    for i, (centre, axis) in enumerate(zip(centres, axes, strict=True)):
        offset = (points - centre).astype(np.float64)
        expected = [(np.linalg.norm(offset, axis=1) < radius, balls[i])]
        along = offset @ axis
        beside = np.linalg.norm(offset - along[:, None] * axis, axis=1) < radius
        expected += [(beside & (along > -0.3) & (along < end), tube) for end, tube in zip(ends, tubes[i], strict=True)]
        for inside, found in expected:
            first = np.nonzero(inside)[0][:limit]
            assert found.tolist() == [*first, *[first[0]] * (limit - len(first))]


def test_interpolation_is_exact_at_the_coarse_points_and_even_between_them():
    coarse = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [50, 0, 0]])
    features = torch.tensor([[1.0], [2], [4], [100]])
    torch.testing.assert_close(interpolate(features, coarse, coarse[:3]), features[:3], atol=1e-4, rtol=0)
    between = interpolate(features, coarse, torch.tensor([[0.0, 0, 1]]))  # 1, sqrt 2, sqrt 2 away
    torch.testing.assert_close(between, torch.tensor([[(1 + 6 / 2**0.5) / (1 + 2 / 2**0.5)]]))


def test_views_are_spread_over_the_sphere_and_their_frames_are_rotations():
    views = fibonacci_views(300)
    np.testing.assert_allclose(np.linalg.norm(views, axis=1), 1, atol=1e-6)
    assert np.abs(views.mean(axis=0)).max() < 0.01
    nearest = np.sort(np.arccos(np.clip(views @ views.T, -1, 1)), axis=1)[:, 1]
    assert 0.15 < nearest.min() < nearest.max() < 0.3
    frames = view_frames(np.concatenate([views, [[0, 0, 1]]]).astype(np.float32))
    np.testing.assert_allclose(np.linalg.det(frames), 1, atol=1e-5)
    np.testing.assert_allclose(frames[-1], [[0, 0, -1], [0, 1, 0], [1, 0, 0]], atol=1e-6)


# --- decoding


def heads_of(score, logits, width, tolerance, objectness):
    """Answers at seeds that all approach along the camera's z."""
    count = len(objectness)
    operation = torch.tensor(np.concatenate([score, logits, width], axis=2), dtype=torch.float32)
    rotation = view_frames(np.tile(np.float32([0, 0, 1]), (count, 1)))
    seeds = np.arange(3 * count, dtype=np.float32).reshape(-1, 3)
    return Heads(seeds, torch.tensor(objectness), torch.zeros(count, 300), rotation, operation, torch.tensor(tolerance))


def test_an_answer_written_down_by_hand():
    score, logits, width = np.zeros((3, 1, 4, 12))
    tolerance = np.full((1, 4, 12), 0.02, np.float32)
    logits[0, :, 3], score[0, :, 3], score[0, :, 5] = 1, [0.1, 0.2, 0.9, 0.3], 5  # 5 is no angle's best logit
    width[0, 2, 3], tolerance[0, 2, 3] = 0.05, 0.04
    answers = decode(heads_of(score, logits, width, tolerance, [[0.0, 1.0]]))
    assert (answers.depth[0], answers.is_object[0]) == (0.03, True)
    assert answers.width[0] == pytest.approx(0.06)
    assert answers.score[0] == pytest.approx(0.9 * 0.04 / 0.05)
    poses = to_poses(answers.to_rows(), widest=0.05)
    np.testing.assert_allclose(poses.translation[0], [0, 1, 2.03])  # the tips, 3 cm beyond the seed
    np.testing.assert_allclose(poses.rotation[0, :, 2], [0, 0, 1], atol=1e-6)
    turn = np.pi / 4  # angle 3 of 12, about the approach, from the camera's y
    np.testing.assert_allclose(poses.rotation[0, :, 0], [-np.sin(turn), np.cos(turn), 0], atol=1e-6)
    assert poses.width[0] == 0.05
    assert len(decode(heads_of(score, logits, width, tolerance, [[1.0, 0.0]])).to_rows()) == 0


def row(place, rotation, score=0.5, width=0.06, depth=0.02):
    return np.array([score, width, 0.02, depth, *np.ravel(rotation), *place, -1])


def test_of_neighbours_the_best_stays():
    about = [Rotation.from_euler("x", angle, degrees=True).as_matrix() for angle in (0, 20, 40, 180, 200)]
    rows = np.array([row((0, 0, 0), r, score) for r, score in zip(about, (0.9, 0.8, 0.7, 0.6, 0.5), strict=True)])
    rows = np.concatenate([rows, [row((0.031, 0, 0), about[0], 0.4), row((0.06, 0.01, 0), about[0], 0.3)]])
    kept = thin_out(rows, distance=0.03, turn=np.pi / 6)
    assert kept[:, 0].tolist() == [0.9, 0.7, 0.4, 0.3]  # half a turn about the approach is the same grasp
    assert len(thin_out(rows[:0], distance=0.03, turn=0.5)) == 0


def test_a_hand_in_the_cloud_is_told_from_a_free_one():
    frame = view_frames(np.float32([[0, 0, 1]]))[0]  # approach z, closing y
    grasp = row((0, 0, 0.5), frame)[None]  # fingers end at 0.52, faces at y = -+0.03
    for place, free in (
        ((0, 0, 0.5), True),  # between the fingers
        ((0, 0.035, 0.5), False),  # in a finger
        ((0, 0.035, 0.53), True),  # below it
        ((0, 0.045, 0.5), True),  # beside it
        ((0.015, 0.035, 0.5), True),  # out of its plane
        ((0, 0, 0.455), False),  # in the bar behind
        ((0, 0.02, 0.41), False),  # on the way in
        ((0, 0.02, 0.38), True),  # farther back
    ):
        answer = free_of_cloud(grasp, np.array([place]), voxel=0.01, threshold=0.0)
        assert answer.tolist() == [free], place


def test_a_cloud_is_thinned_to_means():
    points = np.array([[0, 0, 0], [0.004, 0, 0], [0.02, 0, 0.0]])
    assert sorted(thin_cloud(points, 0.01).tolist()) == [[0.002, 0, 0], [0.02, 0, 0]]
    assert len(thin_cloud(points[:0], 0.01)) == 0


# --- the policy


class FakeNetwork(torch.nn.Module):
    """At every tenth point a grasp straight along the camera's z, and every other one 53 degrees off."""

    def forward(self, points, allowed=None):
        seeds = points[::10]
        count = len(seeds)
        towards = np.tile(np.float32([[0, 0, 1], [0.8, 0, 0.6]]), (count, 1))[:count]
        if allowed is not None:  # one of the allowed views, whichever
            towards = -fibonacci_views(300)[np.resize(np.flatnonzero(allowed), count)]
        score = torch.from_numpy(seeds[:, 1] - seeds[:, 2])[:, None, None].repeat(1, 4, 12)
        operation = torch.cat([score + 2, torch.zeros(count, 4, 12), torch.full((count, 4, 12), 0.05)], dim=2)
        objectness = torch.from_numpy(np.column_stack([seeds[:, 2] * 0 + 0.58, 1.16 - seeds[:, 2]]))
        tolerance = torch.full((count, 4, 12), 0.05)
        return Heads(seeds, objectness, torch.zeros(count, 300), view_frames(towards), operation, tolerance)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(policy_module, "load_network", lambda weights_file: FakeNetwork())


def test_collisions_come_last_and_steep_ones_are_kept(fake):
    seen = box_scene()
    every = GraspNetPolicy(weights_file="", workspace=TRAY, collision=False)(seen, 500)
    checked = GraspNetPolicy(weights_file="", workspace=TRAY)(seen, 500)
    assert len(every) == len(checked)  # the benchmark asks for 50: what collides comes behind
    assert (np.diff(every.quality) <= 0).all()
    assert (np.diff(checked.quality) > 0).sum() == 1
    steep = GraspNetPolicy(weights_file="", workspace=TRAY, top_down_max_angle=0.5)(seen, 500)
    assert steep.rotation[:, 2, 2].min() >= np.cos(0.5)
    assert len(steep) >= len(every)  # every seed has a view from above
    lost = Observation(None, seen.depth, PinholeCamera(320, 240, seen.camera.intrinsics, np.eye(4)))
    unposed = GraspNetPolicy(weights_file="", top_down_max_angle=0.5)(lost, 5)  # straight down is the camera's z
    assert len(unposed) > 0


def test_what_lies_low_is_no_object(fake):
    """The noise of a depth camera, 4 mm, makes the network see objects on bare floor."""
    seen = box_scene(height=0.025)
    lost = Observation(None, seen.depth, PinholeCamera(320, 240, seen.camera.intrinsics, np.eye(4)))
    for camera in (seen, lost):  # without a pose the farthest that is seen is the table
        assert len(GraspNetPolicy(weights_file="")(camera, 50)) > 0
        assert len(GraspNetPolicy(weights_file="", min_height=0.026)(camera, 50)) == 0
        assert len(GraspNetPolicy(weights_file="", min_height=-1.0)(camera, 50)) > 0


@pytest.mark.parametrize(
    "pose", [pytest.param(overhead_pose(0.6), marks=pytest.mark.slow), offset_pose(0.6, (0.15, -0.1))]
)
def test_views_from_above_are_chosen_among_not_filtered(pose):
    """The network is told which views come from above in the camera's frame, and each seed's best of them counts."""
    camera = PinholeCamera.from_fov(320, 240, pose=pose)
    torch.manual_seed(0)
    network, points = GraspNet().eval(), box_scene(camera).point_cloud()[0].astype(np.float32)
    chosen = np.random.default_rng(0).choice(len(points), 3000, replace=False)
    allowed = -fibonacci_views(300) @ -pose[2, :3] >= np.cos(np.pi / 6)
    with torch.inference_mode():
        every, steep = (network(points[chosen], among) for among in (None, allowed))
    np.testing.assert_array_equal(every.views, steep.views)
    best = np.flatnonzero(allowed)[steep.views[:, allowed].argmax(dim=1)]
    np.testing.assert_allclose(steep.rotation[:, :, 0], -fibonacci_views(300)[best], atol=1e-6)
    world = steep.rotation[:, :, 0] @ pose[:3, :3].T
    assert world[:, 2].max() <= -np.cos(np.pi / 6) + 1e-6


def test_every_direction_has_a_view_within_the_least_cone():
    directions = np.random.default_rng(0).normal(size=(20_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert np.arccos((directions @ fibonacci_views(300).T).max(axis=1)).max() < policy_module._LEAST_CONE


def test_blindness_and_bad_settings(fake):
    blind = Observation(None, np.zeros((240, 320), np.float32), box_scene().camera)
    assert len(GraspNetPolicy(weights_file="", workspace=TRAY)(blind, 50)) == 0
    bad_settings = [({"samples": 100}, "at least 2048"), ({"voxel": 0}, "voxel is 0"), ({"seed": -1}, "seed is -1")]
    bad_settings += [
        ({"top_down_max_angle": 0.1}, "at least 0.2, or null"),
        ({"min_height": np.nan}, "min_height is nan"),
    ]
    for bad, text in bad_settings:
        with pytest.raises(InputError, match=text):
            GraspNetPolicy(weights_file="", **bad)


def test_missing_and_broken_weights_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.tar do not exist"):
        load_network("nowhere.tar")
    broken = tmp_path / "checkpoint-rs.tar"
    for content in ({"model_state_dict": {"a.weight": torch.zeros(3)}}, [1, 2]):
        torch.save(content, broken)
        with pytest.raises(InputError, match="no checkpoint of GraspNet-baseline"):
            load_network(broken)
    broken.write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(InputError, match="no checkpoint of GraspNet-baseline"):
        load_network(broken)


@public
def test_the_authors_tar_is_read(tmp_path):
    """Their file holds more than the parameters; one saved from several GPUs has a prefix."""
    state = torch.load(FILE, map_location="cpu", weights_only=True)
    authors = tmp_path / "checkpoint-rs.tar"
    content = {"epoch": 18, "optimizer_state_dict": {}, "loss": torch.tensor(1.0)}
    torch.save({**content, "model_state_dict": {f"module.{k}": v for k, v in state.items()}}, authors)
    own = load_network(FILE).state_dict()
    for name, value in load_network(authors).state_dict().items():
        torch.testing.assert_close(value, own[name])


def configured(*overrides):
    names = "policy=[graspnet,graspnet_topdown]"
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("benchmark", overrides=[names, *overrides]).policies


def test_both_presets_are_made(fake):
    config = configured("policies.graspnet.weights_file=a", "policies.graspnet_topdown.weights_file=a")
    every, steep = (instantiate(entry, _convert_="all") for entry in config.values())
    assert (every.name, steep.name) == tuple(config) == ("graspnet", "graspnet_topdown")
    assert np.degrees(steep.top_down_max_angle) == pytest.approx(30)
    differing = {k for k, v in config.graspnet_topdown.items() if v != config.graspnet.get(k)}
    assert differing == {"top_down_max_angle", "name"}


@public
@pytest.mark.parametrize(
    ("pose", "turn", "middle"),
    [
        (overhead_pose(0.6), 0.0, (0.0, 0.0)),
        pytest.param(overhead_pose(0.6), 0.9, (0.05, -0.06), marks=pytest.mark.slow),
        pytest.param(overhead_pose(0.75), 0.9, (0.05, -0.06), marks=pytest.mark.slow),
        (offset_pose(0.6, (0.15, -0.1)), -0.9, (0.05, 0.06)),
    ],
    ids=["straight", "turned and moved", "higher camera", "mirrored, oblique camera"],
)
def test_grasps_turn_and_move_with_the_box(pose, turn, middle):
    """Closing across the narrow side, tips beside the box and over the floor, whatever the camera."""
    camera = PinholeCamera.from_fov(320, 240, pose=pose)
    policy = GraspNetPolicy(weights_file=FILE, workspace=TRAY, top_down_max_angle=0.6)
    world = policy(box_scene(camera, turn, middle), 5).transform(pose, "world")
    across = np.array([-np.sin(turn), np.cos(turn), 0])
    assert len(world) >= 3
    assert np.median(np.abs(world.rotation[:, :, 0] @ across)) > 0.9
    offset = world.translation[:, :2] - middle
    assert np.median(np.abs(offset @ across[:2])) < 0.015
    assert np.median(np.linalg.norm(offset, axis=1)) < 0.06
    assert np.median(world.translation[:, 2]) == pytest.approx(0.035, abs=0.025)
    assert (world.rotation[:, 2, 2] < -0.8).all()
    assert np.median(world.width) > 0.04  # the box is 40 mm wide


@pytest.mark.slow
@public
def test_the_opening_grows_with_the_box():
    """Half and one and a half times the box: the predicted width follows the object, in metres."""
    policy = GraspNetPolicy(weights_file=FILE, workspace=TRAY, top_down_max_angle=0.6)
    narrow, wide = (policy(box_scene(half=(0.06, half)), 5) for half in (0.01, 0.03))
    assert np.median(narrow.width) + 0.015 < np.median(wide.width)
    assert np.median(wide.width) >= 0.06


# --- in simulation


@pytest.fixture(scope="module")
def box_in_the_tray(tmp_path_factory):
    """A box of 40 x 90 x 60 mm, turned by 30 degrees, in the tray."""
    folder = tmp_path_factory.mktemp("box")
    shape = '<geometry><box size="0.09 0.04 0.06"/></geometry>'
    mass = '<inertial><mass value="0.1"/><inertia ixx="1e-4" iyy="1e-4" izz="1e-4" ixy="0" ixz="0" iyz="0"/></inertial>'
    link = f'<link name="l">{mass}<visual>{shape}</visual><collision>{shape}</collision></link>'
    (folder / "box.urdf").write_text(f'<robot name="box">{link}</robot>')
    pose = make_pose(Rotation.from_euler("z", 30, degrees=True).as_matrix(), (0.03, -0.05, 0.0305))
    return SceneState(ObjectSet.from_folder(folder).models, pose[None])


def turned(grasps, radians):
    """The same grasps turned about their approach."""
    about = Rotation.from_euler("z", radians).as_matrix()
    return GraspPoses(grasps.translation, grasps.rotation @ about, grasps.width, grasps.quality, grasps.frame)


def shifted(grasps, metres):
    """The same grasps further along their approach."""
    place = grasps.translation + metres * grasps.rotation[:, :, 2]
    return GraspPoses(place, grasps.rotation, grasps.width, grasps.quality, grasps.frame)


@public
@pytest.mark.slow
@pytest.mark.parametrize("cone", [None, np.pi / 6], ids=["from all sides", "from above"])
def test_grasps_lift_as_they_are_and_not_turned_or_off_in_depth(cone, box_in_the_tray):
    """Closing axis, tips and opening are read as they were meant: every other reading lifts less, or nothing."""
    state, rules = box_in_the_tray, BenchmarkSettings(depth_noise=None)
    seen = observe(state, rules, [0, 0, 0])
    policy = GraspNetPolicy(weights_file=FILE, workspace=TRAY, top_down_max_angle=cone)
    grasps = policy(seen, 6).transform(seen.camera.pose, "world")
    assert len(grasps) == 6
    world = World(rules.physics, state.tray)

    def lifted(some):
        return sum(attempt(world, state, some[i], rules.gripper, 0.6).success for i in range(len(some)))

    try:
        as_told = lifted(grasps)
        assert as_told >= (3 if cone is None else 4)  # from the side fingers meet the floor
        assert lifted(turned(grasps, np.pi / 2)) <= 1  # 90 mm do not fit between the fingers
        assert lifted(shifted(grasps, -0.05)) <= 1  # the tips end above the box
        assert lifted(turned(grasps, np.pi)) == as_told  # half a turn is the same grasp
    finally:
        world.close()
