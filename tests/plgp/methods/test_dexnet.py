"""GQ-CNN and FC-GQ-CNN: the checkpoint reader, the networks, and the wiring from an image to grasps in the world."""

import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st

from plgp.methods.dexnet import FCGQCNN, GQCNN, FCGQCNNPolicy, GQCNNPolicy, load_fc_gqcnn, load_gqcnn, read_checkpoint
from plgp.methods.dexnet.cross_entropy import CrossEntropySettings, fit_mixture, improve
from plgp.methods.dexnet.grasps import CentreGrasps, DexNetSettings
from plgp.methods.dexnet.image import aligned_crops, see
from plgp.methods.dexnet.sampling import SamplingSettings, sample_antipodal
from plgp.methods.dexnet.tensorflow_checkpoint import masked_crc32c
from plgp.policy import Workspace
from sim.benchmark import Observation
from sim.camera import PinholeCamera, offset_pose, overhead_pose
from sim.errors import InputError

WEIGHTS = Path("/work/shared/weights")
public = pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"the public weights are not in {WEIGHTS}")
TRAY = Workspace((-0.18, -0.18, -0.1), (0.18, 0.18, 0.4))
HALF, HEIGHT = (0.06, 0.015), 0.05  # of the box that is grasped, metres


def box_scene(height=0.6, turn=0.0, middle=(0.02, 0.01), camera=None, half=HALF):
    """A box on the world's ground as a camera sees it, ray by ray; its long side is turned from world x by ``turn``."""
    camera = camera or PinholeCamera.from_fov(pose=overhead_pose(height))
    rows, cols = np.mgrid[: camera.height, : camera.width]
    back = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    world = camera.deproject(rows.ravel(), cols.ravel(), 1.0) @ camera.pose[:3, :3].T
    rays, origin = world @ back.T, back @ (camera.pose[:3, 3] - np.array([*middle, 0]))
    low, high = np.array([-half[0], -half[1], 0.0]), np.array([half[0], half[1], HEIGHT])
    with np.errstate(divide="ignore", invalid="ignore"):
        near, far = (low - origin) / rays, (high - origin) / rays
    enter, leave = np.minimum(near, far).max(axis=1), np.maximum(near, far).min(axis=1)
    depth = np.where(enter < leave, enter, -camera.pose[2, 3] / world[:, 2]).reshape(rows.shape)
    return Observation(None, depth.astype(np.float32), camera)


def varint(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def block(entries):
    """A block of a sorted-string table, each key written whole, with its type and checksum."""
    body = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
    body += struct.pack("<II", 0, 1) + b"\0"
    return body + struct.pack("<I", masked_crc32c(body))


def write_checkpoint(prefix, tensors):
    """Writes a checkpoint as TensorFlow does, from a dictionary of float32 arrays."""
    data, entries = b"", [(b"", b"\x08\x01")]
    for name in sorted(tensors):
        raw = np.ascontiguousarray(tensors[name], "<f4").tobytes()
        axes = b"".join(b"\x12" + varint(len(a)) + a for a in (b"\x08" + varint(n) for n in tensors[name].shape))
        about = b"\x08\x01\x12" + varint(len(axes)) + axes + b"\x20" + varint(len(data)) + b"\x28" + varint(len(raw))
        entries.append((name.encode(), about + b"\x35" + struct.pack("<I", masked_crc32c(raw))))
        data += raw
    first = block(entries)
    second = block([(b"z", varint(0) + varint(len(first) - 5))])
    footer = varint(0) + varint(0) + varint(len(first)) + varint(len(second) - 5)
    index = first + second + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    Path(f"{prefix}.index").write_bytes(index)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)


def authors_folder(folder, network):
    """Writes a network as its authors' folder: TensorFlow's names and layouts, constants beside them."""
    folder.mkdir(parents=True)
    tensors = {}
    for name, value in network.named_parameters():
        array = value.detach().numpy()
        layer, kind = name.split(".")
        layer = "fc4" if name == "fc4_input_1.bias" else layer
        if kind == "weight" and layer.startswith("conv"):
            array, layer = array.transpose(2, 3, 1, 0), f"{layer}/{layer}"
        elif name == "fc3.weight":
            array = array.transpose(2, 3, 1, 0).reshape(-1, 128)
        elif kind == "weight":
            array = array.reshape(array.shape[:2]).T
        tensors[f"im_stream/{layer}_{'weights' if kind == 'weight' else 'bias'}"] = array
    tensors["im_stream/fc3_weights/Momentum"] = np.zeros(3, np.float32)
    write_checkpoint(folder / "model.ckpt", tensors)
    for name, value in network.named_buffers():
        np.save(folder / f"{name}.npy", float(value))
    return folder


