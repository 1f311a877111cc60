"""GQ-CNN and FC-GQ-CNN on plgp's data: examples under three supervisions, training, and the policies that read it."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

from labeler.dataset.generate import generate
from labeler.dataset.recipe import DataSetRecipe
from labeler.pdg.explain import explain_pixel
from labeler.settings import LabelSettings
from labeler.shards import DataSet
from labeler.truth.execution import find_objects, rebuild_scene
from plgp.evaluation.runs import Run
from plgp.methods.dexnet import DexNetSettings, FCGQCNNPolicy, GQCNNPolicy, load_fc_gqcnn, load_gqcnn
from plgp.methods.dexnet.grasps import surface_pixels
from plgp.methods.dexnet.image import see
from plgp.methods.dexnet.network import FCGQCNN, GQCNN
from plgp.methods.dexnet.training import DexNetDataModule, DexNetModule, ExampleSettings, make_examples
from plgp.methods.dexnet.training.examples import observation_of
from plgp.methods.dexnet.training.pools import label_grasps
from plgp.methods.dexnet.training.store import examples_folder, prepare_examples, read_examples
from plgp.module import load_module
from plgp.train import train
from sim.camera import ParallelCamera
from sim.cli import input_error
from sim.errors import InputError
from sim.grasp import angle_to_bin
from sim.objects import ObjectSet
from sim.render import render_view

WEIGHTS = Path("/work/shared/weights")
public = pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"the public weights are not in {WEIGHTS}")
OFFSET = 0.0121


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=list(overrides))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A data set of three trays that can be rebuilt."""
    recipe = DataSetRecipe(
        objects=ObjectSet.pybullet(0, 40),
        labels=LabelSettings(),
        pixels_per_metre=2500.0,
        scenes=3,
        views=1,
        object_counts=(3,),
        seed=3,
    )
    return DataSet(generate(recipe, tmp_path_factory.mktemp("data") / "real", progress=False))


@pytest.fixture(scope="module")
def made(real):
    """The examples of the first image under each supervision."""
    objects = find_objects(real)
    few = {"all": {}, "sure": {}, "outcomes": {"positives": 12, "others": 36}}
    return {
        name: make_examples(real, 0, ExampleSettings(supervision=name, **more), objects=objects)
        for name, more in few.items()
    }


# --- examples


def test_a_label_is_executed_where_it_stands(real):
    """Label, example, policy: the tips end where the label has them, at the label's angle."""
    frame = real.read(0, ["depth"])
    clean = observation_of(frame, "depth")
    seen = see(clean, None, min_height=0.0)
    labels = label_grasps(frame["grasps"], clean, seen, bins=18, tip_offset=OFFSET)
    hand = DexNetSettings(gripper=real.manifest.gripper, opening=0.1, tip_offset=OFFSET, depth_margin=0.0)
    kept, poses = hand.reach(labels.grasps, seen)
    truth = frame["grasps"].to_pixel_grasps(18).to_poses(clean.depth, clean.camera)
    np.testing.assert_allclose(poses.translation[:, :2], truth.translation[:, :2], atol=1e-6)
    np.testing.assert_allclose(poses.rotation, truth.rotation, atol=1e-6)
    deeper = (poses.translation - truth.translation)[kept, 2]  # no deeper than an opening of 100 mm finds room
    assert deeper.max() < 1e-6
    assert np.median(deeper) > -0.002
    row, col = surface_pixels(truth.translation, clean.depth, clean.camera)
    assert (np.abs(row - frame["grasps"].row.astype(int)) <= 1).mean() > 0.95
    assert (np.abs(col - frame["grasps"].col.astype(int)) <= 1).mean() > 0.95


def test_labels_succeed_and_what_is_near_none_fails(made):
    rows = made["all"]
    assert set(rows.pool) == {"label", "antipodal", "near miss", "anywhere"}
    assert rows.success.tolist() == (rows.pool == "label").tolist()
    assert 20 <= rows.success.sum() <= 60
    assert (~rows.success).sum() > 100


def test_a_near_miss_is_no_label_and_drawn_labels_are_labels(real):
    frame = real.read(0, ["depth"])
    clean = observation_of(frame, "depth")
    labels = label_grasps(frame["grasps"], clean, see(clean, None, min_height=0.0), bins=18, tip_offset=OFFSET)
    rng = np.random.default_rng(0)
    assert not labels.without(labels.drawn(50, rng)).any()
    missed = labels.near_misses(300, rng)
    assert labels.without(missed).mean() > 0.5
    none = labels.grasps[:0]
    assert labels.without(none).tolist() == []


