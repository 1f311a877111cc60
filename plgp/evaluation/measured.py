"""The scenes and the rules of a benchmark: as its settings choose them, and as its results remember them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sim.benchmark.protocol import BenchmarkSettings
from sim.benchmark.scene_sets import SceneSet, load_scene_set
from sim.benchmark.store import SceneKey
from sim.errors import InputError

MEASURED = "measured.yaml"  # beside the results: the scene set and the rules
COMPARISON, AGREEMENT = "comparison.csv", "agreement.csv"
ASKED_BY = {COMPARISON: "compare=POLICY", AGREEMENT: "physics=mujoco"}  # tables that not every command writes


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
    whole = isinstance(chosen.limit, Integral) and not isinstance(chosen.limit, bool)
    if chosen.limit is not None and not (whole and chosen.limit >= 1):
        raise InputError(f"limit is {chosen.limit}; give a whole number from 1 on, or null for all scenes")
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


def others_there(attempts: pd.DataFrame, folder: Path, removed: Sequence[str] = ()) -> list[str]:
    """Returns a sentence on each table of former commands that went, and on finished scenes that no table is of.

    Args:
        attempts: Rows of ``run_benchmark`` that the tables are of.
        folder: Folder of the results.
        removed: Names of tables that were removed because they were of other rows.
    """
    said = [
        f"{folder / name} was of a former command's attempts and is removed; give {ASKED_BY[name]} for one of these"
        for name in removed
        if not (folder / name).is_file()
    ]
    keys = attempts[["policy", "category", "scene"]].drop_duplicates().itertuples(index=False)
    own = {SceneKey(*key).file(folder) for key in keys}
    besides = len(set(folder.glob("*/*/scene-*.parquet")) - own)
    if besides:
        said.append(
            f"the tables are of this command's {len(own)} scene file{'s' * (len(own) > 1)} alone, and {besides} more "
            f"finished before in {folder} stay there; python -m plgp.report runs={folder} reads all"
        )
    return said


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
