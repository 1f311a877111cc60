"""The authors' files, written here in their formats, come back as a data set that the other tools take."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from scipy.spatial.transform import Rotation

import labeler.formats.authors_data as imports
from labeler.__main__ import main
from labeler.dataset.preview import draw_preview
from labeler.dataset.stats import measure
from labeler.dataset.validate import find_problems
from labeler.formats.authors_data import import_plgp
from labeler.formats.authors_files import read_labels
from labeler.shards.data_set import DataSet
from plgp.data import PLGPDataModule
from plgp.targets import LabelBatch, rasterise
from sim.camera import PinholeCamera
from sim.depth_noise import DepthNoise
from sim.errors import InputError
from sim.geometry import make_pose

ALL = ("rgb", "depth", "depth_noisy", "instance_mask", "objects")
SCENE1 = Path(__file__).parents[4] / "shared" / "peer" / "scene1.npz"


def make_view(rng, labels=30):
    """Images and label lines (row, col, angle bin, width, depth) of one view: three blocks in a tray."""
    rgb = rng.integers(0, 255, (480, 640, 3)).astype(np.uint8)
    depth, mask = np.full((480, 640), 0.6), np.zeros((480, 640), np.int32)
    mask[:40] = 1  # the plane; 0 is the tray
    for body, (row, col) in zip((3, 4, 7), ((120, 200), (240, 320), (350, 420)), strict=True):
        depth[row - 25 : row + 25, col - 40 : col + 40], mask[row - 25 : row + 25, col - 40 : col + 40] = 0.55, body
    places = rng.permutation(np.argwhere(mask > 2))[:labels]
    values = [rng.integers(0, 18, labels), rng.uniform(0.02, 0.1, labels), rng.uniform(0.005, 0.05, labels)]
    rows = [(int(r), int(c), int(k), float(w), float(d)) for (r, c), k, w, d in zip(places, *values, strict=True)]
    return rgb, depth, mask, rows


def lines(rows):
    return "".join(f"{r} {c} {k} {w} {d}\n" for r, c, k, w, d in rows)


def write_packed(folder, name, view):
    """The training set's three files; blocks two and three as the authors' enhancement would fill them."""
    rgb, depth, _, rows = view
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(folder / f"{name}_rgb.png")
    savemat(folder / f"{name}_depth.mat", {"A": (depth * 1000).astype(np.uint16)})
    beside = [(r, c, (k + 1) % 18, w, d) for r, c, k, w, d in rows]
    around = [(r, c + 1, k, w, d) for r, c, k, w, d in rows]
    (folder / f"{name}_grasp.txt").write_text(f"{lines(rows)}\n{lines(beside)}\n{lines(around)}")


def write_raw(folder, name, view, pose, poses):
    rgb, depth, mask, rows = view
    here = folder / name
    here.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(here / "camera_rgb.png")
    savemat(here / "camera_depth.mat", {"A": depth})
    savemat(here / "camera_mask.mat", {"A": mask})
    savemat(here / "cameraPos.mat", {"in": PinholeCamera.from_fov(fov=1.0).intrinsics, "pos": pose})
    savemat(here / "objsPose.mat", {"A": poses})
    (here / "graspLabel.txt").write_text(lines(rows))
    return here


def assert_labels(found, rows):
    row, col, angle_bin, width, depth = np.array(rows).T
    for name, values in (("row", row), ("col", col), ("angle_bin", angle_bin)):
        np.testing.assert_array_equal(getattr(found, name), values)
    np.testing.assert_allclose(found.width, width, rtol=1e-6)
    np.testing.assert_allclose(found.depth, depth, rtol=1e-6)


NAMES = ["05_0000_0_0", "05_0000_0_1", "05_0000_1_0", "15_0005_0_2"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Four packed views of three scenes, and what is in them."""
    folder, rng = tmp_path_factory.mktemp("authors"), np.random.default_rng(1)
    views = [make_view(rng) for _ in NAMES]
    for name, view in zip(NAMES, views, strict=True):
        write_packed(folder / "train", name, view)
    return folder, views


