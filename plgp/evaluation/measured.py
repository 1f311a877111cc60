"""The scenes and the rules of a benchmark: as its settings choose them, and as its results remember them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sim.benchmark.protocol import BenchmarkSettings
from sim.benchmark.scene_sets import SceneSet, load_scene_set
from sim.errors import InputError

MEASURED = "measured.yaml"  # beside the results: the scene set and the rules


def chosen_scenes(chosen: DictConfig) -> SceneSet:
    """Returns the scenes of the chosen categories, each cut to the limit.

    Args:
        chosen: The settings of conf/benchmark.yaml, or those of conf/final_benchmark.

    Raises:
        InputError: The scene set has no such category, or the limit is no number of scenes.
    """
    scenes: SceneSet = instantiate(chosen.scene_set, _convert_="all")
    asked = [chosen.category] if isinstance(chosen.category, str) else list(chosen.category)
    if asked == ["all"]:
        asked = list(scenes)
    unknown = [c for c in asked if c not in scenes]
    if unknown:
        raise InputError(f"category '{unknown[0]}' is not in the scene set; choose from {', '.join(scenes)}, or all")
    if chosen.limit is not None and chosen.limit < 1:
        raise InputError(f"limit is {chosen.limit}; give at least 1, or null for all scenes")
    return {category: scenes[category][: chosen.limit] for category in asked}


def save_measured(chosen: DictConfig, folder: Path, *, replace: bool = True) -> None:
    """Writes what ``measured_scenes`` and ``measured_rules`` read: scenes of one's own objects are known by no name.

    Args:
        chosen: The settings of conf/benchmark.yaml, or those of conf/final_benchmark.
        folder: Folder of the results.
        replace: Whether a note that is there is replaced.
    """
    if not replace and (folder / MEASURED).is_file():
        return
    plain = {name: OmegaConf.to_container(chosen[name], resolve=True) for name in ("scene_set", "settings")}
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(plain), folder / MEASURED)


def measured_scenes(folder: Path) -> SceneSet:
    """Returns the whole scene set of a benchmark; plgp-320-v2 where its results do not say (older ones).

    Scenes that were dropped for the benchmark are dropped again, from the same seed.

    Args:
        folder: Folder of the results.

    Raises:
        InputError: The note is broken, or its objects are not there any more.
    """
    known = _noted(folder, "scene_set")
    if known is None:
        return load_scene_set("plgp-320-v2")
    scenes: SceneSet = instantiate(known, _convert_="all")
    return scenes


def measured_rules(folder: Path) -> BenchmarkSettings | None:
    """Returns the settings of a benchmark; None where its results do not say (older ones).

    Args:
        folder: Folder of the results.

    Raises:
        InputError: The note is broken.
    """
    known = _noted(folder, "settings")
    rules: BenchmarkSettings | None = None if known is None else instantiate(known, _convert_="all")
    return rules


def _noted(folder: Path, part: str) -> Any:
    """Returns a part of what ``save_measured`` wrote, or None where it did not."""
    file = folder / MEASURED
    if not file.is_file():
        return None
    try:
        known = yaml.safe_load(file.read_text())[part]
        known["_target_"]
        return known
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read ({type(error).__name__}); remove it, and give scene_set=") from error
