"""Which trainings are seeds of one another: whatever changes the weights or the choice of them tells two apart."""

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import labeler.dataset.generate  # noqa: F401
import plgp.train  # noqa: F401  # its resolvers
from plgp.runs.what_was_trained import loss_text, resumed_from, start_of, what_was_trained

ELEMENT = "module.loss.element"
POLICY = "plgp.policy.NetworkPolicy.from_checkpoint"


@pytest.fixture(scope="module")
def plain():
    """A training's whole configuration, as its config.yaml holds it."""
    words = ["output=/tmp/runs/one", "trainer.precision=32-true"]
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("train", overrides=words)
    return OmegaConf.create(OmegaConf.to_container(config, resolve=True))


def changed(config, *words):
    return OmegaConf.merge(config, OmegaConf.from_dotlist(list(words)))


def with_loss(config, **element):
    other = config.copy()
    other.module.loss.element = element
    return other


@pytest.mark.parametrize(
    "word",
    [
        *(
            "start_from=pretrained",
            "trainer.devices=8",
            "trainer.num_nodes=2",
            "decoder.depth_margin=0",
            "ablation.mine=3",
        ),
        *("trainer.gradient_clip_val=0.1", "trainer.accumulate_grad_batches=8", "trainer.precision=bf16-mixed"),
        *("trainer.limit_train_batches=1", "trainer.max_steps=5", "trainer.max_time=00-00-01", "trainer.max_epochs=5"),
        *("callbacks.checkpoint.monitor=benchmark/SR", "callbacks.benchmark.scenes=5", "module.optimizer.lr=1"),
        *("decoder.floor_margin=null", f"{ELEMENT}.gamma=0", "data.depth_noise=d435"),
        f"final_benchmark.policies.network={{_target_: {POLICY}, turns: 4}}",
    ],
)
def test_what_changes_a_training_tells_it_apart(plain, word):
    assert what_was_trained(changed(plain, word)) != what_was_trained(plain)


def test_callbacks_that_stop_or_average_tell_apart(plain):
    for name, target in (
        ("early", "EarlyStopping"),
        ("ema", "EMAWeightAveraging"),
        ("swa", "StochasticWeightAveraging"),
    ):
        other = plain.copy()
        other.callbacks[name] = {"_target_": f"lightning.pytorch.callbacks.{target}"}
        assert what_was_trained(other) != what_was_trained(plain)


@pytest.mark.parametrize(
    "word",
    [
        *("seed=3", "output=/tmp/runs/two", "name=two", "group=g", "tags=[a]", "logger=null", "data.workers=4"),
        *(
            "resume=auto",
            "resume=runs/one",
            "resume=elsewhere/last.ckpt",
            "trainer.accelerator=gpu",
            "trainer.devices=-1",
        ),
        *("trainer.devices=auto", "trainer.profiler=simple"),
        *("trainer.log_every_n_steps=1", "objective=val/loss", "callbacks.pictures=null", "callbacks.report=null"),
        *("callbacks.benchmark.workers=2", "module.optimizer.lr=1e-3", "final_benchmark.limit=3"),
        *("trainer.max_steps=-1", "decoder.floor_margin=0.003", "callbacks.mine.scenes=3"),
        f"final_benchmark.policies.network={{_target_: {POLICY}, turns: 1, device: cuda}}",
    ],
)
def test_names_places_and_speed_do_not(plain, word):
    assert what_was_trained(changed(plain, word)) == what_was_trained(plain)


def test_former_runs_lack_settings_that_stand_at_their_defaults_now(plain):
    former = plain.copy()
    for key in ("decoder.full_depth", "data.guard", "callbacks.checkpoint.mode", "trainer.max_time"):
        place, _, name = key.rpartition(".")
        OmegaConf.select(former, place).pop(name)
    del former.start_from, former.world
    assert what_was_trained(former) == what_was_trained(changed(plain, "callbacks.checkpoint.mode=min"))


def test_table_iii_leaves_out_its_own_two_losses_and_no_other(plain):
    shared = what_was_trained(plain, ablated=True)
    cross_entropy = with_loss(plain, _target_="plgp.losses.BinaryCrossEntropyLoss")
    for same in (cross_entropy, changed(plain, "data.enhance=false"), changed(plain, f"{ELEMENT}.alpha=0.95")):
        assert what_was_trained(same, ablated=True) == shared
    others = [with_loss(plain, _target_="plgp.losses.MeanSquareErrorLoss"), changed(plain, f"{ELEMENT}.alpha=0.5")]
    for other in (*others, changed(plain, f"{ELEMENT}.gamma=0"), changed(plain, "module.loss.beta_width=1")):
        assert what_was_trained(other, ablated=True) != shared


@pytest.mark.parametrize(
    ("element", "text"),
    [
        ({}, ""),
        ({"_target_": "plgp.losses.BinaryFocalLoss", "alpha": 0.95, "gamma": 2}, ""),
        ({"_target_": "plgp.losses.BinaryFocalLoss", "alpha": 0.5, "gamma": 0}, "focal loss with alpha 0.5, gamma 0"),
        ({"_target_": "plgp.losses.BinaryCrossEntropyLoss"}, "no focal loss"),
        ({"_target_": "plgp.losses.MeanSquareErrorLoss"}, "mean square error"),
        ({"_target_": "mine.Own"}, "loss of a map Own"),
    ],
)
def test_losses_are_named(element, text):
    assert loss_text({"_target_": "plgp.losses.GraspLoss", "element": element}) == text
    assert loss_text({"_target_": "mine.Whole", "element": element}) == "loss Whole"


def test_seeds_that_were_trained_on_in_new_folders_are_seeds_and_their_start_is_named(plain):
    """Whether the former run still lies there when the report is written is no part of what was trained."""
    longer = [changed(plain, f"seed={s}", f"resume=runs/old{s}", "trainer.max_epochs=200") for s in (0, 1)]
    assert what_was_trained(longer[0]) == what_was_trained(longer[1])
    assert what_was_trained(longer[0]) == what_was_trained(changed(plain, "trainer.max_epochs=200"))
    assert [resumed_from(config) for config in longer] == ["resumed from runs/old0", "resumed from runs/old1"]
    for own in ("null", "auto", "runs/one", "/tmp/runs/one/checkpoints/last.ckpt"):
        assert resumed_from(changed(plain, f"resume={own}")) is None
    assert start_of(longer[0]) is None
    assert start_of(changed(plain, "start_from=pretrained")) == "from pretrained"


def test_the_batch_of_all_processes_counts_where_their_number_is_known(plain):
    two = what_was_trained(changed(plain, "trainer.devices=2"))
    for same in ("trainer.devices=[0,3]", "trainer.devices='0,3'", "trainer.devices='2'", "trainer.num_nodes=2"):
        assert what_was_trained(changed(plain, same)) == two
    for single in ("trainer.devices=[3]", "trainer.devices='1'", "trainer.num_nodes=1"):
        assert what_was_trained(changed(plain, single)) == what_was_trained(plain)


def test_former_runs_lack_whole_parts_that_stand_at_their_defaults_now(plain):
    former = plain.copy()
    del former.decoder, former.workspace
    assert what_was_trained(former) == what_was_trained(plain)
    for other in ("decoder.depth_margin=0", "workspace.minimum=[0,0,0]", "workspace.tray.floor=0.5"):
        assert what_was_trained(changed(plain, other)) != what_was_trained(former)