def test_only_what_finds_no_room_surely_fails(made, real):
    rows, every = made["sure"], made["all"]
    bad = rows[~rows.success]
    assert 0 < len(bad) < (~every.success).sum()
    assert rows.success.sum() == every.success.sum()
    assert bad.merge(every, how="inner").shape[0] == len(bad)  # the same grasps as of "all", fewer of them
    frame = real.read(0, ["depth", "objects"])
    clean, recipe = observation_of(frame, "depth"), real.manifest.recipe
    parallel = ParallelCamera.covering(recipe["pixels_per_metre"], recipe["parallel_side"])
    view = render_view(rebuild_scene(recipe, find_objects(real), frame), clean.camera, parallel, rgb=False)
    for grasp in bad.iloc[:: max(1, len(bad) // 3)].itertuples():
        centre = clean.camera.deproject(np.array([grasp.row]), np.array([grasp.col]), grasp.depth)
        row, col = surface_pixels(centre, view.depth, clean.camera)
        told = explain_pixel(view, int(row[0]), int(col[0]), gripper=real.manifest.gripper)
        assert set(told.reasons[angle_to_bin(grasp.angle, 18)]) <= {"contact", "symmetry", "sweep", "palm"}


def test_outcomes_are_what_came_of_the_grasps(made):
    rows = made["outcomes"]
    assert list(rows.columns) == list(made["all"].columns)
    labels, others = (rows[(rows.pool == "label") == own].success for own in (True, False))
    assert min(len(labels), len(others)) > 0
    assert labels.mean() >= 0.5  # a handful, with the hand opened to 80 mm
    assert labels.mean() > others.mean()


def test_examples_are_made_once_and_again_where_one_is_missing(bars_folder, tmp_path, monkeypatch):
    data, settings = DataSet(bars_folder), ExampleSettings(others=30)
    folder = prepare_examples(data, [0, 1], settings, place=tmp_path)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    (folder / "image-000001.parquet").unlink()
    assert prepare_examples(data, [0, 1], settings, place=tmp_path) == folder
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert examples_folder(data, ExampleSettings(others=31), tmp_path) != folder
    (folder / "image-000001.parquet").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"image-000001\.parquet is missing or broken; remove it"):
        read_examples(folder, 1)
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    with pytest.raises(InputError, match=r"give another data\.examples_folder"):
        prepare_examples(data, [0], settings, place=nowhere)


# --- crops


def module_of(folder, place, **more):
    data = DexNetDataModule(folder, examples_folder=place, examples=ExampleSettings(others=60), **more)
    data.prepare_data()
    return data


def test_crops_show_the_grasp_as_the_policy_would(bars_folder, tmp_path):
    """A third succeed, bars lie upright in aligned crops, and every epoch draws anew, the same in every process."""
    data = module_of(bars_folder, tmp_path, per_image=30)
    frames = data.frames(train=True)
    batch, again, later = frames[0, 0], frames[0, 0], frames[1, 0]
    assert batch.image.shape == (30, 96, 96)
    assert batch.success.sum() == 10
    torch.testing.assert_close(batch.image, again.image)
    assert not torch.equal(batch.angle, later.angle)
    good = batch.image[batch.success == 1]
    assert good[:, 48, 48].median() == pytest.approx(0.57 + 0.18, abs=0.002)  # the bar, shifted by 0.78 - 0.60
    assert good[:, 48, [30, 66]].median() == pytest.approx(0.78, abs=0.002)  # the floor on either side of it
    assert good[:, [40, 56], 48].median() == pytest.approx(0.75, abs=0.002)  # the bar goes on across the axis
    assert batch.depth[batch.success == 1].median() == pytest.approx(0.75 + 0.02 - OFFSET, abs=0.004)
    whole = data.frames(train=False)[0, 0]
    assert len(whole.success) > 60
    unturned = module_of(bars_folder, tmp_path, aligned=False).frames(train=False)[0, 0]
    assert not torch.equal(unturned.image, whole.image)
    torch.testing.assert_close(unturned.depth, whole.depth)


def test_validation_may_have_a_supervision_of_its_own(real, tmp_path):
    few = ExampleSettings(others=18, positives=6)
    data = DexNetDataModule(real.folder, examples=few, examples_folder=tmp_path, validated_on="outcomes", val_samples=1)
    data.prepare_data()
    assert sorted(p.name.partition("-")[0] for p in tmp_path.iterdir()) == ["all", "outcomes"]
    trained, validated = data.frames(train=True), data.frames(train=False)
    assert (trained.settings.supervision, validated.settings.supervision) == ("all", "outcomes")
    assert len(data.val_dataloader()) == 1
    assert len(next(iter(data.val_dataloader())).success) > 0


def test_an_image_of_nothing_gives_no_crops(bars_folder, tmp_path, monkeypatch):
    data = module_of(bars_folder, tmp_path)
    frames = data.frames(train=True)
    monkeypatch.setattr("plgp.methods.dexnet.training.data.see", lambda *some, **more: None)
    assert len(frames[0, 0].success) == 0


# --- training


def run(folder, out, experiment, *more):
    quick = ["data.recipe=null", f"data.folder={folder}", f"data.examples_folder={out / 'examples'}", "logger=none"]
    quick += ["+trainer.enable_progress_bar=false", "trainer.precision=32-true"]
    metrics = train(composed(f"experiment={experiment}", f"output={out}", *quick, *more))
    return metrics, out / "checkpoints" / "best.ckpt"


FEW = ["debug=overfit", "data.overfit=1", "data.batch_size=1", "data.examples.others=12", "data.examples.positives=8"]
FEW += ["data.images=2", "data.val_samples=1"]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["gqcnn", "fc_gqcnn"])
def test_a_few_images_are_learnt_by_heart(experiment, bars_folder, tmp_path):
    long = [*FEW, "data.samples_per_epoch=12", "trainer.max_epochs=2"]
    metrics, _ = run(bars_folder, tmp_path, experiment, *long, "callbacks.checkpoint.monitor=val/loss")
    assert metrics["val/average_precision"] > 0.9


