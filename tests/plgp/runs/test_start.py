"""What a training starts with, and what of the user's own does not fit: said before the first step, or at the first."""

import math
from types import SimpleNamespace

import lightning
import pytest
import torch
from hydra import compose, initialize_config_module
from torch import nn

import labeler.dataset.generate  # noqa: F401
from plgp.losses import LossTerms
from plgp.module import GraspModule, build_network, load_module, scheduled
from plgp.policy.installed import find_checkpoint
from plgp.runs.checks import check_settings
from plgp.runs.fine_tuning import start_from
from plgp.runs.parts import doubt_about_network, network_differences
from plgp.runs.resume import check_weights, resumable
from plgp.targets import GraspMaps
from plgp.train import train
from sim.cli import drop_null_choices
from sim.errors import InputError
from sim.gripper import GripperGeometry

GGCNN2 = {"_target_": "plgp.networks.GGCNN2"}
FEW = ["data.recipe=null", "crop=64", "data.val_samples=2", "data.batch_size=2", "data.samples_per_epoch=4"]
FEW += ["callbacks=none", "logger=csv", "trainer.max_epochs=1"]


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=drop_null_choices(list(overrides)))


def module_of(**settings):
    torch.manual_seed(0)
    return GraspModule(GGCNN2, GripperGeometry(), **settings)


def saved(module, path):
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def ended(bars_folder, tmp_path_factory):
    """A run of one epoch, and its options."""
    folder, options = tmp_path_factory.mktemp("ended"), [*FEW, f"data.folder={bars_folder}"]
    train(composed(*options, f"output={folder}"))
    return folder, options


def test_a_training_starts_with_given_weights(ended, tmp_path):
    """At a learning rate of 0 they are still there at the end."""
    folder, options = ended
    best = folder / "checkpoints" / "best.ckpt"
    train(composed(*options, "seed=5", "optimizer.lr=0", f"start_from={best}", f"output={tmp_path}"))
    first, now = (load_module(run / "checkpoints" / "best.ckpt").network.state_dict() for run in (folder, tmp_path))
    assert all(torch.equal(first[key], now[key]) for key in first)


def test_weights_of_another_input_or_network_are_no_start(tmp_path):
    path = saved(module_of(), tmp_path / "plain.ckpt")
    for settings, words in (
        ({"depth_scale": 10.0}, "depth_scale 1.0, this run 10.0"),
        ({"bins": 12}, "bins 18, this run 12"),
        ({"modality": "rgb"}, "modality depth, this run rgb"),
    ):
        with pytest.raises(InputError, match=words):
            start_from(module_of(**settings), path)
    wide = GraspModule({**GGCNN2, "width": 2}, GripperGeometry(max_opening=0.2))
    with pytest.raises(InputError, match=r"max_opening 0.1, this run 0.2; network.width None, this run 2"):
        start_from(wide, path)


def test_an_installed_networks_name_is_a_start():
    name = "ggcnn2_depth"
    theirs = load_module(find_checkpoint(name))
    same = {**GGCNN2, "width": 1}  # an argument that the weights are older than
    ours = GraspModule(same, theirs.gripper, depth_scale=theirs.input_format.depth_scale)
    start_from(ours, name)
    assert all(torch.equal(v, theirs.network.state_dict()[k]) for k, v in ours.network.state_dict().items())


def test_a_training_says_what_a_checkpoint_means_to_it():
    with pytest.raises(InputError, match=r"start_from= begins a training with its weights, resume= goes on"):
        check_settings(composed("checkpoint=pretrained"))


def test_a_loss_may_learn_too():
    module = module_of()
    module.loss = nn.ParameterList([torch.zeros(3)])
    (group,) = module.configure_optimizers().param_groups
    assert any(p is module.loss[0] for p in group["params"])


