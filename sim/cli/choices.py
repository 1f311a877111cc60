"""The choices and settings of ``conf/`` on a command line: checked before Hydra sees them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from sim.errors import InputError

CONF = "plgp_conf"  # the package of the Hydra tree: in the repository it is conf/
# Choices that have been renamed: the former group -> today's.
FORMER = {"dataset": "recipe", "evaluation": "final_benchmark", "scenes": "scene_set"}
_LAUNCHERS = {"joblib": "joblib", "cpus": "joblib", "slurm": "submitit"}
_LAUNCHERS |= {"submitit_local": "submitit", "submitit_slurm": "submitit"}
# Flags of Hydra that a word follows.
FLAGS_WITH_WORD = {
    "--cfg",
    "-c",
    "--package",
    "-p",
    "--config-dir",
    "-cd",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
}
_INFO = ("--info", "-i")
_CONFIG_DIR = ("--config-dir", "-cd")
FLAGS_WITH_WORD |= set(_INFO)
# Choices that may be left out; of the others something must be there.
OPTIONAL = {
    *("loss", "optimizer", "scheduler", "decoder", "workspace", "recipe", "logger", "callbacks", "hydra/launcher"),
    *("final_benchmark", "experiment", "budget", "debug", "comparison"),
}
_NULL_MEANS = {"depth_noise": "none"}  # a preset that says the same


def conf_folder() -> Path:
    """Returns the folder of the Hydra tree."""
    return Path(next(iter(import_module(CONF).__path__)))


def own_folders(arguments: Sequence[str]) -> list[Path]:
    """Returns the folders of choices that a command line names with ``--config-dir``."""
    words = [word for flag, word in pairwise(arguments) if flag in _CONFIG_DIR]
    words += [word for flag, sign, word in (a.partition("=") for a in arguments) if sign and flag in _CONFIG_DIR]
    return [Path(word) for word in words]


def search_own(arguments: Sequence[str]) -> list[str]:
    """Returns the override by which ``compose`` finds what lies in ``own_folders``; none where there are none."""
    places = [str(folder.resolve()).replace("'", r"\'") for folder in own_folders(arguments)]
    listed = ",".join(f"'file://{place}'" for place in places)
    return [f"hydra.searchpath=[{listed}]"] if places else []


def own_groups(config_name: str) -> dict[str, list[str]]:
    """Returns the choices that an application takes: groups of conf/, each with its options, nested ones as paths.

    Args:
        config_name: The application's YAML.
    """
    groups = _groups_in(conf_folder(), f"{config_name}.yaml")
    return {group: _options(conf_folder() / group) for group in sorted(groups)}


def _options(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))


@cache
def _groups_in(root: Path, file: str) -> frozenset[str]:
    """Returns the groups in the defaults of a YAML, of the YAMLs that it extends, and of its groups' options."""
    groups: set[str] = set()
    for entry in _defaults_of(root / file):
        if isinstance(entry, str):
            if (root / f"{entry}.yaml").is_file():
                groups |= _groups_in(root, f"{entry}.yaml")
            continue
        group = str(next(iter(entry))).removeprefix("/")
        if " " in group or "@" in group:  # an override; a group that has another place than its own
            continue
        groups.add(group)
        for option in (root / group).rglob("*.yaml"):
            groups |= _groups_in(root, option.relative_to(root).as_posix())
    return frozenset(groups)


def _defaults_of(path: Path) -> Sequence[str | Mapping[str, object]]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, ten times as fast, is not in every build
    return (yaml.load(path.read_text(), loader) or {}).get("defaults", [])  # type: ignore[no-any-return]


def check_choices(arguments: Sequence[str], config_name: str = "train") -> None:
    """Raises InputError for a choice that conf/ does not have, before Hydra sees it.

    A choice is ``network=ggcnn2``, nested ones ``experiment=table2/unet_rgb``. Folders given by ``--config-dir``
    count as well; a launcher whose plugin is not installed is named. So is a word that is no choice and no setting, and
    a group of another command.

    Args:
        arguments: The command line without the program.
        config_name: The application's YAML.
    """
    line = " ".join(arguments)
    if "hydra.searchpath" in line:  # configurations that only Hydra can find
        return
    root = conf_folder()
    roots = [root, *own_folders(arguments)]
    own = set(re.findall(r"^(\w+):", (root / f"{config_name}.yaml").read_text(), re.MULTILINE))
    taken = own_groups(config_name)
    for before, argument in pairwise(["", *arguments]):
        _check_former(argument, own)
        if re.fullmatch(r"[\w/.-]+", argument) and argument[0] != "-" and before not in FLAGS_WITH_WORD:
            raise InputError(_not_said(argument, taken))
        match = re.fullmatch(r"\+{0,2}([\w/]+)=\[?([\w,/\-]+)\]?", argument)
        if not match:
            continue
        group, names = match[1], match[2].split(",")
        if group.startswith("hydra/"):
            _check_plugin(group, names)
            continue
        folders = [place / group for place in roots if (place / group).is_dir()]
        if folders and len(roots) == 1 and not argument.startswith("+") and group not in own | set(taken):
            raise InputError(_not_taken(group, names, taken))
        known = sorted({name for folder in folders for name in _options(folder)})
        if names == ["null"] and folders and group not in {*OPTIONAL, *_NULL_MEANS}:
            raise InputError(f"{group}=null leaves nothing to work with; choose one of {', '.join(known)}")
        for name in names if folders else ():
            if name not in (*known, "null"):
                close = difflib.get_close_matches(name, known, n=1)
                guess = f" (did you mean {group}={close[0]}?)" if close else ""
                none = ", or null for none" if group in OPTIONAL else ""
                raise InputError(f"unknown {group} '{name}'; choose one of {', '.join(known)}{none}{guess}")


