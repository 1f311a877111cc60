"""Rectangles: known answers, there and back, read as published readers do, and the files on disk."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labeler.__main__ import main
from labeler.dataset.recipe import DataSetRecipe
from labeler.formats.rectangles import (
    GraspRectangles,
    _cut_square,
    cornell_text,
    export_rectangles,
    jacquard_text,
    parse_cornell,
    parse_jacquard,
    rectangles_of,
)
from labeler.labels import GraspLabels
from labeler.shards.writer import ShardWriter
from sim.errors import InputError
from sim.files import checksum, write_json

SIZE = (48, 80)
FORMATS = {"cornell": (cornell_text, parse_cornell), "jacquard": (jacquard_text, parse_jacquard)}
INTRINSICS = np.array([[100.0, 0, 39.5], [0, 100, 23.5], [0, 0, 1]])


def make_labels(row, col, angle_bin, width):
    row, zeros = np.atleast_1d(row).astype(np.uint16), np.zeros(np.size(row), np.float32)
    col, angle_bin = np.atleast_1d(col).astype(np.uint16), np.atleast_1d(angle_bin).astype(np.uint8)
    return GraspLabels(row, col, angle_bin, zeros, zeros + np.asarray(width, np.float32), zeros)


def one(row, col, angle_bin, width=0.05, distance=0.5, intrinsics=INTRINSICS):
    depth = np.full(SIZE, distance, np.float32)
    return rectangles_of(make_labels(row, col, angle_bin, width), depth, intrinsics, angles=18, finger_width=0.017)[0]


def test_grasp_along_the_columns():
    rectangle = one(row=20, col=40, angle_bin=0)  # 100 px at 1 m: 50 mm at 0.5 m are 10 px, the finger 3.4
    assert cornell_text(rectangle) == "35.000 21.700\n45.000 21.700\n45.000 18.300\n35.000 18.300\n"
    assert jacquard_text(rectangle) == "40.000;20.000;0.000;10.000;3.400\n"


def test_grasp_counter_clockwise_as_seen():
    rectangle = one(row=20, col=40, angle_bin=3)  # 30 degrees: the right finger is higher, so at a smaller row
    first, second = rectangle.corners()[0, :2]
    assert second[0] > first[0]
    assert second[1] < first[1]
    assert jacquard_text(rectangle) == "40.000;20.000;-30.000;10.000;3.400\n"  # Jacquard turns clockwise


def test_corners_run_counter_clockwise_as_seen():
    corners = one([20, 20, 20], [40, 40, 40], [0, 5, 12]).corners()
    following = np.roll(corners, -1, axis=1)
    area = np.sum(corners[..., 0] * following[..., 1] - corners[..., 1] * following[..., 0], axis=1) / 2
    np.testing.assert_allclose(area, -34, rtol=1e-5)  # negative where y points down


def test_different_focal_lengths():
    wide = np.array([[200.0, 0, 39.5], [0, 100, 23.5], [0, 0, 1]])
    across, along, slant = (one(20, 40, k, intrinsics=wide) for k in (0, 9, 3))
    np.testing.assert_allclose([across.opening[0], across.jaw[0]], [20, 3.4], rtol=1e-6)
    np.testing.assert_allclose([along.opening[0], along.jaw[0]], [10, 6.8], rtol=1e-6)
    assert slant.angle[0] == pytest.approx(np.arctan2(0.5 * 100, np.cos(np.pi / 6) * 200))


grasps = st.lists(
    st.tuples(st.integers(0, SIZE[0] - 1), st.integers(0, SIZE[1] - 1), st.integers(0, 17), st.floats(0.005, 0.1)),
    min_size=1,
)


@pytest.mark.parametrize("name", FORMATS)
@given(rows=grasps, distance=st.floats(0.3, 1.5))
def test_there_and_back(name, rows, distance):
    row, col, angle_bin, width = np.array(rows).T
    write, parse = FORMATS[name]
    found = parse(write(one(row, col, angle_bin, width, distance)))
    np.testing.assert_allclose(found.y, row, atol=2e-3)
    np.testing.assert_allclose(found.x, col, atol=2e-3)
    np.testing.assert_allclose(found.opening * distance / 100, width, atol=2e-5)
    np.testing.assert_allclose(found.jaw * distance / 100, 0.017, atol=2e-5)
    # The corners' three decimals leave the direction of a short edge open by so much.
    away = np.abs((found.angle - angle_bin * np.pi / 18 + np.pi / 2) % np.pi - np.pi / 2)
    assert (away < 2e-3 / found.opening + 1e-5).all()


def test_a_published_reader_gets_the_same():
    """What GG-CNN computes from four corners in (y, x), and from a Jacquard line, written again from its rules."""
    rectangle = one([10, 30], [20, 60], [4, 16], [0.03, 0.08])
    values = np.array(cornell_text(rectangle).split(), float).reshape(2, 4, 2)
    for corners, angle, width in zip(values, (40, 160), (6, 16), strict=True):
        dx, dy = corners[1, 0] - corners[0, 0], corners[1, 1] - corners[0, 1]
        turned = np.degrees(np.arctan2(-dy, dx)) % 180
        assert turned == pytest.approx(angle, abs=0.02)
        assert np.hypot(dx, dy) == pytest.approx(width, abs=2e-3)  # "length" there: what the gripper opens
    for line, angle in zip(jacquard_text(rectangle).splitlines(), (40, 160), strict=True):
        assert -float(line.split(";")[2]) % 180 == pytest.approx(angle)


def test_cornells_nan_rectangles_are_left_out():
    text = "NaN NaN\n256 313 \n277 313 \nNaN NaN\n" + cornell_text(one(20, 40, 0))
    assert parse_cornell(text).x.tolist() == [40]
    for wrong in ("1 2\n3 4\n", "a b\nc d\ne f\ng h\n"):
        with pytest.raises(InputError, match="no Cornell grasp file"):
            parse_cornell(wrong)
    with pytest.raises(InputError, match="no Jacquard grasp file"):
        parse_jacquard("1;2;3\n")


def frame(view):
    """A black image with a white object of one pixel, and labels: on it, at the left border, on a hole."""
    rgb, mask = np.zeros((*SIZE, 3), np.uint8), np.zeros(SIZE, np.uint8)
    row, col = 15 + view, 50
    rgb[row, col], mask[row, col], mask[0, 0], mask[9, 30] = 255, 1, 2, 3
    depth = np.linspace(0.5, 0.7, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)
    depth[9, 30] = 0
    return {
        "rgb": rgb,
        "depth": depth,
        "depth_noisy": np.where(depth > 0, depth + 0.002, 0).astype(np.float32),
        "instance_mask": mask,
        "grasps": make_labels([row, 0, 9], [col, 0, 30], [3, 0, 0], 0.04),
        "intrinsics": INTRINSICS,
        "pose": np.eye(4),
        "objects": (),
        "scene": 7,
        "view": view,
    }


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    path = folder / "shard-00000.h5"
    with ShardWriter(path) as writer:
        for view in range(2):
            writer.add(frame(view))
    line = {"file": path.name, "sha256": checksum(path), "images": 2, "scenes": [[7, 2]]}
    recipe = DataSetRecipe().describe()
    write_json(folder / "dataset.json", {"schema_version": 1, "hash": "", "recipe": recipe, "shards": [line]})
    return folder


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def test_cornell_files(data_set, tmp_path):
    counts = export_rectangles(data_set, tmp_path / "out")
    assert counts == {"images": 2, "grasps": 4, "unseen": 2, "outside": 0}
    names = [str(p.relative_to(tmp_path / "out")) for p in sorted((tmp_path / "out").rglob("*.*"))]
    ends = ("cpos.txt", "d.tiff", "r.png")
    assert names == [*(f"01/pcd010{i}{end}" for i in (0, 1) for end in ends), "scenes.csv"]
    made = frame(1)
    np.testing.assert_array_equal(read(tmp_path / "out" / "01" / "pcd0101r.png"), made["rgb"])
    depth = read(tmp_path / "out" / "01" / "pcd0101d.tiff")
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, made["depth"], atol=0.6e-4)
    found = parse_cornell((tmp_path / "out" / "01" / "pcd0101cpos.txt").read_text())
    np.testing.assert_allclose(found.y, [16, 0], atol=1e-3)
    np.testing.assert_allclose(found.opening[0], 4 / made["depth"][16, 50], rtol=1e-3)


def test_jacquard_files(data_set, tmp_path):
    export_rectangles(data_set, tmp_path / "out", "jacquard")
    folder = tmp_path / "out" / "scene-000007"
    ends = ["RGB.png", "grasps.txt", "mask.png", "perfect_depth.tiff", "stereo_depth.tiff"]
    assert sorted(p.name for p in folder.iterdir()) == [f"{v}_scene-000007_{end}" for v in (0, 1) for end in ends]
    stem = folder / "0_scene-000007"
    np.testing.assert_allclose(read(f"{stem}_stereo_depth.tiff"), frame(0)["depth_noisy"], atol=0.6e-4)
    assert sorted(np.unique(read(f"{stem}_mask.png"))) == [0, 255]
    found = parse_jacquard((folder / "0_scene-000007_grasps.txt").read_text())
    np.testing.assert_allclose(np.degrees(found.angle), [30, 0], atol=1e-3)


@pytest.mark.parametrize("side", [1024, 48, 20])
def test_square_moves_rectangles_with_the_picture(data_set, tmp_path, side):
    counts = export_rectangles(data_set, tmp_path / "out", "jacquard", side=side)
    assert counts == {"images": 2, "grasps": 2, "unseen": 2, "outside": 2}  # the left border is cut away
    stem = tmp_path / "out" / "scene-000007" / "0_scene-000007"
    rgb = read(f"{stem}_RGB.png").mean(axis=2)
    assert rgb.shape == read(f"{stem}_perfect_depth.tiff").shape == (side, side)
    found = parse_jacquard(stem.with_name(f"{stem.name}_grasps.txt").read_text())
    weight = rgb / rgb.sum()
    assert (weight.sum(axis=1) * np.arange(side)).sum() == pytest.approx(found.y[0], abs=0.3)
    assert (weight.sum(axis=0) * np.arange(side)).sum() == pytest.approx(found.x[0], abs=0.3)
    np.testing.assert_allclose(found.opening[0], 4 / frame(0)["depth"][15, 50] * side / 48, rtol=1e-3)


@pytest.mark.parametrize("side", [1024, 224, 48, 20])
def test_depth_and_mask_move_with_the_picture(side):
    """Every pixel takes the value whose centre lies nearest: what is written are the pixels' own columns and rows."""
    rows, cols = np.mgrid[:48, :64].astype(np.float32)
    picture = {**frame(0), "rgb": np.zeros((48, 64, 3), np.uint8), "instance_mask": cols.astype(np.uint8)}
    cut, _ = _cut_square(picture | {"depth": cols, "depth_noisy": rows}, GraspRectangles(*np.zeros((5, 0))), side)
    centres = (np.arange(side) + 0.5) * 48 / side - 0.5
    assert np.abs(cut["depth"] - (centres + 8)).max() <= 0.5 + 1e-3
    assert np.abs(cut["depth_noisy"] - centres[:, None]).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(cut["instance_mask"], cut["depth"].astype(np.uint8))