def random_gqcnn():
    torch.manual_seed(0)
    network = GQCNN()
    network.im_mean.fill_(0.77), network.im_std.fill_(0.07), network.pose_mean.fill_(0.76), network.pose_std.fill_(0.07)
    return network.eval()


def random_fc_gqcnn(bins=16):
    torch.manual_seed(0)
    network = FCGQCNN(bins)
    network.im_depth_sub_mean.fill_(0.01), network.im_depth_sub_std.fill_(0.05)
    return network.eval()


# --- the reader


def test_the_checksum_is_crc32c():
    """RFC 3720, B.4: 123456789 gives E3069283; and its masked form of LevelDB."""
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def test_the_authors_folders_are_read_in_every_form(tmp_path):
    for make, load, name in ((random_gqcnn, load_gqcnn, "a"), (random_fc_gqcnn, load_fc_gqcnn, "b")):
        network = make()
        folder = authors_folder(tmp_path / name / "4.0-PJ", network)
        np.savez(tmp_path / f"{name}.npz", **{k: v.numpy() for k, v in network.state_dict().items()})
        for form in (
            folder,
            folder.parent,
            folder / "model.ckpt",
            folder / "model.ckpt.index",
            tmp_path / f"{name}.npz",
        ):
            for key, value in load(str(form)).state_dict().items():
                torch.testing.assert_close(value, network.state_dict()[key])


def test_weights_of_eighteen_angles_are_read(tmp_path):
    assert load_fc_gqcnn(authors_folder(tmp_path / "n", random_fc_gqcnn(18))).fc5.out_channels == 36


def test_what_is_no_such_network_is_named(tmp_path):
    one, dense = authors_folder(tmp_path / "1", random_gqcnn()), authors_folder(tmp_path / "2", random_fc_gqcnn())
    suction = authors_folder(tmp_path / "3", random_fc_gqcnn(1))
    for load, path, text in (
        (load_gqcnn, dense, "is FC-GQ-CNN for a parallel jaw"),
        (load_fc_gqcnn, one, "is GQ-CNN for a parallel jaw"),
        (load_gqcnn, suction, "suction"),
        (load_gqcnn, tmp_path / "nowhere", "do not exist"),
        (load_gqcnn, tmp_path, "3 checkpoints"),
        (load_gqcnn, tmp_path / "GQCNN-4.0-PJ.zip", "unpack it"),
    ):
        with pytest.raises(InputError, match=text):
            load(path)
    (one / "im_mean.npy").unlink()
    with pytest.raises(InputError, match="lacks im_mean; give the whole folder"):
        load_gqcnn(one)
    np.save(one / "im_mean.npy", 0.7)
    np.save(one / "im_std.npy", 0.0)
    with pytest.raises(InputError, match="deviation that is not positive"):
        load_gqcnn(one)


def test_damage_is_named(tmp_path):
    folder = authors_folder(tmp_path / "1", random_gqcnn())
    data, index = folder / "model.ckpt.data-00000-of-00001", folder / "model.ckpt.index"
    whole, table = data.read_bytes(), index.read_bytes()
    data.write_bytes(whole[:1000] + b"\x13" + whole[1001:])
    with pytest.raises(InputError, match="damaged: its checksum"):
        load_gqcnn(folder)
    data.write_bytes(whole[:-1])
    with pytest.raises(InputError, match="damaged"):
        load_gqcnn(folder)
    data.unlink()
    with pytest.raises(InputError, match="is missing; put the checkpoint's data beside"):
        load_gqcnn(folder)
    index.write_bytes(b"version https://git-lfs.github.com/spec/v1\n" * 3)
    with pytest.raises(InputError, match="no index of a TensorFlow checkpoint"):
        load_gqcnn(folder)
    index.write_bytes(table[:20] + b"\xff" + table[21:])
    with pytest.raises(InputError, match="checksum"):
        load_gqcnn(folder)