def _not_said(word: str, taken: Mapping[str, Sequence[str]]) -> str:
    """Returns the sentence on a word without "="."""
    meant = [f"{group}={word}" for group, options in taken.items() if word in options]
    guess = f" (did you mean {meant[0]}?)" if meant else ""
    return f"'{word}' is neither a choice nor a setting; write group=option or key=value{guess}"


def _not_taken(group: str, names: Sequence[str], taken: Mapping[str, Sequence[str]]) -> str:
    """Returns the sentence on a group that the application does not take."""
    first, _, rest = group.partition("/")
    if first in taken and rest:
        return f"'{group}=' is no choice; write {first}={rest}/{','.join(names)}"
    return f"there is no choice of {group} here; choose of {', '.join(taken)}"


def _check_former(argument: str, own: set[str]) -> None:
    """Raises InputError for a former name, unless the application has a setting ``own`` of that name."""
    match = re.match(r"[+~]{0,2}(\w+)(?=[.=@]|$)", argument)
    if match and match[1] in FORMER and match[1] not in own:
        new = FORMER[match[1]]
        raise InputError(f"'{match[1]}' is called {new} now; write {argument.replace(match[1], new, 1)}")


def _check_plugin(group: str, names: Sequence[str]) -> None:
    for name in names if group == "hydra/launcher" else ():
        if name in _LAUNCHERS and find_spec(f"hydra_plugins.hydra_{_LAUNCHERS[name]}_launcher") is None:
            raise InputError(f"{group}={name} needs Hydra's {_LAUNCHERS[name]} launcher: pip install 'plgp[launchers]'")


def drop_null_choices(arguments: Sequence[str]) -> list[str]:
    """Returns the command line with ``group=null`` as ``~group``, the only form that Hydra takes, or as its preset."""
    root = conf_folder()
    matches = [(a, re.fullmatch(r"(\w+)=null", a)) for a in arguments]
    found = [(a, m[1] if m and (root / m[1]).is_dir() else None) for a, m in matches]
    return [a if g is None else f"{g}={_NULL_MEANS[g]}" if g in _NULL_MEANS else f"~{g}" for a, g in found]


def setting_names(arguments: Sequence[str], config_name: str) -> list[str]:
    """Returns the dotted names of an application's settings, with the choices of conf/ among ``arguments``."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    roots = [conf_folder(), *own_folders(arguments)]
    choices = [
        a for a in arguments if (m := re.match(r"([\w/]+)=[^,]*$", a)) and any((r / m[1]).is_dir() for r in roots)
    ]
    GlobalHydra.instance().clear()
    with initialize_config_module(CONF, version_base="1.3"):
        config = OmegaConf.to_container(
            compose(config_name, overrides=[*drop_null_choices(choices), *search_own(arguments)])
        )

    def dotted(node: object, path: str) -> Iterator[str]:
        for key, value in node.items() if isinstance(node, dict) else ():
            yield f"{path}{key}"
            yield from dotted(value, f"{path}{key}.")

    return list(dotted(config, ""))


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Returns a command line with Hydra's flags before the settings: between them its parser does not take any.

    Args:
        arguments: The words, flags and settings in any order.
    """
    flags: list[str] = []
    others: list[str] = []
    for before, argument in pairwise(["", *arguments]):
        word = before in FLAGS_WITH_WORD and not (before in _INFO and "=" in argument)
        (flags if word or argument.startswith("-") else others).append(argument)
    # Of all flags that a word follows --info alone does without; then it must not take a setting for its word.
    bare = [flag in _INFO and (not after or after.startswith("-")) for flag, after in pairwise([*flags, ""])]
    return [f"{_INFO[0]}=all" if alone else flag for flag, alone in zip(flags, bare, strict=True)] + others
