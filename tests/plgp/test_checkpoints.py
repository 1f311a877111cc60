"""Checkpoints of every kind: one that plgp wrote, an old one, a broken one; and training's one input contract."""

import copy
import io
import logging
import pickle

import lightning
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plgp.data import PLGPDataModule
from plgp.data.trained_view import TrainedView
from plgp.module import GraspModule, load_module
from plgp.policy import NetworkPolicy
from sim.errors import InputError
from sim.gripper import GripperGeometry

SMALL = {"_target_": "plgp.networks.GGCNN2", "prior": None}


def saved(**changes):
    """Content of a checkpoint that plgp wrote."""
    module = GraspModule(SMALL, GripperGeometry())
    content = {"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}
    return content | {"trained_view": TrainedView().to_dict()} | changes


@pytest.fixture(scope="module")
def content():
    return saved()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints") / "a.ckpt"


def load_or_sentence(path):
    said = ""
    try:
        assert isinstance(load_module(path).trained_view, TrainedView)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert said == "" or str(path) in said or path.name in said
    return said


def test_an_old_checkpoint_has_the_papers_world_and_says_so(content, place, caplog):
    torch.save({k: v for k, v in content.items() if k != "trained_view"}, place)
    with caplog.at_level(logging.WARNING):
        view = load_module(place).trained_view
    assert (view.width, view.height, view.camera_height, view.gripper) == (640, 480, 0.6, GripperGeometry())
    assert caplog.text.count("does not say what it was trained on") == 1


def test_a_whole_checkpoint_is_silent(content, place, caplog):
    torch.save(content, place)
    with caplog.at_level(logging.WARNING):
        assert NetworkPolicy.from_checkpoint(place).trained_view == TrainedView()
    assert caplog.text == ""


def test_a_checkpoint_that_contradicts_itself(content, place):
    view = TrainedView(gripper=GripperGeometry(max_opening=0.08)).to_dict()
    torch.save(content | {"trained_view": view}, place)
    with pytest.raises(InputError, match=r"contradicts itself: gripper\.max_opening 0\.08 and 0\.1"):
        load_module(place)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=60, deadline=None, report_multiple_bugs=False)
@given(st.data())
def test_any_part_of_a_checkpoint_replaced(content, place, data):
    changed = copy.deepcopy(content)
    part, name = changed, data.draw(st.sampled_from(sorted(changed)))
    while isinstance(part[name], dict) and part[name] and data.draw(st.integers(0, 3)):
        part = part[name]
        name = data.draw(st.sampled_from(sorted(part)))
    if data.draw(st.booleans()):
        del part[name]
    elif isinstance(part[name], torch.Tensor) and data.draw(st.booleans()):
        part[name] = torch.zeros(data.draw(st.lists(st.integers(0, 3), max_size=4)))
    else:
        part[name] = data.draw(ODD)
    torch.save(changed, place)
    load_or_sentence(place)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bytes_of_a_checkpoint_changed(content, place, data):
    stream = io.BytesIO()
    torch.save({k: v for k, v in content.items() if k != "state_dict"} | {"state_dict": {}}, stream)
    broken = bytearray(stream.getvalue())
    if data.draw(st.booleans()):
        del broken[data.draw(st.integers(0, len(broken) - 1)) :]
    for index in data.draw(st.lists(st.integers(0, 4000), max_size=4)):
        if index < len(broken):
            broken[index] ^= data.draw(st.integers(1, 255))
    place.write_bytes(broken)
    assert load_or_sentence(place)  # it has no weights


class Bomb:
    """A pickle that would run code."""

    def __reduce__(self):
        return (print, ("boom",))


@pytest.mark.parametrize(
    "other", [[], 3, None, "text", {"state_dict": {}}, np.zeros(3), Bomb(), {"hyper_parameters": Bomb()}]
)
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_other_pickles(other, save, place, capsys):
    save(other, place)
    assert load_or_sentence(place)
    assert "boom" not in capsys.readouterr().out


def test_weights_that_are_no_numbers(content, place):
    weights = {
        k: torch.full_like(v, torch.nan) if v.is_floating_point() else v for k, v in content["state_dict"].items()
    }
    torch.save(content | {"state_dict": weights}, place)
    with pytest.raises(InputError, match="not numbers"):
        load_module(place)


def fit(data, net, **options):
    trainer = lightning.Trainer(
        max_steps=1,
        limit_val_batches=0,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(net, data, **options)
    return trainer


@pytest.mark.parametrize(
    ("of_data", "of_module", "words"),
    [
        ({"depth_scale": 10.0}, {}, "depth_scale 10.0 and 1.0"),
        ({}, {"depth_scale": 10.0}, "depth_scale 1.0 and 10.0"),
        ({"crop": 96}, {}, "window 96 and 64"),
        ({"modality": "rgbd"}, {}, "modality rgbd and depth"),
        ({"colours": "imagenet"}, {}, "colours imagenet and centred"),
        ({"bins": 6}, {}, "bins 6 and 18"),
        ({}, {"bins": 6}, "bins 18 and 6"),
        ({}, {"gripper": GripperGeometry(max_opening=0.08)}, "gripper.max_opening 0.1 and 0.08"),
        ({}, {"gripper": GripperGeometry(finger_width=0.04)}, "gripper.finger_width 0.017 and 0.04"),
    ],
)
def test_a_notebooks_data_and_module_must_agree(bars_folder, of_data, of_module, words):
    data = PLGPDataModule(bars_folder, **({"crop": 64, "translate_px": 4, "batch_size": 2} | of_data))
    net = GraspModule(SMALL, **({"gripper": GripperGeometry(), "window": 64} | of_module))
    with pytest.raises(InputError, match=words.replace(".", r"\.")) as caught:
        fit(data, net)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def last(bars_folder, tmp_path_factory):
    """A checkpoint that can be resumed."""
    data = PLGPDataModule(bars_folder, crop=64, translate_px=4, batch_size=2)
    path = tmp_path_factory.mktemp("last") / "last.ckpt"
    fit(data, GraspModule(SMALL, GripperGeometry(), window=64)).save_checkpoint(path)
    return path


def test_a_checkpoint_carries_plain_values(last):
    view = torch.load(last, weights_only=True)["trained_view"]
    assert view["recipe_hash"] == "bars"
    assert TrainedView.from_dict(view, "last").input_format.window == 64


@pytest.mark.parametrize("old", [False, True])
def test_resume_with_another_input_is_refused(last, bars_folder, tmp_path, old):
    """Also a checkpoint without a trained view: its settings say what it was."""
    content = torch.load(last, weights_only=True)
    if old:
        del content["trained_view"]
    torch.save(content, tmp_path / "last.ckpt")
    data = PLGPDataModule(bars_folder, crop=64, translate_px=4, batch_size=2, depth_scale=10.0)
    net = GraspModule(SMALL, GripperGeometry(), window=64, depth_scale=10.0)
    with pytest.raises(InputError, match=r"depth_scale 1\.0 and 10\.0; start a new run"):
        fit(data, net, ckpt_path=tmp_path / "last.ckpt", weights_only=True)


def test_resume_on_another_recipe_is_said(last, bars_folder, tmp_path, caplog):
    content = torch.load(last, weights_only=True)
    content["trained_view"]["recipe_hash"] = "another"
    torch.save(content, tmp_path / "last.ckpt")
    data = PLGPDataModule(bars_folder, crop=64, translate_px=4, batch_size=2)
    with caplog.at_level(logging.WARNING):
        fit(data, GraspModule(SMALL, GripperGeometry(), window=64), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert caplog.text.count("another recipe") == 1