@given(st.integers(0, 200), st.integers(0, 255), st.integers(0, 220))
@settings(max_examples=200, deadline=None)
def test_a_broken_index_is_one_sentence_or_no_matter(tmp_path_factory, at, byte, length):
    folder = tmp_path_factory.getbasetemp() / "broken"
    folder.mkdir(exist_ok=True)
    write_checkpoint(folder / "m", {"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float32)})
    raw = bytearray((folder / "m.index").read_bytes())
    raw[at % len(raw)] = byte
    (folder / "m.index").write_bytes(raw[: len(raw) - (length if length > 200 else 0)])
    try:
        tensors = read_checkpoint(folder / "m")
    except InputError:
        return
    assert set(tensors) <= {"a", "b"}


# --- the networks


def test_parameters_are_counted_as_published():
    for network, count in ((GQCNN(), 631_410), (FCGQCNN(), 633_200), (FCGQCNN(18), 633_716)):
        assert sum(p.numel() for p in network.parameters()) == count


@torch.inference_mode()
def test_the_dense_map_equals_the_head_on_crops():
    network = random_fc_gqcnn()
    image, depths = 0.6 + 0.05 * torch.rand(112, 120), torch.tensor([0.58, 0.61])
    dense = network(image, depths)
    assert dense.shape == (2, 5, 7, 16)
    for i, j in ((0, 0), (4, 6), (2, 3)):
        crop = image[4 * i : 4 * i + 96, 4 * j : 4 * j + 96]
        torch.testing.assert_close(network(crop, depths)[:, 0, 0], dense[:, i, j], atol=1e-5, rtol=0)
    torch.testing.assert_close(network(image + 0.18, depths + 0.18), dense, atol=1e-4, rtol=0)


@public
@torch.inference_mode()
@pytest.mark.parametrize("ending", ["", ".npz"])
def test_golden_answers(ending):
    golden = np.load(WEIGHTS / "golden_gqcnn.npz")
    one, dense = load_gqcnn(WEIGHTS / f"gqcnn_4.0_pj{ending}"), load_fc_gqcnn(WEIGHTS / f"fc_gqcnn_4.0_pj{ending}")
    quality = one(torch.tensor(golden["crops"]), torch.tensor(golden["grasp_depth"]).float())
    np.testing.assert_allclose(quality.numpy(), golden["q"], atol=1e-4)
    answer = dense(torch.tensor(golden["fc_image"]), torch.tensor(golden["fc_depths"]).float())
    np.testing.assert_allclose(answer.numpy(), golden["fc_q"], atol=1e-4)


@public
def test_crops_are_those_of_the_golden_file():
    """The middles of its five objects, each at three angles; nearest pixels of two programs differ at edges."""
    golden = np.load(WEIGHTS / "golden_gqcnn.npz")
    places = [(180, 245), (188, 385), (300, 259), (308, 380), (240, 320)]
    centres = np.repeat(places, 3, axis=0)
    crops = aligned_crops(golden["depth_image"], centres, np.radians(golden["theta_degrees"]))
    assert (np.abs(crops + 0.18 - golden["crops"]) < 1e-4).mean() > 0.97


# --- images, samples, the cross-entropy method


@given(st.floats(0, np.pi), st.integers(60, 180), st.integers(60, 240))
@settings(max_examples=50, deadline=None)
def test_a_crop_lays_the_grasps_axis_along_its_rows(theta, row, col):
    image = np.zeros((240, 320), np.float32)
    along = 20 * np.array([np.cos(theta), -np.sin(theta)])  # x, y: counter-clockwise as seen
    cv2.circle(image, (round(col + along[0]), round(row + along[1])), 2, 1.0, -1)
    crop = aligned_crops(image, [row, col], theta)[0]
    rows, cols = np.nonzero(crop)
    assert (rows.mean(), cols.mean()) == (pytest.approx(48, abs=1), pytest.approx(68, abs=1))


@pytest.mark.parametrize("height", [0.4, 0.6, 1.0])
def test_every_camera_height_is_brought_to_the_trainings_scale(height):
    seen = see(box_scene(height), TRAY, min_height=0.01)
    assert seen.floor == pytest.approx(height)
    scale = seen.camera.intrinsics[0, 0] / seen.floor
    assert scale == pytest.approx(552.5 / 0.78, rel=0.1)
    row, col, _ = seen.camera.project(np.array([[0.02, -0.01, height - HEIGHT]]))  # the box's top, camera frame
    place = np.argwhere(seen.allowed).mean(axis=0)
    np.testing.assert_allclose(place, [row[0], col[0]], atol=2)
    assert seen.depth[tuple(place.astype(int))] == pytest.approx(height - HEIGHT, abs=1e-3)


def test_without_a_pose_the_table_is_the_farthest_that_is_seen():
    known = box_scene()
    camera = PinholeCamera(known.camera.width, known.camera.height, known.camera.intrinsics, np.eye(4))
    seen = see(Observation(None, known.depth, camera), None, min_height=0.01)
    assert seen.floor == pytest.approx(0.6, abs=1e-3)
    np.testing.assert_array_equal(seen.allowed, see(known, None, min_height=0.01).allowed)


def test_seeds_lie_across_the_box():
    seen = see(box_scene(turn=0.5), TRAY, min_height=0.01)
    seeds = sample_antipodal(seen, SamplingSettings(), np.random.default_rng(0))
    assert len(seeds) == 128
    across = np.abs((seeds.angle - 0.5 - np.pi / 2 + np.pi / 2) % np.pi - np.pi / 2)
    assert across.max() < np.pi / 4 + 0.1  # mu is 1
    below = seeds.depth - (0.6 - HEIGHT)
    assert 0.0149 < below.min() < 0.02
    assert 0.045 < below.max() < 0.0501
    assert seen.allowed[seeds.row.astype(int), seeds.col.astype(int)].mean() > 0.95
    wide = see(box_scene(half=(0.06, 0.035)), TRAY, min_height=0.01)  # 7 cm: no pair within 5 cm but at corners
    assert len(sample_antipodal(wide, SamplingSettings(), np.random.default_rng(0))) < 30


def test_the_mixture_finds_two_heaps():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(-3, 0.1, (30, 2)), rng.normal(3, 0.5, (10, 2))])
    mixture = fit_mixture(points, 2, rng, regularisation=1e-4)
    order = np.argsort(mixture.means[:, 0])
    np.testing.assert_allclose(mixture.weights[order], [0.75, 0.25], atol=1e-3)
    np.testing.assert_allclose(mixture.means[order], [[-3, -3], [3, 3]], atol=0.5)
    drawn = mixture.draw(4000, rng)
    assert (drawn[:, 0] < 0).mean() == pytest.approx(0.75, abs=0.03)


