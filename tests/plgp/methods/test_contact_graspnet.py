"""Contact-GraspNet's adapter: its geometry, its network beside a slow twin, its weights where they are installed."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from plgp.methods.contact_graspnet import network as network_module
from plgp.methods.contact_graspnet import policy as policy_module
from plgp.methods.contact_graspnet.grasps import BASE_TO_CONTACT, BASE_TO_TIP, ContactGrasps, read_heads
from plgp.methods.contact_graspnet.network import CENTRES, INSTALL, RADII, ContactGraspNet, interpolate, load_network
from plgp.methods.contact_graspnet.policy import ContactGraspNetPolicy
from plgp.methods.contact_graspnet.sampling import ball_neighbours, farthest_points
from plgp.policy import Workspace
from sim.benchmark import Observation
from sim.camera import PinholeCamera, offset_pose, overhead_pose
from sim.cli import input_error
from sim.errors import InputError

CAMERA = PinholeCamera.from_fov(160, 120, pose=overhead_pose(0.6))
TRAY = Workspace((-0.18, -0.18, -0.1), (0.18, 0.18, 0.4))
installed = pytest.mark.skipif(
    find_spec("cgn_pytorch") is None, reason=f"Contact-GraspNet's weights are not here: {INSTALL}"
)


def box_on_tray(camera=CAMERA, half=(0.06, 0.015), height=0.05, turn=0.0, middle=(0.0, 0.0)):
    """A box on the world's ground as a camera sees it, ray by ray; its long side is turned from world x by ``turn``."""
    rows, cols = np.mgrid[: camera.height, : camera.width]
    back = Rotation.from_euler("z", -turn).as_matrix()
    rays = camera.deproject(rows.ravel(), cols.ravel(), 1.0) @ camera.pose[:3, :3].T @ back.T
    origin = back @ (camera.pose[:3, 3] - np.array([*middle, 0]))
    depth = -origin[2] / rays[:, 2]
    low, high = np.array([-half[0], -half[1], 0.0]), np.array([half[0], half[1], height])
    with np.errstate(divide="ignore"):
        near, far = (low - origin) / rays, (high - origin) / rays
    enter, leave = np.minimum(near, far).max(axis=1), np.maximum(near, far).min(axis=1)
    depth = np.where(enter < leave, enter, depth).reshape(rows.shape).astype(np.float32)
    return Observation(np.zeros((*depth.shape, 3), np.uint8), depth, camera)