@pytest.mark.parametrize("experiment", [pytest.param("gqcnn", marks=pytest.mark.slow), "fc_gqcnn"])
def test_a_training_is_read_by_the_policy_and_goes_on(experiment, bars_folder, tmp_path):
    short = [*FEW, "data.samples_per_epoch=2", "data.per_image=16", "trainer.max_epochs=1"]
    metrics, checkpoint = run(bars_folder, tmp_path, experiment, *short, "callbacks.checkpoint.monitor=val/loss")
    assert math.isfinite(metrics["val/loss"])
    kind = GQCNNPolicy if experiment == "gqcnn" else FCGQCNNPolicy
    frame = DataSet(bars_folder).read(0, ["depth_noisy"])
    grasps = kind(weights_file=checkpoint)(observation_of(frame, "depth_noisy"), 10)
    assert len(grasps) == 10
    with pytest.raises(InputError, match=f"measure it by policy={experiment} weights.{experiment}="):
        load_module(checkpoint)
    longer = [*short, f"resume={checkpoint.with_name('last.ckpt')}", "trainer.max_epochs=2"]
    again, _ = run(bars_folder, tmp_path, experiment, *longer, "callbacks.checkpoint.monitor=val/loss")
    assert math.isfinite(again["val/loss"])
    config = OmegaConf.load(tmp_path / "config.yaml")
    assert Run(tmp_path, config, pd.DataFrame(), None).recipe() == "supervision all, from scratch"
    other = load_fc_gqcnn if experiment == "gqcnn" else load_gqcnn
    with pytest.raises(InputError, match="give the other folder"):
        other(checkpoint)


@public
@pytest.mark.slow
def test_a_training_goes_on_from_the_public_weights(bars_folder, tmp_path):
    weights = f"module.weights_file={WEIGHTS / 'gqcnn_4.0_pj'}"
    tiny = ["data.images=1", "data.val_samples=1", "data.per_image=4", "trainer.max_epochs=1", "optimizer.lr=1e-6"]
    _, checkpoint = run(bars_folder, tmp_path, "gqcnn", *tiny, weights, "module.dense_only=true")
    ours, theirs = (load_gqcnn(file).state_dict() for file in (checkpoint, WEIGHTS / "gqcnn_4.0_pj"))
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=1e-3, rtol=1e-3)
        if name.startswith(("conv", "im_", "pose_")):
            assert torch.equal(ours[name], value)  # kept as they are