def test_the_cross_entropy_method_climbs():
    """Quality is highest at one place, angle and depth: the last round comes close, and every rated grasp is kept."""
    seen = see(box_scene(), None, min_height=-1.0)
    rng = np.random.default_rng(0)
    seeds = CentreGrasps(
        rng.uniform(100, 300, 128),
        rng.uniform(100, 500, 128),
        rng.uniform(0, np.pi, 128),
        rng.uniform(0.5, 0.6, 128),
        np.zeros(128),
    )

    def rate(g):
        far = (
            ((g.row - 200) / 100) ** 2
            + ((g.col - 300) / 100) ** 2
            + np.sin(g.angle - 1) ** 2
            + ((g.depth - 0.55) / 0.05) ** 2
        )
        return CentreGrasps(g.row, g.col, g.angle, g.depth, np.exp(-far))

    rated = improve(seeds, seen, rate, settings=CrossEntropySettings(), rng=rng)
    assert len(rated) == 128 + 3 * 64
    assert np.median(rated.quality[-64:]) > np.quantile(rated.quality[:128], 0.95)


# --- the policies


@pytest.fixture(scope="module")
def policies():
    if not WEIGHTS.is_dir():
        pytest.skip(f"the public weights are not in {WEIGHTS}")
    return [
        GQCNNPolicy(weights_file=WEIGHTS / "gqcnn_4.0_pj", workspace=TRAY),
        FCGQCNNPolicy(weights_file=WEIGHTS / "fc_gqcnn_4.0_pj", workspace=TRAY, planes=8),
    ]


def best_in_world(policy, seen, count=5):
    grasps = policy(seen, count).transform(seen.camera.pose, "world")
    turn = np.arctan2(grasps.rotation[:, 1, 0], grasps.rotation[:, 0, 0]) % np.pi
    return grasps, turn