class FakeNetwork(torch.nn.Module):
    """One grasp a point: closing along world y, from above and from a tilt in turn, the higher the better."""

    def forward(self, points, first=0):
        place = torch.from_numpy(points)
        n = len(points)
        tilt = torch.tensor([[0.0, 0.0, -1.0], [0.8, 0.0, -0.6]]).repeat(n // 2 + 1, 1)[:n]
        baseline = torch.tensor([[0.0, 2.0, 0.0]]).repeat(n, 1)
        return place, [place[:, 2:] * 20, baseline, tilt + baseline, torch.full((n, 1), 0.03)]


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(policy_module, "load_network", lambda weights_file=None: FakeNetwork())


def grasps_of(rotation, contact, width, score=0.5):
    """One grasp whose baseline and approach are a rotation's first and third columns."""
    baseline, approach = rotation[None, :, 0], rotation[None, :, 2]
    return ContactGrasps(np.array([contact]), baseline, approach, np.array([width]), np.array([score]))


turns = st.integers(0, 2**32 - 1).map(lambda seed: Rotation.random(rng=np.random.default_rng(seed)).as_matrix())
places = arrays(np.float64, 3, elements=st.floats(-0.5, 0.5))


@given(turns, places, st.floats(0, 0.08), st.floats(0, 0.08), st.floats(0.04, 0.14))
@settings(deadline=None)
def test_the_finger_tips_bracket_both_contacts(rotation, contact, width, extra, widest):
    grasp = grasps_of(rotation, contact, width).to_grasp_poses(widest, extra)
    np.testing.assert_allclose(grasp.rotation[0], rotation, atol=1e-12)  # closing, approach, right-handed
    other = contact + width * rotation[:, 0]
    first, second = (rotation.T @ (p - grasp.translation[0]) for p in (contact, other))
    above = BASE_TO_CONTACT - BASE_TO_TIP
    assert above == pytest.approx(-0.0088, abs=1e-4)
    np.testing.assert_allclose(first, [-width / 2, 0, above], atol=1e-9)
    np.testing.assert_allclose(second, [width / 2, 0, above], atol=1e-9)
    assert grasp.width[0] == pytest.approx(min(width + extra, widest))
    if width <= widest:
        assert grasp.width[0] / 2 >= max(abs(first[0]), abs(second[0])) - 1e-9


def test_a_grasp_written_down_by_hand():
    # Contact on the left side of a 4 cm bar, the other finger in +x, straight down from above.
    down = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    grasp = grasps_of(down, np.array([0.1, 0.2, 0.03]), 0.04)
    np.testing.assert_allclose(grasp.base_poses()[0, :3, 3], [0.12, 0.2, 0.03 + 0.1034])
    np.testing.assert_allclose(grasp.to_grasp_poses(0.08, 0.005).translation[0], [0.12, 0.2, 0.03 - 0.008804])


@given(turns, places, st.floats(-0.08, 0.08), st.floats(0.1, 9), st.floats(-3, 3), st.floats(-5, 5))
@settings(deadline=None)
def test_the_heads_become_a_grasp_frame(rotation, contact, width, length, lean, logit):
    """Unnormalised, unorthogonal answers; a signed width puts the hand where the port's formula does."""
    raw = [[logit]], [length * rotation[:, 0]], [rotation[:, 2] + lean * rotation[:, 0]], [[width]]
    heads = [torch.tensor(np.array(r), dtype=torch.float64) for r in raw]
    grasp = read_heads(torch.from_numpy(contact)[None], heads)
    np.testing.assert_allclose(grasp.approach[0], rotation[:, 2], atol=1e-9)
    sign = -1 if width < 0 else 1
    np.testing.assert_allclose(grasp.baseline[0], sign * rotation[:, 0], atol=1e-9)
    expected = contact + width / 2 * rotation[:, 0] - 0.1034 * rotation[:, 2]
    np.testing.assert_allclose(grasp.base_poses()[0, :3, 3], expected, atol=1e-9)
    assert np.linalg.det(grasp.base_poses()[0, :3, :3]) == pytest.approx(1)
    assert grasp.score[0] == pytest.approx(1 / (1 + np.exp(-logit)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_farthest_points_equal_a_slow_twin(seed, count):
    points = np.random.default_rng(seed).uniform(-1, 1, (40, 3)).astype(np.float32)
    expected = [seed % 40]
    while len(expected) < count:
        distance = ((points[:, None] - points[expected][None]) ** 2).sum(axis=2).min(axis=1)
        expected.append(int(distance.argmax()))
    assert farthest_points(points, count, seed % 40).tolist() == expected


def test_more_points_than_there_are_is_refused():
    with pytest.raises(InputError, match="5 of 4"):
        farthest_points(np.zeros((4, 3), np.float32), 5)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 2), st.integers(1, 12))
@settings(max_examples=20, deadline=None)
def test_neighbours_equal_a_slow_twin(seed, radius, limit):
    rng = np.random.default_rng(seed)
    points, centres = rng.uniform(-1, 1, (30, 3)).astype(np.float32), rng.permutation(30)[:10]
    answer = ball_neighbours(points, centres, radius, limit=limit)
    assert answer.shape == (10, limit + 1)
    for number, (centre, row) in enumerate(zip(centres, answer, strict=True)):
        inside = np.nonzero(((points - points[centre]) ** 2).sum(axis=1) < np.float32(radius) ** 2)[0]
        assert set(row) == {*inside[:limit].tolist(), number}


def test_interpolation_is_exact_at_the_coarse_points_and_even_between_them():
    coarse = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [50, 0, 0]])
    features = torch.tensor([[1.0], [2], [4], [100]])
    torch.testing.assert_close(interpolate(features, coarse, coarse[:3]), features[:3])
    middle = interpolate(features, coarse, torch.tensor([[0.5, 0.5, 0]]))
    torch.testing.assert_close(middle, torch.tensor([[7 / 3]]))


