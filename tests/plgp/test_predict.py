"""Grasps for a camera's own files: every format, every refusal, and no simulator on the way."""

import json
import subprocess
import sys
from dataclasses import asdict

import lightning
import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from PIL import Image

from labeler.shards.data_set import DataSet
from plgp.module import GraspModule
from plgp.policy import NetworkPolicy
from plgp.policy.camera_files import read_depth, read_intrinsics, read_rgb, read_workspace
from plgp.policy.camera_files.pairing import find_files
from plgp.predict import main, predict, quoted, read_image
from sim.cli import conf_folder
from sim.errors import InputError
from sim.gripper import GripperGeometry
from sim.interchange.grasp_files import read_grasps
from sim.interchange.hand_frames import read_pose

GRIPPERS = {p.stem: instantiate(yaml.safe_load(p.read_text())) for p in sorted(conf_folder().glob("gripper/*.yaml"))}


def save_checkpoint(path, modality="depth"):
    module = GraspModule(
        {"_target_": "plgp.networks.GGCNN2", "prior": 0.05}, asdict(GripperGeometry()), modality=modality
    )
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def camera_folder(bars_folder, tmp_path_factory):
    """A network's file and an image as a camera would deliver it: 16-bit PNG in millimetres, JPEG, JSON."""
    folder = tmp_path_factory.mktemp("camera")
    read = DataSet(bars_folder).read(0, ("rgb", "depth", "instance_mask"))
    rgb, depth, mask = read["rgb"], np.array(read["depth"]), read["instance_mask"]
    depth[100:110, 200:210] = 0
    Image.fromarray((depth * 1000).round().astype(np.uint16)).save(folder / "depth.png")
    Image.fromarray(rgb).save(folder / "color.jpg")
    Image.fromarray(mask).save(folder / "mask.png")
    np.save(folder / "depth.npy", depth)
    np.savez(folder / "frame.npz", depth=depth, rgb=rgb)
    fx = float(read["intrinsics"][0, 0])
    (folder / "camera.json").write_text(json.dumps({"fx": fx, "fy": fx, "ppx": 319.5, "ppy": 239.5}))
    save_checkpoint(folder / "network.ckpt")
    return folder


def settings(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("predict", overrides=quoted(list(overrides)))


def test_every_depth_format_gives_the_same_metres(camera_folder):
    metres = np.load(camera_folder / "depth.npy")
    for name in ("depth.png", "depth.npy", "frame.npz"):
        np.testing.assert_allclose(read_depth(camera_folder / name), metres, atol=5.1e-4)
        assert read_depth(camera_folder / name).dtype == np.float32
    np.testing.assert_allclose(read_depth(camera_folder / "depth.png", 0.002), 2 * metres, atol=1.1e-3)


def test_missing_depth_is_zero_however_it_is_written(tmp_path):
    depth = np.full((6, 8), 0.5)
    depth[0], depth[1] = np.nan, np.inf
    np.save(tmp_path / "a.npy", depth[..., None])
    assert (read_depth(tmp_path / "a.npy")[:2] == 0).all()


def test_rgb_from_jpeg_and_arrays(camera_folder, tmp_path):
    rgb = read_rgb(camera_folder / "frame.npz")
    assert abs(read_rgb(camera_folder / "color.jpg").astype(int) - rgb).mean() < 3
    Image.fromarray(np.dstack([rgb, rgb[..., :1]])).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "alpha.png"), rgb)


