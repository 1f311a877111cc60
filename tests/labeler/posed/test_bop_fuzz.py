"""BOP's files of cameras and poses, damaged in any way: views, or what is wrong with each in one sentence."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from labeler.posed.views import PosedView, find_views
from sim.errors import InputError

CAMERA = {"cam_K": [600.0, 0, 32, 0, 600, 24, 0, 0, 1], "depth_scale": 0.1}
TURN = np.eye(3).ravel().tolist()
ENTRY = {"obj_id": 3, "cam_R_m2c": TURN, "cam_t_m2c": [0.0, 0, 600]}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Folder of a data set with two pictures."""
    folder = tmp_path_factory.mktemp("bop") / "test" / "000001"
    for place, picture in (("rgb", np.zeros((48, 64, 3), np.uint8)), ("depth", np.full((48, 64), 6000, np.uint16))):
        (folder / place).mkdir(parents=True)
        for number in (0, 7):
            Image.fromarray(picture).save(folder / place / f"{number:06d}.png")
    return folder


def write(scene, cameras, poses):
    (scene / "scene_camera.json").write_text(json.dumps(cameras))
    (scene / "scene_gt.json").write_text(json.dumps(poses))
    return scene.parent.parent


def test_sound_files_are_two_views(scene):
    source = write(scene, {"0": CAMERA, "7": CAMERA}, {"0": [ENTRY], "7": []})
    first, second = find_views(source, "bop")
    assert first.models == ("obj_000003",)
    assert first.poses[0, 2, 3] == pytest.approx(0.6)
    assert first.depth_unit == pytest.approx(1e-4)
    assert second.poses.shape == (0, 4, 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth_scale": 0}, "depth_scale is 0.0"),
        ({"depth_scale": float("nan")}, "depth_scale is nan"),
        ({"cam_K": [float("inf"), *CAMERA["cam_K"][1:]]}, "its camera matrix is none"),
        ({"cam_K": np.reshape(CAMERA["cam_K"], (3, 3)).T.tolist()}, "its camera matrix is none"),
        ({"cam_K": [600, 600]}, "its entry cannot be read"),
    ],
)
def test_a_camera_that_is_none_is_named(scene, change, words):
    (found,) = find_views(write(scene, {"0": CAMERA | change}, {"0": [ENTRY]}), "bop")
    assert words in found[1]


NUMBERS = st.floats() | st.integers() | st.none() | st.booleans() | st.text(max_size=3)
ODD = NUMBERS | st.lists(NUMBERS, max_size=9) | st.dictionaries(st.text(max_size=3), NUMBERS, max_size=2)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_views_or_sentences(scene, data):
    cameras, poses = {"0": dict(CAMERA), "7": dict(CAMERA)}, {"0": [dict(ENTRY)], "7": [dict(ENTRY)]}
    where = data.draw(st.sampled_from([cameras, poses, cameras["0"], poses["0"][0], cameras["7"], poses["7"][0]]))
    key = data.draw(st.sampled_from([*where, "cam_R_w2c", "-1", "x"]))
    where[key] = data.draw(ODD)
    with contextlib.suppress(InputError):
        for found in find_views(write(scene, cameras, poses), "bop"):
            if isinstance(found, PosedView):
                assert np.isfinite(found.intrinsics).all()
                assert np.isfinite(found.poses).all()
                assert found.depth_unit > 0
            else:
                assert "\n" not in found[1]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40) | st.sampled_from([b"[" * 50_000, b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"[]", b"1"]))
def test_any_bytes_are_no_view_or_one_sentence(scene, content):
    source = write(scene, {}, {})
    (scene / "scene_gt.json").write_bytes(content)
    with contextlib.suppress(InputError):
        assert all(isinstance(found, tuple) for found in find_views(source, "bop"))