def slow_network(network, points):
    """The network centre by centre, on lists of edges, with ``torch.cdist`` and nearest-point weights by NumPy."""
    place, features, levels = points.astype(np.float64), np.zeros((len(points), 0)), []
    for scales, radii, count in zip(network.abstraction, RADII, CENTRES, strict=True):
        chosen = farthest_points(place.astype(np.float32), min(count, len(place)))
        columns = []
        for layers, radius in zip(scales, radii, strict=True):
            rows = []
            for number, centre in enumerate(chosen):
                near = np.nonzero(np.linalg.norm(place - place[centre], axis=1) < radius)[0][:64]
                edges = np.unique([*near, number])
                grouped = np.hstack([features[edges], place[edges] - place[centre]])
                rows.append(layers(torch.from_numpy(grouped)).max(dim=0).values.numpy())
            columns.append(np.array(rows))
        place, features = place[chosen], np.hstack(columns)
        levels.append((place, features))
    for layers, (fine, skip) in zip(network.propagation, levels[::-1], strict=True):
        distance, index = cKDTree(place).query(fine, k=3)
        weight = 1 / np.maximum(distance**2, 1e-16)
        mixed = (features[index] * weight[..., None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
        place, features = fine, layers(torch.from_numpy(np.hstack([mixed, skip]))).numpy()
    rows = torch.from_numpy(np.hstack([place, features])).T[None]
    return [head(rows)[0].T for head in network.heads]


@torch.inference_mode()
def test_the_network_equals_a_slow_twin():
    torch.manual_seed(0)
    network = ContactGraspNet().eval()
    for norm in (m for m in network.modules() if isinstance(m, torch.nn.BatchNorm1d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    points = np.random.default_rng(0).uniform(-0.15, 0.15, (150, 3)).astype(np.float32)
    place, heads = network(points)
    assert place.shape == (150, 3)
    for head, slow in zip(heads, slow_network(network.double(), points), strict=True):
        torch.testing.assert_close(head.double(), slow, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("pose", [overhead_pose(0.6), offset_pose(0.6, (0.15, -0.1))])
def test_grasps_stand_in_the_same_place_of_the_world_from_every_view(fake, pose):
    camera = PinholeCamera.from_fov(160, 120, pose=pose)
    grasps = ContactGraspNetPolicy(workspace=TRAY, top_down_max_angle=0.3)(box_on_tray(camera), 20)
    assert (len(grasps), grasps.frame) == (20, "camera")
    assert (np.diff(grasps.quality) <= 0).all()
    world = grasps.transform(pose, "world")
    np.testing.assert_allclose(world.rotation[:, :, 0], np.tile([0, 1, 0], (20, 1)), atol=1e-6)
    np.testing.assert_allclose(world.rotation[:, :, 2], np.tile([0, 0, -1], (20, 1)), atol=1e-6)
    # Contacts lie on the box's top; the tips 8.8 mm below, half a width further in y.
    np.testing.assert_allclose(world.translation[:, 2], 0.05 - 0.0088, atol=1e-4)
    assert (np.abs(world.translation[:, 0]) < 0.062).all()
    assert (np.abs(world.translation[:, 1] - 0.015) < 0.017).all()


@pytest.mark.parametrize("pose", [overhead_pose(0.6), overhead_pose(0.8), offset_pose(0.6, (0.15, -0.1))])
def test_the_network_is_shown_the_world_axes(fake, monkeypatch, pose):
    """z up and the mean at the origin, whatever the camera: in the camera's axes none of its grasps lifts."""
    shown = []
    monkeypatch.setattr(FakeNetwork, "forward", record(shown, FakeNetwork.forward))
    ContactGraspNetPolicy(workspace=TRAY)(box_on_tray(PinholeCamera.from_fov(320, 240, pose=pose)), 5)
    (points,) = shown
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-5)
    floor = points[:, 2].min()
    assert np.median(points[:, 2]) == pytest.approx(floor, abs=1e-3)  # most of what is seen is the tray's floor ...
    assert points[:, 2].max() - floor == pytest.approx(0.05, abs=1e-3)  # ... and the box stands 5 cm above it
    high = points[points[:, 2] > floor + 0.04]
    assert np.ptp(high[:, 0]) > 3 * np.ptp(high[:, 1])  # its long side lies along the world's x


def record(shown, forward):
    """Returns ``forward`` that also keeps the points it is given."""

    def recorded(self, points, first=0):
        shown.append(points)
        return forward(self, points, first)

    return recorded


def test_settings_filter_and_open(fake):
    seen = box_on_tray()
    every = ContactGraspNetPolicy(workspace=TRAY)(seen, 5000)
    steep = ContactGraspNetPolicy(workspace=TRAY, top_down_max_angle=np.radians(40))(seen, 5000)
    angle = np.degrees(np.arccos(-(CAMERA.pose[:3, :3] @ every.rotation)[:, 2, 2]))
    np.testing.assert_allclose(sorted(set(angle.round(3))), [0, 53.13], atol=0.01)
    assert len(steep) == (angle < 40).sum()
    assert every.transform(CAMERA.pose, "world").translation[:, 2].min() > 0.01 - 0.0089
    floor = ContactGraspNetPolicy(workspace=TRAY, min_height=-1.0)(seen, 5000)
    assert len(floor) > 4 * len(every)
    assert set(every.width) == {0.08}
    assert ContactGraspNetPolicy(workspace=TRAY, extra_opening=0.01)(seen, 1).width[0] == pytest.approx(0.04)
    assert ContactGraspNetPolicy(workspace=TRAY, base_to_tip=0.1)(seen, 1).translation[0, 2] == pytest.approx(
        every.translation[0, 2] - 0.012204, abs=1e-6
    )


def test_the_cloud_is_cropped_sampled_and_repeatable(fake):
    policy = ContactGraspNetPolicy(workspace=TRAY, samples=500)
    first, again = policy.points(box_on_tray()), policy.points(box_on_tray())
    np.testing.assert_array_equal(first, again)
    assert first.shape == (500, 3)
    assert (np.abs(first[:, :2]) <= 0.18).all()
    other = ContactGraspNetPolicy(workspace=TRAY, samples=500, seed=1).points(box_on_tray())
    assert not np.array_equal(first, other)
    assert np.abs(ContactGraspNetPolicy().points(box_on_tray())[:, 0]).max() > 0.3


@pytest.mark.parametrize("cone", [None, 0.3])
def test_without_a_pose_the_camera_looks_straight_down(fake, cone):
    posed = box_on_tray(CAMERA)
    lost = Observation(posed.rgb, posed.depth, PinholeCamera(CAMERA.width, CAMERA.height, CAMERA.intrinsics))
    policy = ContactGraspNetPolicy(top_down_max_angle=cone, min_height=0.03)
    one, other = policy(posed, 20), policy(lost, 20)
    assert len(one) == len(other) > 0
    np.testing.assert_allclose(one.rotation[:, :, 2], other.rotation[:, :, 2], atol=1e-6)
    assert other.translation[:, 2].max() < 0.6 - 0.03 + 0.0089  # on the box, not on the floor


def test_blindness_and_bad_settings(fake):
    blind = box_on_tray()
    blind = Observation(blind.rgb, np.zeros_like(blind.depth), CAMERA)
    assert len(ContactGraspNetPolicy(workspace=TRAY)(blind, 50)) == 0
    for name, wrong in (("seed", -1), ("samples", 20000.0)):
        with pytest.raises(InputError, match=f"contact_graspnet.{name} is {wrong}; give a whole number"):
            ContactGraspNetPolicy(**{name: wrong})
    with pytest.raises(InputError, match="samples is 100"):
        ContactGraspNetPolicy(samples=100)


def configured(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose(
            "benchmark", overrides=["policy=[contact_graspnet,contact_graspnet_topdown]", *overrides]
        ).policies


def test_both_presets_are_made(fake):
    config = configured()
    every, steep = (instantiate(entry, _convert_="all") for entry in config.values())
    assert (every.name, steep.name) == tuple(config) == ("contact_graspnet", "contact_graspnet_topdown")
    assert every.top_down_max_angle is None
    assert np.degrees(steep.top_down_max_angle) == pytest.approx(30)
    differing = {k for k, v in config.contact_graspnet.items() if v != config.contact_graspnet_topdown[k]}
    assert differing == {"top_down_max_angle"}


def test_missing_and_broken_weights_say_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setattr(network_module, "find_spec", lambda name: None)
    with pytest.raises(Exception, match="not installed") as caught:
        instantiate(configured().contact_graspnet, _convert_="all")
    assert INSTALL in str(input_error(caught.value))
    with pytest.raises(InputError, match=r"nowhere\.pth"):
        load_network("nowhere.pth")
    broken = tmp_path / "broken.pth"
    torch.save({"state_dict": {"multihead.0.0.weight": torch.zeros(3)}}, broken)
    with pytest.raises(InputError, match="no checkpoint of cgn-pytorch"):
        load_network(broken)


@installed
@torch.inference_mode()
@pytest.mark.parametrize("scene", ["002330", "004086", "005274"])
def test_the_weights_find_true_contacts_in_their_authors_scenes(scene):
    """The wheel brings three clouds with ground truth: contacts that have a label score above those that have none."""
    stored = np.load(Path(find_spec("cgn_pytorch").origin).parent / f"scenes/{scene}.npz", allow_pickle=True)
    labels = stored["arr_5"].item()["contact_pts"][0] - stored["arr_3"]
    grasps = read_heads(*load_network()(stored["arr_0"][0].astype(np.float32)))
    true = cKDTree(labels).query(grasps.contact)[0] < 0.008
    assert 100 < true.sum() < 500
    assert (grasps.score[true][:, None] > grasps.score[~true][None]).mean() > 0.95
    approach = stored["arr_5"].item()["approach_dirs"][0][cKDTree(labels).query(grasps.contact[true])[1]]
    assert np.median((approach * grasps.approach[true]).sum(axis=1)) > 0.8


@installed
@pytest.mark.parametrize(
    ("offset", "turn", "middle"),
    [
        ((0.2, 0.2), 0.0, (0.0, 0.0)),
        ((0.2, 0.2), 0.7, (0.04, -0.05)),
        ((-0.2, 0.1), -1.0, (-0.05, 0.03)),
    ],
    ids=["as it lies", "turned and moved", "turned, another camera"],
)
def test_the_weights_grasp_a_box_across_its_narrow_side(offset, turn, middle):
    # Seen from the side: of a box seen straight from above only a plate is seen, and grasped as one.
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, offset))
    policy, seen = ContactGraspNetPolicy(workspace=TRAY), box_on_tray(camera, turn=turn, middle=middle)
    first, again = policy(seen, 20), policy(seen, 20)
    np.testing.assert_array_equal(first.translation, again.translation)
    world = first.transform(camera.pose, "world")
    across = np.array([-np.sin(turn), np.cos(turn), 0])
    assert np.median(np.abs(world.rotation[:, :, 0] @ across)) > 0.9  # 3 cm fit into the hand, 12 cm do not
    assert np.median(world.rotation[:, 2, 2]) < -0.8
    places = world.translation - [*middle, 0]
    assert np.median(np.abs(places @ across)) < 0.02
    assert np.median(np.linalg.norm(places[:, :2], axis=1)) < 0.07
    assert np.median(world.translation[:, 2]) == pytest.approx(0.025, abs=0.02)
