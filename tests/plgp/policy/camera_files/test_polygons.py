"""Masks drawn as polygons, empty and inverted ones."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plgp.policy.camera_files import doubt_about_mask, read_workspace
from sim.errors import InputError

SIZE = (48, 64)
BOX = np.zeros(SIZE, bool)
BOX[10:21, 5:31] = True
CORNERS = [[5, 10], [30, 10], [30, 20], [5, 20]]
FLAT = [n for corner in CORNERS for n in corner]
RUNS = [int(n) for n in np.diff(np.flatnonzero(np.diff(np.concatenate([[2], BOX.ravel(order="F"), [2]]))))]


def saved(folder, document):
    path = folder / "mask.json"
    path.write_text(json.dumps(document))
    return path


def coco(segmentation, image=7):
    images = [{"id": 7, "file_name": "color_0007.png", "height": 48, "width": 64}, {"id": 8, "file_name": "b_0008.png"}]
    return {"images": images, "annotations": [{"image_id": image, "segmentation": segmentation}]}


@pytest.mark.parametrize(
    "document",
    [
        {"shapes": [{"points": CORNERS, "shape_type": "polygon"}], "imageHeight": 48, "imageWidth": 64},
        {"shapes": [{"points": [[30, 20], [5, 10]], "shape_type": "rectangle"}]},
        coco([FLAT]),
        coco([FLAT[:6], FLAT[4:] + FLAT[:2]]),
        coco({"size": [48, 64], "counts": RUNS}),
        {"a": {"filename": "a.png", "regions": [{"shape_attributes": {"name": "rect", "x": 5, "y": 10, "width": 25,
                                                                      "height": 10}}]}},
        {"a": {"filename": "a.png", "regions": {"0": {"shape_attributes": {
            "name": "polygon", "all_points_x": [5, 30, 30, 5], "all_points_y": [10, 10, 20, 20]}}}}},
    ],
)  # fmt: skip
def test_polygons_of_every_tool(tmp_path, document):
    mask = read_workspace(saved(tmp_path, document), SIZE, "depth_0007.png")
    np.testing.assert_array_equal(mask, BOX)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"shapes": [], "imageHeight": 96, "imageWidth": 128}, "is for 128x96 pixels"),
        ({"shapes": [{"points": CORNERS, "shape_type": "linestrip"}]}, "has a linestrip"),
        ({"shapes": [{"points": CORNERS[:2]}]}, "fewer than 3 points"),
        (coco({"size": [48, 64], "counts": "PPYo1"}), "do not add up"),
        (coco({"size": [48, 64], "counts": [1, 2]}), "do not add up"),
        ({"fx": 3}, "holds no polygons"),
        ([1], "holds no polygons"),
    ],
)
def test_what_is_none_is_one_sentence(tmp_path, document, words):
    with pytest.raises(InputError, match=words) as caught:
        read_workspace(saved(tmp_path, document), SIZE, "depth_0007.png")
    assert "mask.json" in str(caught.value)


def test_one_image_of_several_is_chosen_or_asked_for(tmp_path):
    path = saved(tmp_path, coco([FLAT], image=8))
    assert not read_workspace(path, SIZE, "depth_0007.png").any()
    assert read_workspace(path, SIZE, "depth_0008.png").any()
    with pytest.raises(InputError, match=r"holds 2 images .*none of them alone 'depth\.png'"):
        read_workspace(path, SIZE, "depth.png")


def scene():
    """A table at 0.6 m, walls at its edge and two objects on it; where the objects are."""
    depth, objects = np.full((120, 160), 0.6, np.float32), np.zeros((120, 160), bool)
    depth[:8], depth[:, :8] = 0.5, 0.5
    objects[30:50, 40:60] = objects[70:90, 100:120] = True
    depth[objects] = 0.56
    return depth, objects


def test_an_inverted_mask_is_doubted_and_no_other():
    depth, objects = scene()
    assert "invert it" in doubt_about_mask(~objects, depth)
    inside = np.ones_like(objects)
    inside[:8], inside[:, :8] = False, False  # all but the walls
    hole = depth.copy()
    hole[objects] = 0.65
    for mask, seen in ((objects, depth), (inside, depth), (np.ones_like(objects), depth), (~objects, hole)):
        assert doubt_about_mask(mask, seen) == ""


VALUES = st.none() | st.booleans() | st.integers(-9, 99) | st.floats() | st.text(max_size=4)
JSON = st.recursive(VALUES, lambda c: st.lists(c, max_size=4) | st.dictionaries(st.text(max_size=4), c, max_size=3))
POINTS = st.lists(st.lists(st.floats(-99, 99), min_size=2, max_size=2), max_size=5) | JSON
SHAPE = st.fixed_dictionaries({"points": POINTS}, optional={"shape_type": JSON | st.just("circle")})
RLE = st.fixed_dictionaries({"size": st.just([48, 64]) | JSON, "counts": st.lists(st.integers(0, 3072)) | JSON})
DOCUMENTS = st.one_of(
    JSON,
    st.fixed_dictionaries({"shapes": st.lists(SHAPE, max_size=2) | JSON}, optional={"imageHeight": JSON}),
    st.builds(coco, POINTS | RLE, JSON),
    st.fixed_dictionaries({"a": st.fixed_dictionaries({"regions": st.lists(SHAPE, max_size=2) | JSON})}),
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(DOCUMENTS, st.integers(0, 9))
def test_any_document_is_a_mask_or_one_sentence(tmp_path, document, cut):
    path = tmp_path / "mask.json"
    text = json.dumps(document)
    path.write_text(text[: -cut or None] if cut > 6 else text)
    with contextlib.suppress(InputError):
        assert read_workspace(path, SIZE, "depth_0007.png").shape == SIZE


def compressed(counts):
    """COCO's compression, written down from its description."""
    text = ""
    for number, count in enumerate(counts):
        value, more = count - (counts[number - 2] if number > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
    return text


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_of_every_kind(tmp_path, seed):
    rng = np.random.default_rng(seed)
    parts = rng.random((2, 48, 64)) < (0.02, 0.3, 0.5, 0.7, 0.98)[seed]
    parts[1, 10:30, 20:50] = True
    counts = []
    for part in parts:
        edges = np.flatnonzero(np.diff(np.concatenate([[False], part.ravel(order="F")])))
        counts.append(np.diff(np.concatenate([[0], edges, [part.size]])).tolist())
    plain, short = ([{"size": [48, 64], "counts": kind(c)} for c in counts] for kind in (list, compressed))
    documents = [plain[0], [{"segmentation": p, "area": 1} for p in plain], [{"segmentation": p} for p in short]]
    for document, mask in zip(documents, (parts[0], parts.any(0), parts.any(0)), strict=True):
        (tmp_path / "m.json").write_text(json.dumps(document))
        np.testing.assert_array_equal(read_workspace(tmp_path / "m.json", (48, 64)), mask)
