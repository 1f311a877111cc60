"""Point clouds that know their pixels, raw disparity and z-buffers."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from plgp.policy.camera_files import read_depth
from sim.errors import InputError

ROWS, COLS = np.mgrid[:48, :64]
DEPTH = (0.5 + 0.001 * COLS - 0.08 * ((ROWS > 20) & (ROWS < 30) & (COLS > 20) & (COLS < 40))).astype(np.float64)


def points_of(depth, turn=None):
    """The points of an image, (N, 3), in the camera's frame or one turned about the camera."""
    rows, cols = np.indices(depth.shape)
    fx = 1.1 * depth.shape[1]
    x, y = (cols - depth.shape[1] / 2) / fx * depth, (rows - depth.shape[0] / 2) / fx * depth
    points = np.stack([x, y, depth], axis=-1).reshape(-1, 3)
    return points if turn is None else Rotation.from_rotvec(turn).apply(points)


def pcd(fields, kind, size, rows=b""):
    width, height = size
    lines = ["# .PCD v.7", "VERSION .7", f"FIELDS {fields}", "SIZE 4 4 4", "TYPE F F F", "COUNT 1 1 1"]
    lines += [
        f"WIDTH {width}",
        f"HEIGHT {height}",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {width * height}",
        f"DATA {kind}",
    ]
    return ("\n".join(lines) + "\n").encode() + rows


@pytest.mark.parametrize("turn", [None, (0.3, -2.0, 0.5)])
@pytest.mark.parametrize("kind", ["ascii", "binary"])
def test_a_grid_in_any_frame_at_the_camera(tmp_path, kind, turn):
    points = points_of(DEPTH, turn).astype(np.float32)
    points[:64] = np.nan
    text = "\n".join(" ".join(f"{v:.6f}" for v in p) for p in points).encode()
    path = tmp_path / "a.pcd"
    path.write_bytes(pcd("x y z", kind, (64, 48), text if kind == "ascii" else points.tobytes()))
    found = read_depth(path)
    assert (found[0] == 0).all()
    np.testing.assert_allclose(found[1:], DEPTH[1:], atol=1e-4)


def test_cornells_index_and_millimetres(tmp_path):
    depth = np.full((480, 640), 1200.0)
    depth[200:260, 300:380] = 1150
    points = points_of(depth, (0.1, 2.2, 0.4))
    index = np.arange(0, 480 * 640, 7)
    rows = "\n".join(f"{x:.4f} {y:.4f} {z:.4f} 2.3e-38 {i}" for (x, y, z), i in zip(points[index], index, strict=True))
    path = tmp_path / "pcd0100.pcd"
    path.write_bytes(pcd("x y z rgb index", "ascii", (len(index), 1), rows.encode()))
    with pytest.raises(InputError, match=r"depth_scale=0.001 \(millimetres"):
        read_depth(path)
    found = read_depth(path, 0.001)
    assert found.shape == (480, 640)
    assert (found > 0).sum() == len(index)
    np.testing.assert_allclose(found.ravel()[index], depth.ravel()[index] / 1000, atol=1e-4)


AWAY = "\n".join(f"{a} {b} {c}" for a, b, c in points_of(DEPTH)[::-1] + np.array([0.5, 0.2, -0.4])).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nothing", "no PCD file"),
        (pcd("x y z", "binary_compressed", (64, 48)), "compressed"),
        (pcd("x y z", "ascii", (3072, 1), b"0 0 1\n" * 3072), "know no pixel"),
        (pcd("x y z", "ascii", (64, 48), b"0 0 1\n" * 9), "9 of 3072 points"),
        (pcd("x y z", "ascii", (64, 48), AWAY), "not at its camera"),
    ],
)
def test_what_is_no_depth_is_one_sentence(tmp_path, content, words):
    (tmp_path / "a.pcd").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_depth(tmp_path / "a.pcd")


def saved(folder, array):
    np.save(folder / "a.npy", array)
    return folder / "a.npy"


def raw_disparity():
    raw = np.full((48, 64), 650, np.uint16)
    raw[:, :4] = 2047
    return raw


def z_buffer(near=0.01, far=10.0, sky=True):
    depth = DEPTH.copy()
    buffer = far * (depth - near) / (depth * (far - near))
    buffer[:2] = 1.0 if sky else buffer[:2]
    return buffer.astype(np.float32)


@pytest.mark.parametrize(
    ("array", "scale", "words"),
    [
        (raw_disparity(), 0.001, "Kinect's raw disparity"),
        (z_buffer(), 1, "near \\* far"),
        ((DEPTH - DEPTH.min()) / np.ptp(DEPTH), 1, "normalised picture"),
    ],
)
def test_numbers_that_are_no_depths_are_refused_unless_asked_for(tmp_path, capsys, array, scale, words):
    with pytest.raises(InputError, match=words):
        read_depth(saved(tmp_path, array))
    assert read_depth(tmp_path / "a.npy", scale).any()
    assert str(tmp_path) in capsys.readouterr().err


def test_a_z_buffer_without_sky_is_doubted(tmp_path, capsys):
    read_depth(saved(tmp_path, z_buffer(sky=False)))
    assert "if it is a z-buffer" in capsys.readouterr().err


def test_sound_depths_are_not_doubted(tmp_path, capsys):
    far = DEPTH + 0.4
    for array in (DEPTH, far, (far * 1000).astype(np.uint16), np.minimum(2 * DEPTH, 1.3)):
        read_depth(saved(tmp_path, array))
    assert capsys.readouterr().err == ""


HEAD = st.sampled_from(["FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "POINTS", "DATA"])
WORDS = st.sampled_from(["x y z", "x y z index", "x", "4 4 4", "4 4 4 4", "F F F", "F F U U", "1 1 1", "2", "4", "1",
                         "-3", "ascii", "binary", "99999999999", ""])  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(HEAD, WORDS), st.binary(max_size=200) | st.text("0123456789. \nnae-", max_size=200))
def test_any_cloud_is_read_or_refused_in_one_sentence(tmp_path, head, rows):
    lines = {"FIELDS": "x y z", "SIZE": "4 4 4", "TYPE": "F F F", "COUNT": "1 1 1", "WIDTH": "2", "HEIGHT": "4"}
    text = "\n".join(f"{name} {words}" for name, words in (lines | {"DATA": "ascii"} | head).items()) + "\n"
    (tmp_path / "a.pcd").write_bytes(text.encode() + (rows if isinstance(rows, bytes) else rows.encode()))
    with contextlib.suppress(InputError):
        assert np.isfinite(read_depth(tmp_path / "a.pcd")).all()
