"""The help of a Hydra application: its text, the choices that it takes, its settings with the choices at hand."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from string import Template

from sim.cli.choices import CONF, FLAGS_WITH_WORD, drop_null_choices, own_groups, search_own

_WIDTH = 110


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for the application's help."""
    return bool({"-h", "--help"} & set(arguments))


def help_text(config_name: str, arguments: Sequence[str]) -> str:
    """Returns the help of an application; Hydra's own lists every group of conf/, also those of other commands.

    Args:
        config_name: The application's YAML.
        arguments: The command line without the program; its choices and settings stand in what is shown.
    """
    from hydra import compose, initialize_config_module
    from omegaconf import OmegaConf, open_dict

    words = pairwise(["", *drop_null_choices(arguments)])
    overrides = [word for before, word in words if not word.startswith("-") and before not in FLAGS_WITH_WORD]
    overrides += search_own(arguments)
    with initialize_config_module(CONF, version_base="1.3"):
        config = compose(config_name, overrides=overrides, return_hydra_config=True)
    template = Template(config.hydra.help.template)
    with open_dict(config):
        del config["hydra"]
    lines = [f"{group}: {', '.join(options)}" for group, options in own_groups(config_name).items()]
    groups = "\n".join(textwrap.fill(line, _WIDTH, subsequent_indent="    ", break_on_hyphens=False) for line in lines)
    return template.substitute(APP_CONFIG_GROUPS=f"{groups}\n", CONFIG=OmegaConf.to_yaml(config))