@pytest.fixture(scope="module")
def imported(packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "plgp"
    assert import_plgp(packed[0], folder) == []
    return folder


def test_packed_views_come_back(packed, imported):
    data = DataSet(imported)
    assert data.scenes.tolist() == [0, 0, 1, 2]  # drops and objects differ, views of one drop stay together
    assert [data.read(i)["view"] for i in range(4)] == [0, 1, 0, 2]
    for i, (rgb, depth, _, rows) in enumerate(packed[1]):
        frame = data.read(i, ALL)
        np.testing.assert_array_equal(frame["rgb"], rgb)
        np.testing.assert_allclose(frame["depth"], np.floor(depth * 1000) / 1000, atol=1e-4)
        np.testing.assert_array_equal(frame["depth_noisy"], frame["depth"])
        assert_labels(frame["grasps"], rows)  # the first block alone
        np.testing.assert_allclose(frame["intrinsics"], PinholeCamera.from_fov().intrinsics)
        np.testing.assert_array_equal(frame["pose"], np.eye(4))
        assert frame["objects"] == ()
    assert find_problems(imported) == []
    note = data.manifest.imported
    assert note.objects_per_image == (5, 15)
    assert [text.split(":")[0] for text in note.defaults] == [
        "camera",
        "depth of grasps",
        "instance_mask",
        "objects",
    ]


def test_the_tools_take_it(imported, tmp_path):
    stats = measure(imported)
    assert (stats.images, stats.grasps, stats.objects_per_image) == (4, 120, [5, 15])
    # Without true masks the guarded enhancement is the paper's.
    assert stats.negatives_per_positive["guarded"] == stats.negatives_per_positive["plain"]
    assert len([a for a in draw_preview(imported, images=4).axes if a.get_title()]) == 4


def test_it_trains_and_the_guard_never_holds_the_enhancement_back(imported):
    module = PLGPDataModule(imported, batch_size=4, splits=(1.0, 0.0, 0.0))
    module.prepare_data()
    module.setup()
    batch = module.on_after_batch_transfer(next(iter(module.train_dataloader())))  # rotated, shifted, flipped
    assert batch.image.shape == (4, 1, 320, 320)
    assert len(batch.labels.row) > 40
    plain = rasterise(LabelBatch(*batch.labels), (4, 320, 320), instance_mask=None)
    assert torch.equal(batch.target.angle, plain.angle)


def test_raw_views_bring_camera_masks_and_poses(tmp_path):
    rng = np.random.default_rng(2)
    view, turn = make_view(rng), Rotation.random(random_state=3)
    pose = make_pose(turn.as_matrix(), (0.1, -0.2, 0.6))
    poses = np.array([[m, *rng.normal(size=3), *Rotation.random(random_state=m).as_quat()] for m in (11, 12, 13)])
    write_raw(tmp_path / "raw", "05_0011_0_0", view, pose, poses)
    assert import_plgp(tmp_path / "raw", tmp_path / "out") == []
    frame = DataSet(tmp_path / "out").read(0, ALL)
    assert_labels(frame["grasps"], view[3])
    np.testing.assert_allclose(frame["depth"], view[1], atol=0.6e-4)
    renumbered = np.select([view[2] == 3, view[2] == 4, view[2] == 7], [1, 2, 3], 0)
    np.testing.assert_array_equal(frame["instance_mask"], renumbered)
    np.testing.assert_allclose(frame["intrinsics"], PinholeCamera.from_fov(fov=1.0).intrinsics)
    np.testing.assert_array_equal(frame["pose"], pose)
    assert [o.name for o in frame["objects"]] == ["model-11", "model-12", "model-13"]
    assert [o.mask_value for o in frame["objects"]] == [1, 2, 3]
    assert frame["objects"][0].box == (95, 160, 144, 239)
    for found, row in zip(frame["objects"], poses, strict=True):
        np.testing.assert_allclose(found.pose_world[:3, 3], row[1:4])
        np.testing.assert_allclose(found.pose_world[:3, :3], Rotation.from_quat(row[4:]).as_matrix(), atol=1e-12)
    assert find_problems(tmp_path / "out") == []
    assert measure(tmp_path / "out").objects == 3


def test_hidden_object_leaves_the_poses_out(tmp_path):
    view = make_view(np.random.default_rng(2))
    poses = np.array([[m, 0, 0, 0, 0, 0, 0, 1.0] for m in (11, 12, 13, 14)])
    write_raw(tmp_path / "raw", "05_0011_0_0", view, np.eye(4), poses)
    import_plgp(tmp_path / "raw", tmp_path / "out")
    data = DataSet(tmp_path / "out")
    assert data.read(0, ALL)["objects"] == ()
    assert any(text.startswith("objects: none") for text in data.manifest.imported.defaults)


def spoil(kind, here):
    if kind == "no picture":
        (here / "camera_rgb.png").unlink()
    elif kind == "broken picture":
        (here / "camera_rgb.png").write_bytes(b"\x89PNG but no more")
    elif kind == "broken depth":
        (here / "camera_depth.mat").write_bytes(b"no matlab")
    elif kind == "small picture":
        Image.new("RGB", (320, 240)).save(here / "camera_rgb.png")
    elif kind == "words":
        (here / "graspLabel.txt").write_text("100 200 3 0.05 0.02\nfive six\n")
    elif kind == "outside":
        (here / "graspLabel.txt").write_text("100 640 3 0.05 0.02\n")
    elif kind == "bin":
        (here / "graspLabel.txt").write_text("100 200 18 0.05 0.02\n")
    elif kind == "wide":
        (here / "graspLabel.txt").write_text("100 200 3 5.0 0.02\n")
    elif kind == "nan":
        (here / "graspLabel.txt").write_text("100 200 3 nan 0.02\n")
    elif kind == "background":
        (here / "graspLabel.txt").write_text("470 20 3 0.05 0.02\n")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("no picture", "camera_rgb.png"),
        ("broken picture", "camera_rgb.png"),
        ("broken depth", "camera_depth.mat is no MATLAB file"),
        ("small picture", "its depth"),
        ("words", "line 2: 'five six'"),
        ("outside", "line 1"),
        ("bin", "line 1"),
        ("wide", "line 1"),
        ("nan", "line 1"),
        ("background", "outside every object"),
    ],
)
def test_bad_view_is_named_and_skipped(tmp_path, kind, words):
    rng, poses = np.random.default_rng(5), np.array([[m, 0, 0, 0, 0, 0, 0, 1.0] for m in range(3)])
    for number in range(2):
        write_raw(tmp_path / "raw", f"05_0000_0_{number}", make_view(rng), np.eye(4), poses)
    spoil(kind, tmp_path / "raw" / "05_0000_0_0")
    (sentence,) = import_plgp(tmp_path / "raw", tmp_path / "out")
    assert sentence.startswith("05_0000_0_0: ")
    assert words in sentence
    data = DataSet(tmp_path / "out")
    assert [data.read(i)["view"] for i in range(len(data))] == [1]
    assert data.manifest.imported.skipped[0].view == "05_0000_0_0"
    assert find_problems(tmp_path / "out") == []