@pytest.mark.parametrize("number", [0, 1], ids=["gqcnn", "fc_gqcnn"])
@pytest.mark.parametrize(
    ("height", "turn", "middle"),
    [
        (0.6, 0.0, (0.02, 0.01)),
        pytest.param(0.6, 0.6, (0.05, -0.08), marks=pytest.mark.slow),
        (0.6, -0.6, (0.05, 0.08)),
        pytest.param(0.6, 2.4, (-0.1, 0.09), marks=pytest.mark.slow),
        pytest.param(0.75, 0.6, (0.02, 0.01), marks=pytest.mark.slow),
    ],
    ids=["straight", "turned", "mirrored", "turned on", "higher camera"],
)
def test_grasps_turn_and_move_with_the_box(policies, number, height, turn, middle):
    """Rotate, mirror and move the scene, raise the camera: the best grasps stay across the box, at its sides."""
    grasps, angles = best_in_world(policies[number], box_scene(height, turn, middle))
    assert len(grasps) == 5
    off = np.abs((angles - turn - np.pi / 2 + np.pi / 2) % np.pi - np.pi / 2)
    assert off[:3].min() < np.radians(8)  # half a bin of the dense network is 5.6 degrees
    assert off.max() < np.radians(40)  # ranked grasps keep 30 degrees apart where they are in one place
    place = (grasps.translation[:, :2] - middle) @ np.array(
        [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    )
    assert (np.abs(place) < np.array(HALF) + 0.004).all()
    assert np.median(np.abs(place[:, 1])) < 0.006
    assert (grasps.translation[:, 2] > 0.005).all()
    assert (grasps.translation[:, 2] < HEIGHT - 0.005).all()
    np.testing.assert_allclose(grasps.rotation[:, :, 2], np.tile([0, 0, -1], (5, 1)), atol=1e-9)
    assert set(grasps.width) == {0.08}


@pytest.mark.parametrize("number", [0, 1], ids=["gqcnn", "fc_gqcnn"])
def test_an_oblique_camera_sees_the_same_box(policies, number):
    grasps, _ = best_in_world(
        policies[number], box_scene(camera=PinholeCamera.from_fov(pose=offset_pose(0.6, (0.1, -0.1))))
    )
    assert len(grasps) == 5
    assert np.median(np.abs(grasps.translation[:, 1] - 0.01)) < 0.02
    assert np.median(np.abs(grasps.rotation[:, 1, 0])) > 0.8


def test_the_same_image_gives_the_same_grasps(policies):
    seen = box_scene()
    for policy in policies:
        np.testing.assert_array_equal(policy(seen, 10).translation, policy(seen, 10).translation)


def test_nothing_to_grasp_is_no_grasp(policies):
    camera = PinholeCamera.from_fov(pose=overhead_pose(0.6))
    for depth in (np.zeros((480, 640), np.float32), np.full((480, 640), 0.6, np.float32)):
        for policy in policies:
            assert len(policy(Observation(None, depth, camera), 50)) == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_any_image_gives_grasps_or_none(policies, seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(8, 80, 2)
    depth = rng.uniform(0.2, 0.9, size).astype(np.float32) * (rng.random(size) > rng.random())
    camera = PinholeCamera.from_fov(int(size[1]), int(size[0]), pose=overhead_pose(0.6))
    few = replace(
        policies[0],
        sampling=SamplingSettings(count=16, edges=200, pairs=200),
        cross_entropy=CrossEntropySettings(rounds=1, samples=8, looked_at=8),
    )
    assert len(few(Observation(None, depth.astype(np.float32), camera), 20)) <= 20


def test_tips_lie_below_the_centre_and_never_in_what_is_seen():
    """On the ray of the pixel at the grasp's own depth, 12.1 mm further; no deeper than the rule finds free."""
    seen = see(box_scene(middle=(0.12, 0.1)), TRAY, min_height=0.01)
    row, col, _ = seen.camera.project(np.array([[0.12, -0.1, 0.565]]))
    grasps = CentreGrasps(
        np.repeat(row, 2), np.repeat(col, 2), np.full(2, np.pi / 2), np.array([0.565, 0.7]), np.ones(2)
    )
    poses = DexNetSettings().to_poses(grasps, seen)
    np.testing.assert_allclose(poses.translation[0], [0.12, -0.1, 0.565 + 0.0121], atol=1e-6)
    assert 0.55 + 0.03 < poses.translation[1, 2] < 0.6  # the floor lies 50 mm below the box's top
    deep = DexNetSettings(depth="shared").to_poses(grasps[:1], seen)
    assert deep.translation[0, 2] == pytest.approx(poses.translation[1, 2], abs=0.002)
    assert len(DexNetSettings(min_depth=0.06).to_poses(grasps, seen)) == 0
    assert DexNetSettings(opening=0.3).to_poses(grasps, seen).width[0] == 0.1


@pytest.mark.parametrize("bad", [{"depth": "deep"}, {"opening": 0}, {"min_height": -1}, {"spacing": "far"}])
def test_bad_settings_are_named(bad):
    with pytest.raises(InputError, match=f"policy.{next(iter(bad))} is"):
        DexNetSettings(**bad)


def configured(name, *overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("benchmark", overrides=[f"policy={name}", *overrides]).policies[name]


@public
@pytest.mark.parametrize("name", ["gqcnn", "fc_gqcnn"])
def test_presets_are_made(name):
    policy = instantiate(configured(name, f"policies.{name}.weights_file={WEIGHTS / name}_4.0_pj"), _convert_="all")
    assert policy.name == name
    assert len(policy(box_scene(), 3)) == 3
