"""A checkpoint knows its world: read from the data set, saved, loaded, compared; and what it says of an image."""

from copy import deepcopy
from dataclasses import astuple, replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labeler.dataset.manifest import Counts, Manifest, read_manifest
from labeler.dataset.recipe import DataSetRecipe
from plgp.data import InputFormat, PLGPDataModule
from plgp.data.trained_view import TrainedView
from plgp.metrics import GraspMetrics
from plgp.targets import GraspMaps, LabelBatch, rasterise
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.gripper import GripperGeometry
from sim.view import Observation


def test_it_is_read_from_the_data_set(bars_folder):
    recipe = DataSetRecipe(camera_height=0.7, gripper=GripperGeometry(max_opening=0.08)).describe()
    manifest = replace(read_manifest(bars_folder), recipe=recipe)
    view = TrainedView.of_data_set(manifest, InputFormat(depth_scale=10.0, window=128))
    assert np.allclose(view.intrinsics, recipe["camera"]["intrinsics"])
    assert view.camera_height == recipe["camera_height"]
    assert view.gripper.max_opening == 0.08
    assert view.bins == manifest.angles
    assert view.recipe_hash == manifest.hash
    assert view.input_format.depth_scale == 10.0
    assert view.depth_noise == recipe["depth_noise"]
    assert TrainedView.of_data_set(manifest, InputFormat(), depth_key="depth").depth_noise is None


def test_the_papers_camera_by_default():
    view = TrainedView()
    assert view.pixels_per_metre == pytest.approx(480 / 2 / np.tan(np.pi / 6) / 0.6)
    assert np.degrees(view.max_tilt) == pytest.approx(25.2, abs=0.1)


def test_plain_values_and_back():
    view = TrainedView(gripper=GripperGeometry(max_opening=0.08), input_format=InputFormat(modality="rgbd"))
    assert TrainedView.from_dict(view.to_dict(), "a") == view


@cache
def described():
    return DataSetRecipe().describe()


odd = st.one_of(st.none(), st.floats(), st.integers(-3, 3), st.text(max_size=3), st.lists(st.floats(), max_size=3))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(TrainedView().to_dict())), odd, st.booleans())
def test_odd_values_in_a_checkpoint_give_a_view_or_one_sentence(name, value, drop):
    values = TrainedView().to_dict()
    if drop:
        values.pop(name)
    else:
        values[name] = value
    try:
        view = TrainedView.from_dict(values, "a.ckpt")
    except InputError as error:
        text = str(error)
    else:
        text = ""
        assert isinstance(view, TrainedView)
    assert "\n" not in text
    assert text == "" or "a.ckpt" in text


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_odd_values_in_a_recipe_give_a_view_or_one_sentence(data):
    recipe = deepcopy(described())
    part, name = recipe, data.draw(st.sampled_from(["camera", "camera_height", "max_offset", "depth_noise", "gripper"]))
    if name == "labels" or (isinstance(part[name], dict) and data.draw(st.booleans())):
        part = part[name]
        name = data.draw(st.sampled_from(sorted(part)))
    part[name] = data.draw(odd)
    manifest = Manifest(name="odd", hash="a", recipe=recipe, counts=Counts.of([]), shards=())
    said = ""
    try:
        view = TrainedView.of_data_set(manifest, InputFormat())
        assert np.isfinite(view.pixels_per_metre)
        assert np.isfinite(astuple(view.gripper)).all()
    except InputError as error:
        said = str(error)
    assert "\n" not in said


def test_differences_name_both_values():
    ours = TrainedView()
    assert ours.differences(ours) == []
    other = replace(
        ours, bins=36, input_format=InputFormat(depth_scale=10.0), gripper=GripperGeometry(max_opening=0.08)
    )
    assert ours.differences(other) == ["bins 18 and 36", "depth_scale 1.0 and 10.0", "gripper.max_opening 0.1 and 0.08"]


@pytest.mark.parametrize(
    ("focal", "distance", "alike"),
    [(415.7, 0.6, True), (831.4, 0.6, True), (831.4, 1.2, True), (925, 0.37, False), (415.7, 1.2, False)],
)
def test_an_image_from_another_distance_is_said(focal, distance, alike):
    """A longer lens alone does no harm, nor a distance that the lens makes up for."""
    camera = PinholeCamera(64, 48, np.array([[focal, 0, 31.5], [0, focal, 23.5], [0, 0, 1]]))
    said = TrainedView().unlike(Observation(None, np.full((48, 64), distance, np.float32), camera))
    assert (said == "") == alike
    assert alike or f"{distance:.2g} m" in said


def test_max_opening_is_the_data_sets(bars_folder):
    data = PLGPDataModule(bars_folder, crop=128, max_opening=0.08)
    with pytest.raises(InputError, match=r"max_opening is 0\.08 m"):
        data.setup()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_quality_ap_is_the_same_with_and_without_enhancement(seed, guard):
    generator = torch.Generator().manual_seed(seed)
    shape, bins, n = (2, 16, 16), 6, 12
    labels = LabelBatch(
        *(torch.randint(0, high, (n,), generator=generator) for high in (2, 16, 16, bins)), torch.full((n,), 0.05)
    )
    mask = torch.randint(0, 2, shape, generator=generator) if guard else None
    logits = GraspMaps(*(torch.randn(2, c, 16, 16, generator=generator) for c in (1, bins, bins)))
    found = []
    for enhance in (False, True):
        metrics = GraspMetrics()
        metrics.update(logits, rasterise(labels, shape, bins, enhance=enhance, instance_mask=mask))
        found.append(
            {name: float(metric.compute()) for name, metric in metrics.items().items() if name != "rectangle_rate"}
        )
    assert found[0] == found[1]


def test_a_perfect_map_has_a_perfect_ap_and_its_inverse_none():
    labels = LabelBatch(*(torch.tensor([v]) for v in (0, 5, 5, 0)), torch.tensor([0.05]))
    target = rasterise(labels, (1, 16, 16), 6)
    for sign, wanted in ((1, 1.0), (-1, 1 / (16 * 16 - 8))):
        metrics = GraspMetrics()
        score = torch.where(target.quality == 1, 1.0, 0.0) * sign
        metrics.update(GraspMaps(20 * score, target.angle, target.width), target)
        assert float(metrics.quality_ap.compute()) == pytest.approx(wanted, rel=0.1)