def test_a_training_that_diverges_ends_in_a_sentence_and_leaves_what_was_saved(ended, tmp_path):
    folder, options = ended
    known = (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    with pytest.raises(InputError, match=r"diverged: after step 2 .* smaller optimizer.lr"):
        train(composed(*options, "optimizer.lr=1e30", f"output={tmp_path}"))
    assert not list(tmp_path.rglob("*.ckpt"))
    assert (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns == known


def test_a_mask_of_infinity_is_no_divergence():
    module = module_of()
    module.network.register_buffer("mask", torch.full((2, 2), -math.inf))
    module.on_save_checkpoint({})
    module.network.mask.fill_(math.nan)
    with pytest.raises(InputError, match="diverged"):
        module.on_save_checkpoint({})


def test_a_run_that_diverged_is_no_place_to_go_on(ended, tmp_path):
    folder, options = ended
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    next(iter(checkpoint["state_dict"].values())).fill_(math.nan)
    torch.save(checkpoint, tmp_path / "nan.ckpt")
    with pytest.raises(InputError, match="not numbers: that run diverged"):
        resumable(composed(*options, f"resume={tmp_path / 'nan.ckpt'}"))


def test_a_validation_without_numbers_has_no_loss():
    module = module_of()
    module.validation_loss.update(torch.tensor(0.3), weight=1.0)
    module.validation_loss.update(torch.tensor(math.nan), weight=1.0)
    assert math.isnan(module.validation_loss.compute())


def test_a_run_that_goes_on_with_another_loss_or_data_says_so(ended, capsys):
    folder, options = ended
    changed = ["loss=bce", "data.enhance=false", "data.flip=0", "trainer.max_epochs=2", "data.depth_noise=d435"]
    resumable(composed(*options, *changed, f"resume={folder}"))
    said = capsys.readouterr().err
    for words in (
        "data.enhance was True and is False from here on",
        "data.flip was 0.5 and is 0",
        "loss.",
        "data.depth_noise was None",
    ):
        assert words in said
    resumable(composed(*options, "trainer.max_epochs=2", "data.workers=1", f"resume={folder}"))
    assert capsys.readouterr().err == ""


def test_a_run_that_goes_on_with_a_network_of_another_size_is_refused():
    small, wide = (build_network({**GGCNN2, "width": width}, 1, 18) for width in (1, 2))
    weights = {f"network.{key}": value for key, value in small.state_dict().items()}
    checkpoint = {"state_dict": weights, "hyper_parameters": {"network": {**GGCNN2, "width": 1, "prior": 0.1}}}
    check_weights(small, {**GGCNN2, "width": 1}, checkpoint)
    with pytest.raises(InputError, match=r"has network.width 1, this run 2; give what it had"):
        check_weights(wide, {**GGCNN2, "width": 2}, checkpoint)
    assert network_differences({**GGCNN2, "prior": 0.1}, GGCNN2) == []


def test_networks_of_ones_own_package_are_trusted_by_name(tmp_path, monkeypatch):
    (tmp_path / "my_nets.py").write_text("from plgp.networks import GGCNN2\n\n\nclass Mine(GGCNN2):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = saved(GraspModule({"_target_": "my_nets.Mine"}, GripperGeometry()), tmp_path / "mine.ckpt")
    assert "PLGP_NETWORKS=my_nets" in doubt_about_network("my_nets.Mine")
    assert doubt_about_network("plgp.methods.dexnet.network.GQCNN") == ""
    with pytest.raises(InputError, match=r"if you trust its package, set PLGP_NETWORKS=my_nets"):
        load_module(path)
    monkeypatch.setenv("PLGP_NETWORKS", "others, my_nets")
    assert type(load_module(path).network).__name__ == "Mine"
    assert doubt_about_network("my_nets.Mine") == ""
    assert doubt_about_network("my_netsother.Mine") != ""


def test_what_cannot_be_built_says_why(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"GGCNN2.* has no setting 'foo'"):
        build_network({**GGCNN2, "foo": 1}, 1, 18)
    with pytest.raises(InputError, match=r"optimizer cannot be built: Invalid learning rate"):
        module_of(optimizer={"_target_": "torch.optim.Adam", "_partial_": True, "lr": -1.0}).configure_optimizers()
    with pytest.raises(InputError, match=r"loss cannot be built: .*GraspLoss has no setting 'foo'; it has "):
        module_of(loss={"_target_": "plgp.losses.GraspLoss", "foo": 1})
    (tmp_path / "needs_more.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    for target, why in (
        ("torch.optim.SDG", "'torch.optim.SDG' cannot be imported: torch.optim has no 'SDG'"),
        ("torchh.optim.SGD", "there is no module torchh"),
        ("needs_more.Mine", "its import fails: ModuleNotFoundError: No module named 'not_installed_anywhere'"),
    ):
        with pytest.raises(InputError, match=f"optimizer cannot be built: .*{why}"):
            module_of(optimizer={"_target_": target, "_partial_": True}).configure_optimizers()


def test_a_schedule_on_a_plateau_has_something_to_watch():
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    plateau = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "_partial_": True}
    found = scheduled(SimpleNamespace(), optimizer, {"partial": plateau, "interval": "epoch"})
    assert found["lr_scheduler"]["monitor"] == "val/loss"
    found = scheduled(SimpleNamespace(), optimizer, {"partial": plateau, "monitor": "val/quality_ap"})
    assert found["lr_scheduler"]["monitor"] == "val/quality_ap"


def test_a_loss_or_a_network_that_returns_something_else_is_named():
    module, maps = module_of(), GraspMaps(*(torch.zeros(1, k, 8, 8) for k in (1, 18, 18)))
    module.loss = nn.CosineSimilarity()
    with pytest.raises(InputError, match=r"loss CosineSimilarity returns a Tensor; return plgp.losses.LossTerms"):
        module._terms(torch.ones(2, 2), torch.ones(2, 2))
    assert isinstance(module_of()._terms(maps, maps), LossTerms)
    network = build_network(GGCNN2, 1, 18)
    network.bins = 17
    with pytest.raises(InputError, match=r"GGCNN2.features returns \(1, 37, 64, 64\); with 17 bins it must return"):
        network(torch.zeros(1, 1, 64, 64))
