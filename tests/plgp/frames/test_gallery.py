"""A folder of frames through the command: the sheet, the pages, the counts, and what cannot be read."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from PIL import Image

from plgp.frames.on_objects import count_on_objects
from plgp.policy import NetworkPolicy
from plgp.predict import _no_grasp, predict, quoted
from sim.camera import PinholeCamera
from sim.drawing.hands import contact_sheet, draw_hands, finger_outlines
from sim.errors import InputError
from sim.grasp import GraspPoses, rotations_from_angles
from sim.gripper import GripperGeometry
from sim.view import Observation


def image(distance):
    """A table with three blocks, from straight above."""
    depth = np.full((240, 320), distance, np.float32)
    for row, col in ((80, 90), (150, 220), (180, 100)):
        depth[row - 8 : row + 8, col - 25 : col + 25] -= 0.04
    return depth


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    for name, distance in (("a", 0.6), ("b", 0.95)):
        np.save(folder / f"{name}_depth.npy", image(distance))
        (folder / f"{name}_intrinsics.json").write_text(json.dumps({"fx": 300, "fy": 300, "cx": 160, "cy": 120}))
    return folder


def run(*words):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return predict(compose("predict", overrides=quoted(list(words))))


def test_a_folder_gives_a_sheet_pages_and_counts(folder, tmp_path, capsys):
    records = run(str(folder), f"out={tmp_path}", "count=10", "picture=false", "sheet=true", "page=true", "check=true")
    assert [r["view"]["shown"] for r in records] == ["as_is", "trained"]
    assert records[1]["view"]["plane"]["distance"] == pytest.approx(0.95, abs=0.01)
    counts = pd.read_csv(tmp_path / "on_objects.csv")
    assert counts.frame.tolist() == ["a_depth", "b_depth"]
    assert counts.on_objects.tolist()[1] == counts.grasps.tolist()[1] == 10
    assert counts.places.tolist()[1] >= 3
    assert "of the 10 best grasps" in capsys.readouterr().out
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] > 1280
    assert "plotly" in (tmp_path / "b_depth.html").read_text()
    assert {p.name for p in tmp_path.iterdir()} >= {"a_depth.json", "a_depth.html", "b_depth.json"}


def test_one_bad_frame_is_named_and_the_others_are_finished(folder, tmp_path, capsys):
    broken = tmp_path / "frames"
    shutil.copytree(folder, broken)
    (broken / "aa_depth.npy").write_bytes(b"no")
    (broken / "aa_intrinsics.json").write_text("{}")
    with pytest.raises(InputError, match=r"1 of 3 images are left out \(aa_depth.npy\)"):
        run(str(broken), f"out={tmp_path / 'out'}", "count=3", "picture=false")
    assert "aa_depth.npy is left out: " in capsys.readouterr().err
    assert {p.name for p in (tmp_path / "out").glob("*.json")} == {"a_depth.json", "b_depth.json"}


def test_an_empty_table_is_said_to_be_empty():
    camera = PinholeCamera(320, 240, np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]]))
    noise = np.random.default_rng(0).normal(0, 0.002, (240, 320))
    empty, full = (
        Observation(None, (d + noise).astype(np.float32), camera) for d in (np.full((240, 320), 0.6), image(0.6))
    )
    assert "the table may be empty" in _no_grasp(empty, None)
    assert "nothing in the workspace lets the fingers in" in _no_grasp(full, None)
    mask = np.zeros((240, 320), np.bool_)
    mask[60:100, 60:120] = True  # around one block, a small part of the picture
    assert "nothing in the workspace lets the fingers in" in _no_grasp(full, mask)
    mask = np.roll(mask, 100, axis=1)
    assert "next to nothing in the workspace stands 8 mm or more" in _no_grasp(full, mask)


def test_a_frame_without_a_mask_beside_others_that_have_one_says_so(folder, tmp_path, capsys):
    mixed = tmp_path / "frames"
    shutil.copytree(folder, mixed)
    Image.fromarray(np.full((240, 320), 255, np.uint8)).save(mixed / "a_mask.png")
    hint = "other frames have a mask, this one has none: grasps may lie anywhere in it; give it one as well"
    masked, whole = run(str(mixed), f"out={tmp_path / 'out'}", "count=3", "picture=false")
    assert hint not in masked["notes"]
    assert hint in whole["notes"]
    assert capsys.readouterr().err.count(hint) == 1
    assert pd.read_csv(tmp_path / "out" / "frames.csv").notes.str.contains(hint).tolist() == [False, True]
    _, boxed = run(str(mixed), f"out={tmp_path / 'out'}", "count=3", "picture=false", "workspace=9,9,300,200")
    assert hint not in boxed["notes"]


def test_a_folder_says_what_became_of_each_frame(folder, tmp_path, capsys):
    mixed = tmp_path / "frames"
    shutil.copytree(folder, mixed)
    lens = json.dumps({"width": 320, "height": 240, "fx": 300, "fy": 300, "cx": 160, "cy": 120})
    for name in ("empty", "phone", "torn"):
        np.save(mixed / f"{name}_depth.npy", image(0.6) if name != "empty" else np.full((240, 320), 0.6, np.float32))
        (mixed / f"{name}_intrinsics.json").write_text(lens)
    np.save(mixed / "alone_depth.npy", image(0.6))  # without intrinsics
    Image.fromarray(np.full((960, 1280, 3), 200, np.uint8)).save(mixed / "phone_color.png")
    (mixed / "torn_color.png").write_bytes(b"no")
    with pytest.raises(InputError, match=r"1 of 6 images are left out \(alone_depth.npy\)"):
        run(str(mixed), f"out={tmp_path / 'out'}", "count=3", "picture=false", "sheet=true", "page=true")
    told = pd.read_csv(tmp_path / "out/frames.csv").set_index("frame")
    assert told.outcome["alone_depth"] == "left out"
    assert "it has no intrinsics" in told.notes["alone_depth"]
    assert told.outcome["empty_depth"] == "no grasp"
    assert "1280x960, depth 320x240 pixels: it is resized" in told.notes["phone_depth"]
    assert "made without colours" in told.notes["torn_depth"]
    assert told.notes.isna()["a_depth"]
    record = json.loads((tmp_path / "out/torn_depth.json").read_text())
    assert len(record["notes"]) == 1
    assert "made without colours" in (tmp_path / "out/torn_depth.html").read_text()
    assert capsys.readouterr().err.count("resized") == 1
    assert (tmp_path / "out/sheet.png").is_file()


def test_one_images_colours_must_be_sound_and_in_proportion(folder, tmp_path):
    for name, size in (("large", (960, 1280, 3)), ("square", (320, 320, 3))):
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / f"{name}.png")
    words = [
        f"depth={folder / 'a_depth.npy'}",
        "intrinsics=300,300,160,120",
        f"out={tmp_path}",
        "count=2",
        "picture=false",
    ]
    assert "resized" in run(*words, f"rgb={tmp_path / 'large.png'}")[0]["notes"][0]
    with pytest.raises(InputError, match="registered"):
        run(*words, f"rgb={tmp_path / 'square.png'}")


def test_grasps_on_the_table_do_not_count():
    place = PinholeCamera(320, 240, np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]]))
    seen = Observation(None, image(0.95), place)
    found = NetworkPolicy.pretrained().find(seen, 10)
    good = count_on_objects("f", seen, found)
    assert (good.on_objects, good.grasps) == (10, 10)
    assert count_on_objects("f", seen, found, mask=np.zeros(seen.depth.shape, bool)).on_objects == 0
    flat = Observation(None, np.full_like(seen.depth, 0.95), place)
    assert count_on_objects("f", flat, found).on_objects == 0


def test_of_hands_alike_at_one_place_the_best_is_drawn_with_the_ranks_of_all():
    place = PinholeCamera(320, 240, np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]]))
    blank = np.zeros((240, 320, 3), np.uint8)

    def drawn(angles, places):
        rotations, n = rotations_from_angles(np.array(angles)), len(angles)
        grasps = GraspPoses(np.array([[x, 0, 0.6] for x in places]), rotations, np.full(n, 0.08), np.ones(n))
        return draw_hands(blank, grasps, GripperGeometry(), camera=place, width=320)

    one, label = drawn([0.0], [0.0]), (slice(105, 135), slice(125, 195))
    alike, crossing = drawn([0.0, 0.2, np.pi], [0.0, 0.005, 0.0]), drawn([0.0, 1.5], [0.0, 0.005])
    for other in (alike, crossing):
        assert (other[label] != one[label]).any()  # more ranks
    differs = (alike != one).any(axis=2)
    differs[label] = False
    assert not differs.any()
    assert crossing[85:105].any()  # fingers above and below
    assert not one[85:105].any()
    apart = drawn([0.0, 0.2], [-0.1, 0.1])
    assert np.ptp(np.nonzero(apart.any(axis=(0, 2)))[0]) > 100


def test_outlines_are_the_fingers():
    place = PinholeCamera(320, 240, np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]]))
    angles = np.array([0.0, np.pi / 2])
    grasps = GraspPoses(np.array([[0, 0, 0.6]] * 2), rotations_from_angles(angles), np.array([0.06, 0.04]), np.ones(2))
    gripper = GripperGeometry()
    outlines = finger_outlines(grasps, gripper, place)
    assert outlines.shape == (2, 2, 4, 2)
    inner = outlines[0, :, :2, 0].mean(axis=1) - 160
    np.testing.assert_allclose(inner, [-15, 15])  # 30 mm at 500 px/m
    np.testing.assert_allclose(np.ptp(outlines[0, 0, :, 1]), gripper.finger_width * 500)
    np.testing.assert_allclose(np.ptp(outlines[0, 0, :, 0]), gripper.finger_thickness * 500)
    np.testing.assert_allclose(outlines[1, :, :, 0].mean(), 160)
    drawn = draw_hands(np.zeros((240, 320, 3), np.uint8), grasps, gripper, camera=place, width=320)
    assert drawn[120, 160 + 17].any()
    assert not drawn[:80].any()
    sheet = contact_sheet([(drawn, "one"), (drawn[:100], "two"), (drawn, "three")], columns=2)
    assert sheet.shape[1] >= 640
    assert sheet.shape[0] >= 480
