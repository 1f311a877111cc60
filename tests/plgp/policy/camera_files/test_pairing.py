"""Files of one image find each other, or those without a partner are named."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plgp.policy.camera_files import find_files, pair
from sim.errors import InputError


def paths(*names):
    return [Path(n) for n in names]


@pytest.mark.parametrize(
    ("depths", "colours"),
    [
        (("depth_1.png", "depth_2.png", "depth_10.png"), ("color_001.png", "color_002.png", "color_010.png")),
        (("frame-000001.depth.png", "frame-000002.depth.png"), ("frame-000001.color.png", "frame-000002.color.png")),
        (("a_depth.png", "b_depth.png"), ("a_color.jpg", "b_color.jpg")),
        (("1305031102.160407.png", "1305031102.194330.png"), ("1305031102.175304.png", "1305031102.211214.png")),
        (("d3.png", "d12.png"), ("left03.jpg", "left12.jpg")),
        (("000000.png", "000001.png"), ("000000.jpg", "000001.jpg")),
    ],
)
def test_names_of_every_kind(depths, colours):
    own, theirs = paths(*depths), paths(*colours)
    assert pair(sorted(own), sorted(theirs), "rgb") == [theirs[own.index(d)] for d in sorted(own)]


def test_files_without_a_partner_are_named():
    with pytest.raises(InputError, match=r"without a partner: depth_3\.png, color_4\.png"):
        pair(paths("depth_1.png", "depth_3.png"), paths("color_1.png", "color_4.png"), "rgb")
    assert pair(paths("a.png", "b.png"), paths("k.json"), "intrinsics") == paths("k.json", "k.json")


def test_one_folder_of_several_kinds(tmp_path):
    for name in ("1_depth.png", "1_color.png", "1_mask.png", "1_intrinsics.json"):
        (tmp_path / name).touch()
    for role, name in (("depth", "1_depth.png"), ("rgb", "1_color.png"), ("workspace", "1_mask.png")):
        assert find_files(str(tmp_path), role) == [tmp_path / name]
    assert find_files(str(tmp_path), "intrinsics") == [tmp_path / "1_intrinsics.json"]


NAMES = st.lists(st.from_regex(r"[a-z]{0,5}_?[0-9]{0,12}\.?[0-9]{0,3}", fullmatch=True), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(NAMES, NAMES)
def test_any_names_pair_one_to_one_or_are_refused(depths, colours):
    own, theirs = paths(*(f"{n}.png" for n in depths)), paths(*(f"{n}.png" for n in colours))
    with contextlib.suppress(InputError):
        assert sorted(map(str, pair(own, theirs, "rgb"))) == sorted(map(str, theirs))