@public
@torch.inference_mode()
@pytest.mark.parametrize("name", ["gqcnn", pytest.param("fc_gqcnn", marks=pytest.mark.slow)])
def test_the_public_weights_know_our_labels(name, real, tmp_path):
    """Place, angle, depth and shift are theirs: labels score far above the same grasps turned by a right angle."""
    data = DexNetDataModule(real.folder, examples_folder=tmp_path, aligned=name == "gqcnn")
    data.prepare_data()
    batch = data.frames(train=False)[0, 0]
    good = batch.success == 1
    load = {"gqcnn": load_gqcnn, "fc_gqcnn": load_fc_gqcnn}[name]
    network = load(WEIGHTS / f"{name}_4.0_pj")
    if name == "gqcnn":
        straight, turned = (network.logits(im, batch.depth) for im in (batch.image, batch.image.transpose(1, 2)))
    else:
        straight, turned = (network.logits(batch.image, batch.depth, batch.angle + a) for a in (0, torch.pi / 2))
    q, q_turned = (x.softmax(dim=1)[good, 1].mean() for x in (straight, turned))
    assert q > 0.2
    assert q > 1.5 * q_turned


def test_the_dense_map_equals_the_head_on_a_crop():
    torch.manual_seed(0)
    network, image = FCGQCNN(18).eval(), 0.6 + 0.05 * torch.rand(100, 104)
    with torch.inference_mode():
        dense = network(image, torch.tensor([0.61]))[0]
        for i, j, k in ((0, 0, 0), (1, 2, 17), (0, 1, 9)):
            crop = image[4 * i : 4 * i + 96, 4 * j : 4 * j + 96][None]
            theta = torch.tensor([(k + 0.5) * torch.pi / 18 - torch.pi / 2])
            pair = network.logits(crop, torch.tensor([0.61]), theta).softmax(dim=1)
            torch.testing.assert_close(pair[0, 1], dense[i, j, k], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["experiment=gqcnn", "data.examples.supervision=some"], "supervision is 'some'; choose all, sure, outcomes"),
        (["experiment=gqcnn", "data.examples.others=0"], "others is 0; give a whole number from 1 on"),
        (["experiment=gqcnn", "data.per_image=0"], "per_image is 0"),
        (["experiment=gqcnn", "data.images=0"], "images is 0"),
        (["experiment=gqcnn", "module.dense_only=true"], "needs weights to start from"),
        (["experiment=gqcnn", "data.aligned=false"], "GQCNN needs crops of the other kind; give data.aligned=true"),
        (["experiment=fc_gqcnn", "data.aligned=true"], "give data.aligned=false"),
        (["data=crops"], "choose experiment=gqcnn or experiment=fc_gqcnn"),
        (["experiment=gqcnn", "callbacks=default"], "give callbacks=none"),
        (["module=dexnet"], "module.network is 'GGCNN2'; choose GQCNN or FCGQCNN"),
        (["experiment=gqcnn", "module.weights_file=nowhere"], "nowhere do not exist"),
        (["experiment=gqcnn", "data.examples.supervision=sure"], "does not say which objects it was made from"),
    ],
)
def test_what_does_not_fit_is_one_sentence(settings, message, bars_folder, tmp_path):
    common = [f"output={tmp_path}", "data.recipe=null", f"data.folder={bars_folder}", "logger=none"]
    if any("gqcnn" in s or "crops" in s for s in settings):
        common += [f"data.examples_folder={tmp_path / 'e'}", "data.images=1", "data.val_samples=1"]
        common += ["data.generate_workers=1"]
    common += [] if "callbacks=default" in settings else ["callbacks=none"]
    config = composed(*common, *settings, "+trainer.enable_progress_bar=false")
    with pytest.raises(Exception, match=r".") as caught:  # Hydra wraps what a constructor raises
        train(config)
    assert message in str(input_error(caught.value))


def test_checkpoints_of_others_are_named(tmp_path):
    for content in (b"broken", None):
        path = tmp_path / "other.ckpt"
        path.write_bytes(content) if content else torch.save({"state": 1}, path)
        with pytest.raises(InputError, match="is no checkpoint of GQ-CNN or FC-GQ-CNN"):
            load_gqcnn(path)
    with pytest.raises(InputError, match="no checkpoint at"):
        load_gqcnn(tmp_path / "none.ckpt")


def test_a_module_without_a_trainer_is_a_network():
    module = instantiate(composed("experiment=fc_gqcnn").module)
    assert isinstance(module, DexNetModule)
    assert sum(p.numel() for p in module.network.parameters()) == 633_716  # with 18 angles
    assert isinstance(DexNetModule({"_target_": "plgp.methods.dexnet.network.GQCNN"}).network, GQCNN)
