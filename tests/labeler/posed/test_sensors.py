"""Scenes seen by several sensors, images of several sizes, broken files: nothing is lost, and scenes stay together."""

import json
import warnings

import numpy as np
import pytest
import trimesh
from PIL import Image

from labeler.__main__ import main
from labeler.dataset.manifest import Truth, keep_figures, read_manifest
from labeler.dataset.validate import find_problems
from labeler.posed.data import describe_hand, import_posed
from labeler.posed.export_bop import export_bop
from labeler.settings import LabelSettings
from labeler.shards.data_set import DataSet
from plgp.data import PLGPDataModule
from sim.errors import InputError
from sim.gripper import load_gripper

SIZE = (96, 128)  # rows, columns
HALF = 20.0  # half the side of the cube that is seen, millimetres


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def write_scene(folder, views=1, size=SIZE, beside=0.0):
    """A BOP scene: a cube on a table 600 mm below the camera, ``beside`` millimetres to its right."""
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    rows, cols = size
    focal, middle = float(cols), ((cols - 1) / 2, (rows - 1) / 2)
    cameras, poses = {}, {}
    for view in range(views):
        u, v = np.meshgrid(np.arange(cols) - middle[0], np.arange(rows) - middle[1])
        top = 600 - 2 * HALF
        depth = np.where((abs(u * top / focal - beside) < HALF) & (abs(v * top / focal) < HALF), top, 600)
        Image.fromarray(np.full((*size, 3), 90 + view, np.uint8)).save(folder / f"rgb/{view:06d}.png")
        Image.fromarray(depth.astype(np.uint16)).save(folder / f"depth/{view:06d}.png")
        cameras[view] = {"cam_K": [focal, 0, middle[0], 0, focal, middle[1], 0, 0, 1], "depth_scale": 1.0}
        poses[view] = [{"cam_R_m2c": np.eye(3).ravel().tolist(), "cam_t_m2c": [beside, 0, 600 - HALF], "obj_id": 1}]
    (folder / "scene_camera.json").write_text(json.dumps(cameras))
    (folder / "scene_gt.json").write_text(json.dumps(poses))


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "bop"
    (folder / "models").mkdir(parents=True)
    trimesh.creation.box((2 * HALF,) * 3).export(folder / "models" / "obj_000001.ply")
    return folder


def colours(data):
    return [int(data.read(i, ("rgb",))["rgb"][0, 0, 0]) for i in range(len(data))]


def test_the_sensors_views_of_one_scene_lie_together_and_go_out_whole(source, tmp_path):
    for sensor in ("test_kinect", "test_primesense"):
        for number in (1, 2):
            write_scene(source / sensor / f"{number:06d}")
    assert import_posed(source, tmp_path / "data").skipped == []
    data = DataSet(tmp_path / "data")
    assert data.scenes.tolist() == [0, 0, 1, 1]
    assert [data.read(i)["scene"] for i in range(4)] == [0, 0, 1, 1]
    assert find_problems(tmp_path / "data") == []
    assert export_bop(tmp_path / "data", tmp_path / "out") == {"images": 4, "scenes": 2, "models": 1}
    for number in (0, 1):
        folder = tmp_path / "out" / "test" / f"{number:06d}"
        views = sorted(str(int(path.stem)) for path in (folder / "rgb").iterdir())
        assert len(views) == 2
        for name in ("scene_gt", "scene_camera", "scene_gt_info"):
            assert sorted(json.loads((folder / f"{name}.json").read_text())) == views


def test_images_of_two_sizes_and_a_broken_first_one(source, tmp_path):
    write_scene(source / "test" / "000001", views=2)
    write_scene(source / "train" / "000002", size=(64, 80))
    first = source / "test" / "000001" / "depth" / "000000.png"
    first.write_bytes(first.read_bytes()[:60])
    (told,) = import_posed(source, tmp_path / "data").skipped
    assert "000000.png cannot be read" in told
    data = DataSet(tmp_path / "data")
    assert [data.read(i, ("depth",))["depth"].shape for i in range(2)] == [SIZE, (64, 80)]
    assert data.manifest.recipe["sizes"] == [[80, 64], [128, 96]]
    assert find_problems(tmp_path / "data") == []
    with pytest.raises(InputError, match="crop 96 is larger than the 64x80 images"):
        PLGPDataModule(tmp_path / "data", crop=96).setup("fit")


