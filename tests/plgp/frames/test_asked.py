"""A folder of frames: which files belong together, however they are named."""

import numpy as np
import pytest
from omegaconf import OmegaConf

from plgp.frames.asked import frames_asked
from sim.errors import InputError


def asked(**given):
    empty = dict.fromkeys(("folder", "depth", "rgb", "intrinsics", "region"))
    return frames_asked(OmegaConf.create({**empty, **given}))


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names(frame):
    return [None if p is None else p.name for p in (frame.depth, frame.rgb, frame.intrinsics, frame.region)]


def test_names_say_what_a_file_holds(tmp_path):
    touch(tmp_path, "a_001_depth.png", "a_001_color.jpg", "a_001_intrinsics.json", "a_001_mask.png")
    touch(tmp_path, "b_002_depth.png", "b_002_intrinsics.json", "README.md")
    first, second = asked(folder=str(tmp_path))
    assert names(first) == ["a_001_depth.png", "a_001_color.jpg", "a_001_intrinsics.json", "a_001_mask.png"]
    assert names(second) == ["b_002_depth.png", None, "b_002_intrinsics.json", None]


def test_folders_of_kinds_and_one_camera_for_all(tmp_path):
    touch(tmp_path, "depth/0001.png", "depth/0002.png", "rgb/0001.png", "rgb/0002.png", "camera.json")
    frames = asked(folder=str(tmp_path))
    assert [names(f) for f in frames] == [
        ["0001.png", "0001.png", "camera.json", None],
        ["0002.png", "0002.png", "camera.json", None],
    ]


def test_what_is_given_beside_the_folder_comes_first(tmp_path):
    touch(tmp_path, "1_depth.png", "1_mask.png", "1_camera.json")
    frames = asked(folder=str(tmp_path), intrinsics="600,600,320,240", region="0,0,9,9")
    assert names(frames[0]) == ["1_depth.png", None, None, None]


def test_a_manifest_says_it_all(tmp_path):
    lines = "depth,rgb,intrinsics,mask,depth_scale", "x.png,y.jpg,z.json,,0.0001", "u.png,,v.json,w.png,"
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    first, second = asked(folder=str(tmp_path))
    assert names(first) == ["x.png", "y.jpg", "z.json", None]
    assert first.depth_scale == 0.0001
    assert names(second) == ["u.png", None, "v.json", "w.png"]
    assert second.depth_scale is None


def test_what_is_given_beside_a_manifest_comes_first(tmp_path, capsys):
    """The manifest's won without a word, unlike a folder's files and depth_scale."""
    (tmp_path / "manifest.csv").write_text("depth,rgb,intrinsics,mask\nx_1.png,x_1.jpg,k.json,m.png\nx_2.png,,,\n")
    first, _ = asked(folder=str(tmp_path), intrinsics="600,600,320,240", region="0,0,9,9")
    assert names(first) == ["x_1.png", "x_1.jpg", None, None]
    assert "workspace=0,0,9,9 counts for every frame, whatever manifest.csv says\n" in capsys.readouterr().err
    touch(tmp_path, "own/1.jpg", "own/2.jpg", "masks/x_1.png", "masks/x_2.png")
    frames = asked(folder=str(tmp_path), rgb=f"{tmp_path}/own/*.jpg", region=f"{tmp_path}/masks")
    assert [names(frame) for frame in frames] == [
        ["x_1.png", "1.jpg", "k.json", "x_1.png"],
        ["x_2.png", "2.jpg", None, "x_2.png"],
    ]
    assert frames[1].region == tmp_path / "masks/x_2.png"


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,b\n1,2\n", "has no column depth"), ("depth,depth_scale\nx.png,much\n", "'much' is no number")],
)
def test_a_manifest_that_is_none(tmp_path, content, message):
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        asked(folder=str(tmp_path))


def test_folders_that_hold_nothing(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        asked(folder=str(tmp_path / "none"))
    with pytest.raises(InputError, match="no image there"):
        asked(folder=str(tmp_path))
    with pytest.raises(InputError, match="both a folder and depth="):
        asked(folder=str(tmp_path), depth="x.png")
    with pytest.raises(InputError, match="depth is missing"):
        asked()


def test_frames_that_are_wholly_numbers(tmp_path):
    touch(tmp_path, *(f"{i}_depth.npy" for i in np.arange(3)), *(f"{i}_rgb.png" for i in range(3)))
    assert [f.rgb.name for f in asked(folder=str(tmp_path))] == ["0_rgb.png", "1_rgb.png", "2_rgb.png"]