def test_nothing_to_import_is_an_error(tmp_path, packed):
    with pytest.raises(InputError, match="is no folder"):
        import_plgp(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no graspLabel\.txt"):
        import_plgp(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "05_0000_0_0_grasp.txt").write_text("")
    with pytest.raises(InputError, match=r"none of the 1 images could be used; .* is missing"):
        import_plgp(tmp_path / "bad", tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "holiday.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="is not empty"):
        import_plgp(packed[0], tmp_path / "full")


def test_interrupted_import_goes_on(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(imports, "SCENES_PER_SHARD", 1)
    noise = DepthNoise()
    import_plgp(packed[0], tmp_path / "whole", noise, seed=4)
    write, calls = imports._write_shard, []

    def breaking(path, *rest, **settings):
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(path, *rest, **settings)

    monkeypatch.setattr(imports, "_write_shard", breaking)
    with pytest.raises(KeyboardInterrupt):
        import_plgp(packed[0], tmp_path / "broken", noise, seed=4)
    assert not (tmp_path / "broken" / "dataset.json").exists()
    with pytest.raises(InputError, match="another data set"):
        import_plgp(packed[0], tmp_path / "broken", noise, seed=5)
    import_plgp(packed[0], tmp_path / "broken", noise, seed=4)
    assert calls == [f"shard-0000{i}.h5" for i in (0, 1, 2, 2)]
    contents = [{p.name: p.read_bytes() for p in sorted((tmp_path / n).iterdir())} for n in ("whole", "broken")]
    assert contents[0] == contents[1]
    frame = DataSet(tmp_path / "whole").read(0, ALL)
    assert not np.array_equal(frame["depth"], frame["depth_noisy"])


def test_label_text_variants(tmp_path):
    path = tmp_path / "x_grasp.txt"
    path.write_text("5 6 7 0.04\r\n8 9 17 0.05\r\n\r\n1 1 1 0.01\r\n")  # older files: no depth; Windows ends of lines
    labels, deep = read_labels(path)
    assert not deep
    assert_labels(labels, [(5, 6, 7, 0.04, 0), (8, 9, 17, 0.05, 0)])
    path.write_text("5 6 7 0.04 0.01\n1 2 3 0.05 0.02\n5 6 7 0.06 0.03\n")  # one cell twice: the last line wins
    labels, deep = read_labels(path)
    assert deep
    assert_labels(labels, [(1, 2, 3, 0.05, 0.02), (5, 6, 7, 0.06, 0.03)])
    path.write_text("\n1 2 3 0.05 0.02\n")  # an empty first block: no labels at all
    assert len(read_labels(path)[0]) == 0


@pytest.mark.skipif(not SCENE1.is_file(), reason=f"{SCENE1} (the authors' own labels) is not there")
def test_labels_that_the_authors_tool_made(tmp_path):
    with np.load(SCENE1) as scene:
        rows = [(int(r), int(c), int(k), w, d) for r, c, k, w, d in scene["labels"].tolist()]
        view = scene["rgb"], scene["camera_depth"].astype(np.float64), scene["mask"], rows
        pose = scene["cam_pose_cam_in_world"]
    write_raw(tmp_path / "raw", "05_0001_0_0", view, pose, np.zeros((0, 8)))
    assert import_plgp(tmp_path / "raw", tmp_path / "out") == []
    frame = DataSet(tmp_path / "out").read(0, ALL)
    assert_labels(frame["grasps"], rows)
    np.testing.assert_array_equal(frame["instance_mask"] > 0, view[2] > 2)
    np.testing.assert_allclose(frame["pose"], pose)


def test_command(packed, tmp_path, monkeypatch, capsys, command_line):
    (tmp_path / "bad").mkdir()
    for path in (packed[0] / "train").glob("05_0000_*"):
        (tmp_path / "bad" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "bad" / "05_0000_0_1_depth.mat").unlink()
    done = command_line("labeler", "import-plgp", "bad", "out", "noise=none")
    assert done.returncode == 0, done.stderr
    assert "out: 2 images of 2 scenes" in done.stdout
    assert "skipped 05_0000_0_1: " in done.stderr
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["name"] == "bad"
    monkeypatch.chdir(tmp_path)
    for wrong, words in (
        (["bad"], "needs SOURCE DIR"),
        (["bad", "new", "noise=loud"], "give paper or none"),
        (["bad", "new", "seed=-1"], "give at least 0"),
        (["bad", "new", "speed=9"], "does not know 'speed=9'"),
        (["bad", "out", "noise=paper"], "holds another data set"),
    ):
        monkeypatch.setattr(sys, "argv", ["labeler", "import-plgp", *wrong])
        with pytest.raises(SystemExit, match="2"):
            main()
        shown = capsys.readouterr().err.splitlines()
        assert words in shown[-1]
        assert shown[-1].startswith("error: ")
