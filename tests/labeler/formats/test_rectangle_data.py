"""Rectangles as a data set: there and back, what is filled in and left out, and any damage in one sentence."""

import contextlib
import json
import shutil
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from labeler.__main__ import main
from labeler.dataset.validate import find_problems
from labeler.formats import rectangle_data
from labeler.formats.rectangle_data import RectangleSource, import_rectangles, labels_of, read_image
from labeler.formats.rectangles import GraspRectangles, export_rectangles, jacquard_text
from labeler.shards.data_set import DataSet
from sim.errors import InputError

SHAPE, FOCAL = (48, 80), 100.0


def rectangles(*rows):
    """Rectangles of rows x, y, angle, opening."""
    x, y, angle, opening = np.array(rows, np.float64).reshape(-1, 4).T
    return GraspRectangles(x, y, angle, opening, np.full(len(x), 3.4))


def write_image(folder, name="0_a", text=None, *, mask=True, stereo=True, shape=SHAPE):
    """One image in Jacquard's format: a floor at 0.5 m and a block at 0.4 m."""
    folder.mkdir(parents=True, exist_ok=True)
    depth = np.full(shape, 0.5, np.float32)
    depth[10:30, 20:60] = 0.4
    depth[40, 70] = 0
    block = depth == np.float32(0.4)
    Image.fromarray(np.full((*shape, 3), 90, np.uint8)).save(folder / f"{name}_RGB.png")
    Image.fromarray(depth).save(folder / f"{name}_perfect_depth.tiff")
    if stereo:
        Image.fromarray(depth + np.float32(0.001)).save(folder / f"{name}_stereo_depth.tiff")
    if mask:
        Image.fromarray(np.where(block, 255, 0).astype(np.uint8)).save(folder / f"{name}_mask.png")
    text = jacquard_text(rectangles((40, 20, 0.0, 10))) if text is None else text
    (folder / f"{name}_grasps.txt").write_text(text)
    return folder / f"{name}_grasps.txt"


def source(folder, **options):
    return RectangleSource(**{"folder": folder, "format": "jacquard", "focal": FOCAL} | options)


def test_a_rectangle_becomes_a_label_in_metres():
    depth = np.full(SHAPE, 0.4, np.float32)
    labels, left_out = labels_of(rectangles((40.4, 19.6, np.pi / 6, 10)), depth, focal=FOCAL)
    assert (labels.row[0], labels.col[0], labels.angle_bin[0]) == (20, 40, 3)
    assert labels.width[0] == pytest.approx(0.04)  # 10 px at 0.4 m, 100 px at 1 m
    assert labels.depth[0] == 0
    assert not any(left_out.values())


def test_what_is_no_label_is_counted_and_equal_ones_are_one():
    depth = np.full(SHAPE, 0.5, np.float32)
    depth[5, 5] = 0
    given_ones = [(40, 20, 0, 10), (40, 20, 0, 12), (40, 20, 1, 8), (5, 5, 0, 10), (90, 20, 0, 10), (40, 20, 0, 40)]
    labels, left_out = labels_of(rectangles(*given_ones), depth, focal=FOCAL)
    assert labels.angle_bin.tolist() == [0, 6]
    assert labels.width.tolist() == pytest.approx([0.06, 0.04])
    assert list(left_out.values()) == [1, 1, 1]


@pytest.mark.parametrize(("format", "side"), [("jacquard", 0), ("jacquard", 96), ("cornell", 0)])
def test_there_and_back(tmp_path, format, side):
    """A data set, its rectangles, and the data set of these: the same labels, within a pixel and a bin."""
    write_image(tmp_path / "a" / "s0", "0_s0", jacquard_text(rectangles((40, 20, 0.3, 10), (30, 15, 2.0, 15))))
    write_image(tmp_path / "a" / "s0", "1_s0")
    write_image(tmp_path / "a" / "s1", "0_s1")
    first, again = tmp_path / "first", tmp_path / "again"
    assert import_rectangles(source(tmp_path / "a"), first) == []
    export_rectangles(first, tmp_path / "b", format, side=side)
    scale = side / SHAPE[0] if side else 1.0
    back = source(tmp_path / "b", format=format, focal=FOCAL * scale)
    assert import_rectangles(back, again) == []
    assert find_problems(first) == find_problems(again) == []
    ours, theirs = DataSet(first), DataSet(again)
    assert len(ours) == len(theirs) == 3
    assert [int(s) for s in theirs.scenes] == [0, 0, 1]
    for index in range(3):
        a, b = (d.read(index, ("depth", "depth_noisy", "rgb"))["grasps"] for d in (ours, theirs))
        order = np.argsort(b.row)  # a scaled image may reorder equal rows
        np.testing.assert_allclose(b.width[order], a.width[np.argsort(a.row)], rtol=0.02)
        np.testing.assert_array_equal(b.angle_bin[order], a.angle_bin[np.argsort(a.row)])