def test_per_image_draws_labels_by_the_seed(data_set, tmp_path):
    texts = []
    for name, seed in (("a", 0), ("b", 0), *((f"c{s}", s) for s in range(1, 6))):
        counts = export_rectangles(data_set, tmp_path / name, per_image=1, seed=seed)
        assert counts["grasps"] == 2
        texts.append([p.read_text() for p in sorted((tmp_path / name).rglob("*.txt"))])
    assert texts[0] == texts[1]
    assert any(text != texts[0] for text in texts[2:])


def test_wrong_arguments(data_set, tmp_path):
    (tmp_path / "there.txt").write_text("")
    for words, wrong in (
        ("format is 'vmrd'", {"out": tmp_path / "x", "format": "vmrd"}),
        ("per_image is -1", {"out": tmp_path / "x", "per_image": -1}),
        ("not empty", {"out": tmp_path}),
    ):
        with pytest.raises(InputError, match=words):
            export_rectangles(data_set, **wrong)


def test_command(data_set, command_line, monkeypatch, capsys):
    done = command_line("labeler", "export-rectangles", str(data_set), "out", "format=jacquard")
    assert done.returncode == 0, done.stderr
    assert "out: 2 images, 4 grasps; left out: 2 on pixels without depth" in done.stdout
    monkeypatch.setattr(sys, "argv", ["labeler", "export-rectangles", str(data_set), "format=jacquard"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "needs DIR OUT" in capsys.readouterr().err