def test_the_same_import_again_keeps_what_was_measured(source, tmp_path):
    write_scene(source / "test" / "000001")
    import_posed(source, tmp_path / "data")
    figures = Truth(attempts=5, scenes=1, objects=1, lifted=0.8, macro=0.8)
    keep_figures(tmp_path / "data", 0.4, figures)
    import_posed(source, tmp_path / "data")
    assert dict(read_manifest(tmp_path / "data").truth) == {"0.4": figures}


def test_the_lines_of_an_object_are_those_of_the_format(source, tmp_path):
    """A cube half out of the picture: its silhouette is counted whole, what is measured only inside."""
    focal, middle, top = SIZE[1], (SIZE[1] - 1) / 2, 600 - 2 * HALF
    beside = (SIZE[1] - 0.5 - middle) * top / focal  # its middle on the picture's right edge
    write_scene(source / "test" / "000001", beside=beside)
    assert import_posed(source, tmp_path / "data").skipped == []
    export_bop(tmp_path / "data", tmp_path / "out")
    (line,) = json.loads((tmp_path / "out/test/000000/scene_gt_info.json").read_text())["0"]
    across = 2 * HALF * focal / top  # of the top face, pixels; beyond the left face's foot nothing else shows
    left = round(middle + (beside - HALF) * focal / 600)
    assert line["bbox_obj"][0] == pytest.approx(left, abs=1)
    assert line["bbox_obj"][0] + line["bbox_obj"][2] == pytest.approx(SIZE[1] + across / 2, abs=1.5)
    assert line["bbox_obj"][3] == pytest.approx(across, abs=1.5)
    assert line["bbox_visib"][0] + line["bbox_visib"][2] == SIZE[1]
    assert line["px_count_all"] > 1.5 * line["px_count_visib"] > 0  # its left face shows, too
    assert line["px_count_valid"] == pytest.approx(line["px_count_visib"], rel=0.1)
    assert line["visib_fract"] == pytest.approx(line["px_count_visib"] / line["px_count_all"])


def test_labels_are_for_the_hand_that_is_asked_for(source, tmp_path, monkeypatch, capsys):
    """And once exported for it, they come back for it, or for yet another; a wider hand gets wider labels."""
    write_scene(source / "test" / "000001")
    words = ["python -m labeler", "import-posed", str(source), str(tmp_path / "data"), "check=false", "gripper=franka"]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command sets it
    with pytest.raises(SystemExit):
        main()
    assert "hand of the labels: franka, which opens 80 mm\n" in capsys.readouterr().out
    assert DataSet(tmp_path / "data").manifest.gripper == load_gripper("franka")
    export_bop(tmp_path / "data", tmp_path / "out")
    import_posed(tmp_path / "out", tmp_path / "same", check=None)
    same = describe_hand(tmp_path / "out", tmp_path / "same")
    assert same == "hand of the labels: the exported data set's, which opens 80 mm; gripper=NAME labels for another"
    import_posed(tmp_path / "out", tmp_path / "wide", check=None, gripper=load_gripper("robotiq_2f140"))
    wide = DataSet(tmp_path / "wide").manifest
    assert wide.gripper.max_opening == 0.14
    assert wide.recipe["labels"]["max_width"] == 0.13
    import_posed(source, tmp_path / "papers", check=None)
    assert "the paper's, which opens 100 mm; gripper=NAME" in describe_hand(source, tmp_path / "papers")
    assert DataSet(tmp_path / "papers").manifest.recipe["labels"] == LabelSettings().describe()