def test_what_is_missing_is_filled_in_and_said(tmp_path):
    write_image(tmp_path / "a", mask=False, stereo=False)
    import_rectangles(source(tmp_path / "a"), tmp_path / "out")
    about = json.loads((tmp_path / "out" / "dataset.json").read_text())
    said = " ".join(about["imported"]["defaults"])
    for word in ("principal point", "depth of grasps: 0", "no stereo depth", "instance_mask: 1 within 3 px"):
        assert word in said
    assert about["recipe"]["camera_height"] == 0.5
    frame = DataSet(tmp_path / "out").read(0, ("depth", "depth_noisy", "instance_mask"))
    assert frame["instance_mask"].sum() == 49
    np.testing.assert_array_equal(frame["depth"], frame["depth_noisy"])
    assert frame["intrinsics"][0].tolist() == [FOCAL, 0, 39.5]


def test_broken_images_are_skipped_and_named(tmp_path):
    write_image(tmp_path / "a" / "s0", "0_s0")
    write_image(tmp_path / "a" / "s1", "0_s1", "1;2;3\n")
    write_image(tmp_path / "a" / "s2", "0_s2", shape=(60, 80))
    write_image(tmp_path / "a" / "s3", "0_s3")
    (tmp_path / "a" / "s3" / "0_s3_RGB.png").write_bytes(b"no picture")
    write_image(tmp_path / "a" / "s4", "0_s4")
    (tmp_path / "a" / "s4" / "0_s4_perfect_depth.tiff").unlink()
    skipped = import_rectangles(source(tmp_path / "a"), tmp_path / "out")
    assert [s.split(":")[0] for s in skipped] == [f"s{i}/0_s{i}_grasps.txt" for i in (1, 2, 3, 4)]
    for sentence, word in zip(skipped, ("no Jacquard grasp file", "(60, 80)", "RGB.png", "perfect_depth"), strict=True):
        assert word in sentence
    assert len(DataSet(tmp_path / "out")) == 1


def test_files_that_were_put_right_are_another_import(tmp_path):
    """A picture that is there again, or a label of the same length: never the old shards in silence."""
    labels, out = write_image(tmp_path / "a" / "s0", "0_s0"), tmp_path / "out"
    write_image(tmp_path / "a" / "s1", "0_s1")
    rgb = tmp_path / "a" / "s1" / "0_s1_RGB.png"
    picture = rgb.read_bytes()
    rgb.unlink()
    assert len(import_rectangles(source(tmp_path / "a"), out)) == 1
    rgb.write_bytes(picture)
    with pytest.raises(InputError, match="holds another data set"):
        import_rectangles(source(tmp_path / "a"), out)
    assert import_rectangles(source(tmp_path / "a"), tmp_path / "whole") == []
    text = labels.read_text()
    changed = text.translate(str.maketrans("123", "231"))
    assert changed != text
    labels.write_text(changed)
    with pytest.raises(InputError, match="holds another data set"):
        import_rectangles(source(tmp_path / "a"), tmp_path / "whole")