MATRIX = [[600.0, 0, 320], [0, 610, 240], [0, 0, 1]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("realsense.json", json.dumps({"fx": 600, "fy": 610, "ppx": 320, "ppy": 240})),
        ("rows.json", json.dumps({"intrinsics": MATRIX})),
        ("bare.json", json.dumps(MATRIX)),
        ("open3d.json", json.dumps({"intrinsic_matrix": [600, 0, 0, 0, 610, 0, 320, 240, 1]})),
        (
            "ros.yaml",
            "image_width: 640\ncamera_matrix:\n  rows: 3\n  cols: 3\n  data: [600, 0, 320, 0, 610, 240, 0, 0, 1]",
        ),
        ("opencv.yml", "K: !!opencv-matrix\n  rows: 3\n  dt: d\n  data: [600, 0, 320, 0, 610, 240, 0, 0, 1]"),
        ("nested.yaml", "intrinsics: {fx: 600, fy: 610, cx: 320, cy: 240}"),
    ],
)
def test_intrinsics_of_all_makers(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    camera = read_intrinsics(tmp_path / name, (480, 640))
    np.testing.assert_array_equal(camera.intrinsics, MATRIX)
    np.testing.assert_array_equal(camera.pose, np.eye(4))
    np.save(tmp_path / "k.npy", np.array(MATRIX))
    np.testing.assert_array_equal(read_intrinsics(tmp_path / "k.npy", (480, 640)).intrinsics, MATRIX)
    np.testing.assert_array_equal(read_intrinsics("600,610,320,240", (480, 640)).intrinsics, MATRIX)


def test_workspaces(camera_folder):
    size = (480, 640)
    assert read_workspace(None, size) is None
    box = read_workspace("10,20,30,40", size)
    assert box.sum() == 21 * 21
    assert box[20, 10]
    assert box[40, 30]
    assert (
        read_workspace(camera_folder / "mask.png", size).sum()
        == np.asarray(Image.open(camera_folder / "mask.png")).astype(bool).sum()
    )
    grey = np.zeros(size, np.uint8)
    grey[:100] = 255
    Image.fromarray(np.dstack([grey, np.full(size, 255, np.uint8)])).save(camera_folder / "opaque.png")
    assert read_workspace(camera_folder / "opaque.png", size).sum() == 100 * 640
    metric = read_workspace("-0.1,-0.2,0.3,0.1,0.2,0.7", size)
    assert (metric.minimum, metric.maximum, metric.frame) == ((-0.1, -0.2, 0.3), (0.1, 0.2, 0.7), "camera")


def torn(path):
    path.write_bytes(path.read_bytes()[:500])
    return path


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: read_depth(d / "none.png"), "no depth file"),
        (lambda d: read_depth(write(d, "broken.png", b"\x89PNG no")), "cannot be read"),
        (lambda d: read_depth(write(d, "broken.npz", b"PK no")), "cannot be read"),
        (lambda d: read_depth(torn(d / "good.npz")), "cannot be read"),
        (lambda d: read_depth(d / "words.npy"), "a picture"),
        (lambda d: read_depth(d / "colour.png"), "a picture"),
        (lambda d: read_depth(d / "millimetres.npy"), "median of 600 m"),
        (lambda d: read_depth(d / "millimetres.npy", -1.0), "depth_scale is -1"),
        (lambda d: read_depth(d / "millimetres.npy", "mm"), "depth_scale is mm"),
        (lambda d: read_rgb(d / "millimetres.npy"), "give \\(height, width, 3\\) uint8"),
        (
            lambda d: read_intrinsics("600,610,320", (480, 640)),
            "are not four numbers with commas between",
        ),
        (lambda d: read_intrinsics("600,610,320,x", (480, 640)), "not four numbers"),
        (lambda d: read_intrinsics("600,610,960,540", (480, 640)), "outside the 640x480 image"),
        (lambda d: read_intrinsics("-600,610,320,240", (480, 640)), "positive focal"),
        (lambda d: read_intrinsics(write(d, "no.yaml", "a: ["), (480, 640)), "neither JSON nor YAML"),
        (lambda d: read_intrinsics(write(d, "empty.json", "{}"), (480, 640)), "no intrinsics in"),
        (lambda d: read_intrinsics(write(d, "odd.json", "[[1, 2], [3, 4]]"), (480, 640)), "have 4 numbers"),
        (lambda d: read_workspace("1,2,3", (480, 640)), "4 numbers"),
        (lambda d: read_workspace("700,0,800,100", (480, 640)), "leaves no pixel"),
        (lambda d: read_workspace("0.1,0,0,0,1,1", (480, 640)), "least corner first"),
        (lambda d: read_workspace(str(d / "colour.png"), (48, 64)), "same size"),
        (lambda d: read_image(d / "good.npy", "60,60,31,23", d / "colour.png"), "registered"),
        (lambda d: find_files(str(d / "*.tif"), "depth"), "no image there"),
    ],
)
def test_bad_files_end_in_one_sentence(tmp_path, call, message):
    Image.fromarray(np.full((4, 4, 3), 9, np.uint8)).save(tmp_path / "colour.png")
    np.save(tmp_path / "millimetres.npy", np.full((4, 4), 600.0))
    np.save(tmp_path / "good.npy", np.full((48, 64), 0.6))
    np.savez(tmp_path / "good.npz", depth=np.full((48, 64), 0.6))
    np.save(tmp_path / "words.npy", np.full((4, 4), "near"))
    with pytest.raises(InputError, match=message) as caught:
        call(tmp_path)
    assert "\n" not in str(caught.value)


