"""The help of every Hydra command: it lists what the command takes, and nothing else."""

import re
import sys

import pytest
from hydra import compose, initialize_config_module

import plgp.train  # noqa: F401  its resolver of conf/trainer
from sim.cli import FLAGS_WITH_WORD, check_choices, conf_folder, help_text, own_groups, run_hydra
from sim.errors import InputError

COMMANDS = sorted(p.stem for p in conf_folder().glob("*.yaml") if "  help:" in p.read_text())
SHARED = ("check", "capture", "table5")  # their groups are those of pick, or some of them


def listed(text):
    """Choices that a help lists: group -> options."""
    lines = text.partition("Choices (group=option):\n")[2].partition("\n\n")[0].replace("\n    ", " ").splitlines()
    return {group: options.split(", ") for group, _, options in (line.partition(": ") for line in lines)}


def test_these_are_the_commands():
    assert COMMANDS == ["benchmark", "capture", "check", "generate", "pick", "predict", "sim", "table5", "train"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_groups_that_the_command_composes(command):
    text = help_text(command, ["--help"])
    choices = listed(text)
    assert choices == own_groups(command)
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose(command, return_hydra_config=True)
    chosen = {g.partition("@")[0] for g in config.hydra.runtime.choices if not g.startswith("hydra/")}
    assert chosen <= set(choices)
    assert all((conf_folder() / group / f"{name}.yaml").is_file() for group in choices for name in choices[group])
    assert "policy" in choices or "policies:" not in text  # a list of choices is among them
    assert "\nhydra:" not in text


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {*SHARED, "train"}))  # train's: tests/plgp/test_train.py
def test_the_last_options_of_all_groups_compose(command):
    words = [f"{group}={options[-1]}" for group, options in own_groups(command).items()]
    check_choices(words, command)
    with initialize_config_module("plgp_conf", version_base="1.3"):
        compose(command, overrides=words)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_composes(command):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        for group, options in own_groups(command).items():
            for option in options:
                check_choices([f"{group}={option}"], command)
                compose(command, overrides=[f"{group}={option}"])


@pytest.mark.parametrize(
    ("command", "word", "message"),
    [
        ("benchmark", "robot=sim_ur5e", "no choice of robot here; choose of appearance, benchmark,"),
        ("check", "policy=oracle", "no choice of policy here; choose of appearance, arm,"),
        ("train", "experiment/table2=unet_rgb", "write experiment=table2/unet_rgb"),
        ("benchmark", "table4", r"did you mean comparison=table4\?"),
        ("train", "fast", r"did you mean recipe=fast\?"),
        ("generate", "my.stl", "neither a choice nor a setting; write group=option or key=value$"),
    ],
)
def test_words_that_a_command_does_not_take(command, word, message):
    with pytest.raises(InputError, match=message):
        check_choices([word], command)


def test_words_that_it_takes():
    check_choices(["network=unet", "-m", "seed=0,1", "--cfg", "job", "+policy=random", "~loss", "tags=[a]"], "train")
    assert {"--cfg", "-cd"} <= FLAGS_WITH_WORD


def test_help_shows_the_choices_at_hand_and_refuses_wrong_ones(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plgp-train", "--help", "network=unet", "final_benchmark=null"])
    run_hydra(print, "train")
    assert re.search(r"network:\n  _target_: plgp.networks.UNet", capsys.readouterr().out)
    monkeypatch.setattr(sys, "argv", ["plgp-train", "--help", "seeds=3"])
    with pytest.raises(SystemExit) as caught:
        run_hydra(print, "train")
    assert caught.value.code == 2
    assert "there is no setting 'seeds' (did you mean seed=?)" in capsys.readouterr().err