def test_an_import_without_one_whole_image_is_none(tmp_path):
    write_image(tmp_path / "a" / "s0", "0_s0")
    (tmp_path / "a" / "s0" / "0_s0_RGB.png").unlink()
    with pytest.raises(InputError, match=r"none of the 1 images could be used; .*RGB.png"):
        import_rectangles(source(tmp_path / "a"), tmp_path / "out")
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_cornells_own_images_are_scenes_of_their_own_and_that_is_said(tmp_path):
    write_image(tmp_path / "a" / "s0", "0_s0")
    write_image(tmp_path / "a" / "s0", "1_s0")
    import_rectangles(source(tmp_path / "a"), tmp_path / "first")
    export_rectangles(tmp_path / "first", tmp_path / "b")
    list_of_scenes = tmp_path / "b" / "scenes.csv"
    assert list_of_scenes.read_text() == "image,scene\n01/pcd0100,0\n01/pcd0101,0\n"
    list_of_scenes.write_text("no,columns\n1,2\n")
    with pytest.raises(InputError, match="has no columns image,scene"):
        import_rectangles(source(tmp_path / "b", format="cornell"), tmp_path / "again")
    list_of_scenes.unlink()
    import_rectangles(source(tmp_path / "b", format="cornell"), tmp_path / "again")
    data = DataSet(tmp_path / "again")
    assert data.scenes.tolist() == [0, 1]
    assert "splits may part views of one object" in " ".join(data.manifest.imported.defaults)


def test_an_interrupted_import_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(rectangle_data, "SCENES_PER_SHARD", 1)
    for scene in range(3):
        write_image(tmp_path / "a" / f"s{scene}")
    out = tmp_path / "out"
    import_rectangles(source(tmp_path / "a"), out)
    whole = {p.name: p.read_bytes() for p in out.iterdir()}
    (out / "dataset.json").unlink()
    (out / "shard-00002.h5").unlink()
    kept = (out / "shard-00000.h5").stat().st_mtime_ns
    import_rectangles(source(tmp_path / "a"), out)
    assert (out / "shard-00000.h5").stat().st_mtime_ns == kept
    assert find_problems(out) == []
    assert len(DataSet(out)) == 3
    assert {p.name for p in out.iterdir()} == set(whole)
    with pytest.raises(InputError, match="holds another data set"):
        import_rectangles(source(tmp_path / "a", focal=90.0), out)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "bop"}, "give cornell or jacquard"),
        ({"focal": 0.0}, "focal length in pixels"),
        ({"focal": float("nan")}, "focal length in pixels"),
    ],
)
def test_bad_settings_are_named(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        source(tmp_path, **options)


def test_nothing_to_import_is_named(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        import_rectangles(source(tmp_path / "nowhere"), tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no"):
        import_rectangles(source(tmp_path / "empty"), tmp_path / "out")
    write_image(tmp_path / "bad").with_name("0_a_perfect_depth.tiff").write_bytes(b"")
    with pytest.raises(InputError, match="no image in"):
        import_rectangles(source(tmp_path / "bad"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    write_image(tmp_path / "good")
    with pytest.raises(InputError, match="not empty"):
        import_rectangles(source(tmp_path / "good"), tmp_path / "full")


@pytest.mark.parametrize("format", ["cornell", "jacquard"])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8"), max_size=60) | st.from_regex(r"([-0-9.;einfa \n]{0,12}){0,12}"))
def test_any_text_gives_labels_or_one_sentence(tmp_path, format, text):
    file = tmp_path / "a" / ("0_a_grasps.txt" if format == "jacquard" else "pcd0100cpos.txt")
    if not file.exists():
        write_image(tmp_path / "a")
        for end, ours in (("r.png", "RGB.png"), ("d.tiff", "perfect_depth.tiff")):
            shutil.copyfile(tmp_path / "a" / f"0_a_{ours}", tmp_path / "a" / f"pcd0100{end}")
    file.write_text(text, encoding="utf-8")
    try:
        frame, _ = read_image(file, source(tmp_path, format=format))
    except InputError:
        return
    labels = frame["grasps"]
    assert (labels.row < SHAPE[0]).all()
    assert (labels.col < SHAPE[1]).all()
    assert (labels.width <= 0.1).all()
    assert frame["instance_mask"][labels.row, labels.col].all()


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a")
    for words, said in (
        (["a", "out", "focal=100"], "out: 1 images of 1 scenes (0 failed), 1 grasps"),
        (["a", "out2"], "focal"),
        (["a", "out2", "focal=-1"], "focal length in pixels"),
        (["a", "out2", "focal=100", "format=cornell"], "holds no *cpos.txt"),
    ):
        monkeypatch.setattr(sys, "argv", ["labeler", "import-rectangles", *words])
        with contextlib.suppress(SystemExit):
            main()
        shown = capsys.readouterr()
        assert said in shown.out + shown.err