def test_files_to_json_picture_and_table(camera_folder, tmp_path, capsys):
    choices = ["depth.png", "camera.json", "mask.png", "network.ckpt"]
    depth, camera, mask, network = (camera_folder / c for c in choices)
    config = settings(
        f"depth={depth}",
        f"intrinsics={camera}",
        f"workspace={mask}",
        f"checkpoint={network}",
        f"out={tmp_path}",
        "count=12",
    )
    (record,) = predict(config)
    saved = json.loads((tmp_path / "depth.json").read_text())
    assert saved == record
    assert len(saved["grasps"]) == 12
    assert {"frames", "units", "camera", "gripper", "sources"} <= set(saved)
    assert "x right, y down, z forward" in saved["frames"]["camera"]
    allowed = np.asarray(Image.open(mask)) > 0
    image, k = read_depth(depth), np.array(saved["camera"]["intrinsics"])
    for row in saved["grasps"]:
        assert allowed[row["row"], row["col"]]
        # eq. (8): the surface point at the pixel, then deeper along z by the grasp's depth.
        surface = image[row["row"], row["col"]]
        point = surface * np.linalg.inv(k) @ [row["col"], row["row"], 1] + [0, 0, row["depth"]]
        np.testing.assert_allclose(row["translation"], point, atol=1e-6)
        t = row["angle"]
        np.testing.assert_allclose(np.array(row["rotation"])[:, 0], [np.cos(t), -np.sin(t), 0], atol=1e-9)
        assert 0 < row["width"] <= 0.1
    assert [r["quality"] for r in saved["grasps"]] == sorted((r["quality"] for r in saved["grasps"]), reverse=True)
    with Image.open(tmp_path / "depth.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 15
    printed = capsys.readouterr().out
    assert "12 grasps, camera frame" in printed
    assert "depth.json" in printed


def test_a_folder_of_images_and_a_network_that_wants_colour(camera_folder, tmp_path):
    save_checkpoint(tmp_path / "rgbd.ckpt", "rgbd")
    for kind in ("depth", "color"):
        (tmp_path / kind).mkdir()
    for i in range(2):
        source = {"depth": "depth.png", "color": "color.jpg"}
        for kind, name in source.items():
            target = tmp_path / kind / f"{i}{name[-4:]}"
            target.write_bytes((camera_folder / name).read_bytes())
    common = [
        f"depth={tmp_path / 'depth'}",
        f"intrinsics={camera_folder / 'camera.json'}",
        f"checkpoint={tmp_path / 'rgbd.ckpt'}",
    ]
    common += [f"out={tmp_path / 'out'}", "count=3", "picture=false"]
    records = predict(settings(*common, f"rgb={tmp_path / 'color'}"))
    assert [r["sources"]["rgb"][-5:] for r in records] == ["0.jpg", "1.jpg"]
    assert records[0]["grasps"] == records[1]["grasps"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"0.json", "1.json", "frames.csv"}
    assert {r["view"]["shown"] for r in records} == {"as_is"}
    with pytest.raises(InputError, match="looks at rgbd; give rgb=FILE"):
        predict(settings(*common))
    with pytest.raises(InputError, match="2 depth images but 1 rgb"):
        predict(settings(*common, f"rgb={camera_folder / 'color.jpg'}"))


def test_hydra_takes_any_path_as_text(tmp_path):
    odd = str(tmp_path / "a, b='c' (1).png")
    config = settings(f"depth={odd}", "intrinsics=1,2,3,4", "workspace=0,0,9,9", "count=3")
    assert config.depth == odd
    assert config.intrinsics == "1,2,3,4"
    assert config.region == "0,0,9,9"
    assert config.count == 3
    assert settings("workspace=null").region is None


RUN = """
import sys
from plgp.predict import main
sys.argv[1:] = {arguments}
main()
found = [m for m in sys.modules if m.startswith("pybullet")]
found += [m for m in ("sim.physics", "sim.scene", "labeler.dataset.generate") if m in sys.modules]
print("loaded:", found)
"""


def test_the_command_needs_no_simulator(camera_folder, tmp_path):
    arguments = [f"depth={camera_folder / 'depth.npy'}", f"intrinsics={camera_folder / 'camera.json'}", "count=3"]
    arguments += [f"checkpoint={camera_folder / 'network.ckpt'}", f"out={tmp_path / 'out'}"]
    code = RUN.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout
    assert (tmp_path / "out" / "depth.png").is_file()


def test_the_command_says_what_is_wrong_without_a_traceback(tmp_path, monkeypatch, capsys):
    from plgp.predict import main

    monkeypatch.chdir(tmp_path)
    for arguments, message in (
        (["depth=none.png", "intrinsics=1,1,1,1", "checkpoint=none.ckpt"], "no checkpoint at 'none.ckpt'"),
        (["depth=none.png"], "intrinsics are missing"),
        (["intrinsics=1,1,1,1"], "depth is missing"),
        (["decoder=none"], "unknown decoder 'none'"),
        (["depth=none.png", "intrinsics=1,1,1,1", "count=many"], "count is many; give a whole number"),
    ):
        monkeypatch.setattr(sys, "argv", ["plgp-predict", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert message in error
        assert error.count("\n") == 1


def test_a_device_that_is_not_there(camera_folder):
    with pytest.raises(InputError, match="device 'abacus' cannot be used"):
        NetworkPolicy.from_checkpoint(camera_folder / "network.ckpt", device="abacus")


def test_the_policy_itself_takes_a_camera_image(camera_folder):
    seen = read_image(camera_folder / "depth.npy", camera_folder / "camera.json")
    assert seen.rgb is None
    poses = NetworkPolicy.from_checkpoint(camera_folder / "network.ckpt")(seen, 4)
    assert len(poses) == 4


POSE = "0.4,0.1,0.6,1,0,0,0"  # T_world_camera: 0.6 m up, half a turn about x, so that it looks straight down


def test_poses_of_the_flange_in_the_world_and_in_other_programs_files(camera_folder, tmp_path):
    files = [f"depth={camera_folder}/depth.png", f"intrinsics={camera_folder}/camera.json", f"out={tmp_path}"]
    files += [f"checkpoint={camera_folder}/network.ckpt", "picture=false", "count=5"]
    tips = predict(settings(*files))[0]
    write = "write=[graspnet,contact_graspnet,moveit]"
    flange = predict(settings(*files, "frame=flange", f"camera_pose={POSE}", "gripper=paper", write))[0]
    assert (tips["reference"], tips["hand_frame"]) == ("camera", "grasp")
    assert (flange["reference"], flange["hand_frame"]) == ("world", "flange")
    for own, other in zip(tips["grasps"], flange["grasps"], strict=True):
        x, y, z = own["translation"]
        # The paper's hand: its flange lies 50 mm behind the tips, so 50 mm above them, straight up.
        assert np.allclose(other["translation"], (0.4 + x, 0.1 - y, 0.6 - z + 0.05), atol=1e-9)
    stem = tmp_path / "depth"
    heights = [0.6 - g["translation"][2] for g in tips["grasps"]]
    for suffix in ("_graspnet.npy", "_contact_graspnet.npz", "_moveit.yaml"):
        found = read_grasps(stem.with_name(stem.name + suffix), GRIPPERS["paper"])
        # Only MoveIt's file names its frame; the others mean the camera's, whatever camera_pose= is.
        assert found.frame == ("world" if suffix == "_moveit.yaml" else "camera")
        in_world = found if found.frame == "world" else found.transform(read_pose(POSE), "world")
        assert np.allclose(in_world.translation[:, 2], heights, atol=1e-6)
    for hand in ("paper", "paper_on_arm"):  # the record says where the flange was, whatever the reader's hand
        back = read_grasps(stem.with_name("depth.json"), GRIPPERS[hand])
        assert back.frame == "world"
        assert np.allclose(back.translation[:, 2], heights, atol=1e-6)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("frame=world", "needs camera_pose"),
        ("frame=wrist", "no frame 'wrist'"),
        ("frame=panda_hand", "no frame 'panda_hand'"),
        ("gripper=franka", "trained for another gripper"),
        ("write=[ros]", "write has 'ros'"),
        ("camera_pose=1,2", "2 numbers"),
        ("camera_pose=/nope.npy", "camera_pose"),
    ],
)
def test_frames_that_do_not_fit_are_said_before_anything_is_written(camera_folder, tmp_path, override, words):
    files = [f"depth={camera_folder}/depth.png", f"intrinsics={camera_folder}/camera.json", f"out={tmp_path}/o"]
    with pytest.raises(InputError, match=words):
        predict(settings(*files, f"checkpoint={camera_folder}/network.ckpt", override))
    assert not (tmp_path / "o").exists()


def test_another_grippers_flange_is_given_where_that_is_said(camera_folder, tmp_path):
    files = [f"depth={camera_folder}/depth.png", f"intrinsics={camera_folder}/camera.json", f"out={tmp_path}"]
    asked = ["gripper=franka", "other_gripper=true", "frame=panda_hand", f"checkpoint={camera_folder}/network.ckpt"]
    with pytest.warns(UserWarning, match="trained for another gripper"):
        record = predict(settings(*files, *asked))[0]
    assert max(grasp["width"] for grasp in record["grasps"]) <= GRIPPERS["franka"].max_opening


def test_an_empty_mask_gives_an_empty_list(camera_folder, tmp_path, command):
    np.save(tmp_path / "nothing.npy", np.zeros((480, 640), bool))
    overrides = [f"depth={camera_folder / 'depth.npy'}", f"intrinsics={camera_folder / 'camera.json'}"]
    overrides += [f"checkpoint={camera_folder / 'network.ckpt'}", f"workspace={tmp_path / 'nothing.npy'}"]
    done = command(main, *overrides, f"out={tmp_path / 'out'}", "picture=false")
    assert done.returncode == 0, done.stderr
    assert "no grasp: no point that is seen lies in the workspace; they reach from -" in done.stdout
    assert json.loads((tmp_path / "out" / "depth.json").read_text())["grasps"] == []


def test_a_unit_and_a_lens_in_the_intrinsics_count(camera_folder, tmp_path, capsys):
    tenths = np.rint(np.load(camera_folder / "depth.npy") * 10000).astype(np.uint16)
    np.save(tmp_path / "tenths.npy", tenths)
    found = {"fx": 600, "fy": 610, "cx": 320, "cy": 240, "depth_scale": 0.1}
    (tmp_path / "k.json").write_text(json.dumps(found))
    straight = read_image(tmp_path / "tenths.npy", tmp_path / "k.json")
    np.testing.assert_allclose(straight.depth, tenths / 10000, atol=1e-4)
    (tmp_path / "k.json").write_text(json.dumps(found | {"D": [-0.2, 0.05, 0, 0, 0]}))
    undone = read_image(tmp_path / "tenths.npy", tmp_path / "k.json")
    assert "is rectified" in capsys.readouterr().err
    assert (undone.depth != straight.depth).any()
    assert np.isin(undone.depth, np.append(straight.depth, 0)).all()


def test_a_word_of_hydras_own_is_no_folder():
    assert quoted(["--cfg", "job", "view=auto"]) == ["--cfg", "job", "view=auto"]
    assert quoted(["photos", "-c", "job"]) == ["folder='photos'", "-c", "job"]
