"""Policies measured side by side: what ``python -m plgp.benchmark`` and the end of a training run do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from plgp.evaluation.measured import AGREEMENT, ASKED_BY, COMPARISON, chosen_scenes, others_there, save_measured
from plgp.evaluation.notes import RULES, unusual_rules, warnings_of
from sim.benchmark.observation import noiseless_view, observe
from sim.benchmark.protocol import BenchmarkSettings, GraspPolicy
from sim.benchmark.runner import attempt_progress, run_benchmark
from sim.benchmark.scene_sets import SceneSet
from sim.benchmark.statistics import compare, count_reasons, summarise
from sim.cli import input_error
from sim.drawing.friction_figure import plot_frictions
from sim.drawing.replay import check_films, write_replays
from sim.drawing.scene_page import write_policy_page
from sim.errors import InputError
from sim.files import checksum
from sim.grasp import PixelGrasps
from sim.identity.code import SHIPPED
from sim.interchange.observation_files import write_observation
from sim.judge.agreement import describe_agreement
from sim.judge.mujoco_world import load_mujoco
from sim.judge.second_attempts import judge_attempts
from sim.scene import SceneState
from sim.view import Observation

if TYPE_CHECKING:
    from plgp.policy.workspace import Workspace

PHYSICS = ("bullet", "mujoco")
DESCRIPTIONS = "policies.yaml"  # beside the results: what each policy was
ATTEMPTS = "attempts.csv"


def evaluate(chosen: DictConfig, output: str | Path) -> pd.DataFrame:
    """Measures every policy on the same scenes; prints, writes and draws.

    Args:
        chosen: The settings of conf/benchmark.yaml, or those of conf/final_benchmark.
        output: Folder for a Parquet file a policy, category and scene, ``policies.yaml``, ``attempts.csv``,
            ``summary.csv``, ``reasons.csv``, ``comparison.csv``, ``agreement.csv`` with ``physics=mujoco``,
            ``measured.yaml`` (see ``save_measured``), ``frictions.png`` and pictures.
            What is finished there is not measured again. The tables are of this call's scenes: what a former call
            measured there besides is told of, and tables of it that this call does not write anew are removed.

    Returns:
        The summary of ``sim.benchmark.statistics.summarise``.

    Raises:
        InputError: A choice that does not exist, or ``output`` holds results of other settings.
    """
    folder = Path(output)
    policies, left_out = _policies(chosen.policies, skip_missing=bool(chosen.get("skip_missing", False)))
    _say(left_out)
    if chosen.compare is not None and chosen.compare not in policies:
        raise InputError(f"compare={chosen.compare} is not among the policies measured ({', '.join(policies)})")
    _check_physics(chosen)
    check_films(_query(chosen), chosen.gif.count)
    rules: BenchmarkSettings = instantiate(chosen.settings, _convert_="all")
    scenes = chosen_scenes(chosen)
    _note(chosen, policies, rules, folder, replace=False)  # what is there may be of other settings, which are refused
    tables = []
    with attempt_progress() as progress:
        for name, (policy, about) in policies.items():
            for part in scenes.values():
                rows = run_benchmark(
                    policy,
                    part,
                    chosen.frictions,
                    rules,
                    chosen.workers,
                    progress,
                    folder,
                    chosen.backend,
                    about,
                    name,
                )
                tables.append(rows)
    _note(chosen, policies, rules, folder)
    attempts = pd.concat(tables, ignore_index=True)
    summary = summarise(attempts)
    removed = _write_tables(attempts, summary, folder)
    print_summary(summary)
    if chosen.compare is not None and len(policies) > 1:
        differences = compare(attempts, chosen.compare)
        differences.to_csv(folder / COMPARISON, index=False)
        print_comparison(differences)
    plot_frictions(attempts, folder / "frictions.png")
    if chosen.get("physics", PHYSICS[0]) == "mujoco":
        _judge(attempts, scenes, rules, workers=chosen.workers, folder=folder)
    # What is left out again, where it is read.
    _say([*left_out, *warnings_of(attempts, rules.gripper.max_opening), *others_there(attempts, folder, removed)])
    _draw_all(chosen, {name: p for name, (p, _) in policies.items()}, scenes, attempts, rules, folder)
    return summary


def _say(sentences: Sequence[str]) -> None:
    print(*sentences, sep="\n", end="\n" * bool(sentences))


def _write_tables(attempts: pd.DataFrame, summary: pd.DataFrame, folder: Path) -> list[str]:
    """Writes the tables that every command writes; returns the names of others that are of other attempts: removed."""
    before = _lines(folder / ATTEMPTS)
    attempts.to_csv(folder / ATTEMPTS, index=False)
    summary.to_csv(folder / "summary.csv", index=False)
    count_reasons(attempts).to_csv(folder / "reasons.csv", index=False)
    stale = [name for name in ASKED_BY if (folder / name).is_file()] if before != _lines(folder / ATTEMPTS) else []
    for name in stale:
        (folder / name).unlink()
    return stale


def _lines(path: Path) -> list[bytes]:
    """Returns a table's lines in an order that does not depend on its policies'; none where it is not there."""
    return sorted(path.read_bytes().splitlines()) if path.is_file() else []


def _check_physics(chosen: DictConfig) -> None:
    """Raises InputError for an engine that is not known or not installed, before anything is measured."""
    physics = chosen.get("physics", PHYSICS[0])
    if physics not in PHYSICS:
        raise InputError(f"physics is '{physics}'; choose {' or '.join(PHYSICS)}")
    if physics == "mujoco":
        load_mujoco()


def _judge(attempts: pd.DataFrame, scenes: SceneSet, rules: BenchmarkSettings, *, workers: int, folder: Path) -> None:
    """Executes the ranked grasps in MuJoCo as well; prints and writes where the two engines agree."""
    judged = judge_attempts(attempts, scenes, rules, workers=workers, folder=folder / "mujoco")
    judged.to_csv(folder / AGREEMENT, index=False)
    for policy, rows in judged.groupby("policy", sort=False):
        print(describe_agreement(rows, f"{policy}'s ranked grasps"))


def write_observations(chosen: DictConfig, folder: str | Path) -> int:
    """Writes every chosen scene's first observation, whose grasps AP ranks, for another program.

    Args:
        chosen: The settings of conf/benchmark.yaml.
        folder: Folder of the observations; see ``sim.interchange.write_observation``.

    Returns:
        Number of observations.
    """
    rules: BenchmarkSettings = instantiate(chosen.settings, _convert_="all")
    states = [(number, state) for part in chosen_scenes(chosen).values() for number, state in enumerate(part)]
    for number, state in states:
        write_observation(observe(state, rules, [rules.seed, number, 0]), folder)
    return len(states)


class _Lacking(InputError):
    """A policy cannot be made because its weights are not there."""


def _policies(configs: DictConfig, *, skip_missing: bool) -> tuple[dict[str, tuple[GraspPolicy, str]], list[str]]:
    """Returns the policies by their names in the configuration, and a sentence on each that is left out.

    With each policy comes what distinguishes it. Those that lack a checkpoint are left out; with ``skip_missing`` those
    that lack weights of other methods, too.
    """
    policies: dict[str, tuple[GraspPolicy, str]] = {}
    left_out = []
    for key, entry in configs.items():
        name = str(key)
        plain: Any = OmegaConf.to_container(entry, resolve=True)
        if "path" in plain and plain["path"] is None:
            left_out.append(f"policy '{name}' needs a network: left out (give checkpoint=FILE)")
            continue
        try:
            policies[name] = _policy(name, plain)
        except _Lacking as error:
            if not skip_missing:
                raise
            left_out.append(f"policy '{name}' is left out: {error}")
    if not policies:
        raise InputError("no policy is left to measure; give a checkpoint, or another policy=")
    return policies, left_out


def _policy(name: str, plain: dict[str, Any]) -> tuple[GraspPolicy, str]:
    """Returns a policy of its plain configuration, and what distinguishes it; raises InputError."""
    from plgp.policy.installed import find_checkpoint, pretrained_checkpoint

    missing = [f"policies.{name}.{setting}" for setting, value in plain.items() if value == "???"]
    if missing:
        raise _Lacking(f"{missing[0]} is not given; say {missing[0]}=...")
    if str(plain.get("_target_")).endswith(".NetworkPolicy.from_checkpoint"):
        plain["path"] = str(find_checkpoint(plain["path"]))
    try:
        policy: GraspPolicy = instantiate(plain, _convert_="all")
    except Exception as error:
        known = input_error(error)
        if known is not None and plain.get("weights_file", "") is None:  # what is not named is not installed
            raise _Lacking(str(known)) from error
        raise
    ours = "NetworkPolicy" in str(plain.get("_target_"))  # where its network runs makes no other policy
    about = OmegaConf.to_yaml(_identify({k: v for k, v in plain.items() if k != "device" or not ours}))
    if "weights" in plain:  # what is installed may change under its name
        about += checksum(pretrained_checkpoint(plain["weights"]))
    return policy, about


def _note(
    chosen: DictConfig,
    policies: dict[str, tuple[GraspPolicy, str]],
    rules: BenchmarkSettings,
    folder: Path,
    *,
    replace: bool = True,
) -> None:
    """Writes beside the results what is measured and which policies; without ``replace`` what is there stays."""
    save_measured(chosen, folder, replace=replace)
    _describe(policies, folder / DESCRIPTIONS, rules, replace=replace)


def _describe(
    policies: dict[str, tuple[GraspPolicy, str]], path: Path, rules: BenchmarkSettings, *, replace: bool = True
) -> None:
    """Writes what each policy is and which of its rules are unusual, for ``plgp.report``.

    Policies that were measured there before stay in the file; without ``replace`` their rules do, too.
    """
    known: Any = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
    for name, (policy, _) in policies.items():
        former, unusual = known.get(name), unusual_rules(rules)
        if former is not None and not replace:
            unusual = former.get(RULES, [])
        described = policy.describe() if hasattr(policy, "describe") else {}
        known[name] = {"policy": type(policy).__name__, **described} | ({RULES: unusual} if unusual else {})
    path.parent.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(known), path)


def _identify(config: Any) -> Any:
    """Returns a policy's configuration by content.

    A file counts by its bytes, wherever it lies; one of plgp's own classes by its name, in whatever module it stands.
    """
    if isinstance(config, dict):
        return {k: _class_name(v) if k == "_target_" else _identify(v) for k, v in config.items()}
    if isinstance(config, list):
        return [_identify(v) for v in config]
    try:
        return checksum(config) if isinstance(config, str) and config and Path(config).is_file() else config
    except (OSError, ValueError):  # a text that can be no file's name
        return config


def _class_name(target: str) -> str:
    """Returns a target of plgp's own without its modules: ``NetworkPolicy.from_checkpoint``."""
    first, *rest = str(target).split(".")
    return ".".join(part for part in rest if part[:1].isupper() or part == rest[-1]) if first in SHIPPED else target


def print_summary(summary: pd.DataFrame) -> None:
    """Prints a summary as one table: a row a policy and category, SR / PC / AP a friction.

    The last column is the mean's 95 % interval; a star marks privileged policies.
    """
    frictions = list(dict.fromkeys(summary.friction))
    table = Table(title="SR / PC / AP in percent; * privileged: sees the noiseless scene")
    for head in ("policy", "category"):
        table.add_column(head, no_wrap=True)
    for friction in frictions:
        table.add_column("mean" if friction == "mean" else f"friction {friction}", justify="right")
    table.add_column("95 % of the mean, over scenes", justify="right")
    table.add_column("attempts", justify="right")
    for (policy, category), rows in summary.groupby(["policy", "category"], sort=False):
        by_friction = rows.set_index("friction")
        cells = [
            f"{r.SR:.1f} / {r.PC:.1f} / {r.AP:.1f}".replace("nan", "-") for r in by_friction.loc[frictions].itertuples()
        ]
        mean = by_friction.loc["mean"]
        bounds = " / ".join(f"{mean[f'{n}_low']:.0f}-{mean[f'{n}_high']:.0f}" for n in ("SR", "PC", "AP"))
        bounds = "-" if "nan" in bounds else bounds  # one scene says nothing about others
        star = "*" if mean.privileged else ""
        table.add_row(f"{policy}{star}", str(category), *cells, bounds, str(mean.attempts))
    _print(table)


def print_comparison(differences: pd.DataFrame) -> None:
    """Prints the mean over frictions of paired differences with their 95 % intervals."""
    table = Table(title=f"difference from {differences.baseline.iloc[0]} on the same scenes, mean over frictions")
    for head in ("policy", "category"):
        table.add_column(head, no_wrap=True)
    for name in ("SR", "PC", "AP"):
        table.add_column(name, justify="right")
    for row in differences[differences.friction == "mean"].to_dict("records"):
        cells = [
            f"{row[f'{n}_difference']:+.1f} ({row[f'{n}_low']:+.1f} ... {row[f'{n}_high']:+.1f})"
            for n in ("SR", "PC", "AP")
        ]
        cells = [c.replace(" (+nan ... +nan)", "") for c in cells]
        table.add_row(str(row["policy"]), str(row["category"]), *cells)
    _print(table)


def _print(table: Table) -> None:
    # In a file or a pipe rich takes 80 columns and folds the table: keep its rows whole.
    Console(width=None if sys.stdout.isatty() else 180).print(table)


def _draw_all(
    chosen: DictConfig,
    policies: dict[str, GraspPolicy],
    scenes: SceneSet,
    attempts: pd.DataFrame,
    rules: BenchmarkSettings,
    folder: Path,
) -> None:
    """Draws the first scene, and the films and pages that were asked for."""
    first = next(iter(scenes.values()))[0]
    draw(policies, first, rules, folder=folder / "pictures")
    if chosen.page:
        for name in policies:
            path = folder / "pages" / f"{name}.html"
            write_policy_page(first, attempts[attempts.policy == name], path, gripper=rules.gripper)
            print(f"wrote {path}")
    if chosen.gif.count:  # last: what a query makes of the rows may end it
        query, count = _query(chosen), chosen.gif.count
        for path in write_replays(attempts, scenes, folder / "gifs", settings=rules, query=query, count=count):
            print(f"wrote {path}")


def _query(chosen: DictConfig) -> str:
    """Returns the query of the attempts that are filmed; "" where all are asked for."""
    return "" if chosen.gif.query is None else str(chosen.gif.query)


def draw(policies: dict[str, GraspPolicy], scene: SceneState, rules: BenchmarkSettings, *, folder: Path) -> None:
    """Draws one scene with its labels, and beside its picture what each network (or constant maps) makes of it."""
    from labeler.labels import LabelSettings, label_view
    from labeler.oracle import LabelOracle
    from plgp.evaluation.map_figures import draw_view
    from plgp.policy import Workspace

    half = scene.tray.floor / 2
    floor = Workspace((-half, -half, -0.1), (half, half, 0.4))
    seen = observe(scene, rules, [rules.seed, 0, 0])
    view = noiseless_view(scene, rules)
    truest = LabelSettings.for_hand(rules.gripper)
    settings = next((p.settings for p in policies.values() if isinstance(p, LabelOracle)), truest)
    labels = label_view(view, rules.gripper, settings).to_pixel_grasps(settings.angles)
    allowed = floor.mask(view.depth, view.camera)
    draw_view(view, folder / "scene.png", labels, depth_noisy=seen.depth, allowed=allowed)
    if "plgp.policy.map_policy" in sys.modules:  # else no policy makes maps, and torch, which takes seconds, stays out
        _draw_maps(policies, seen, labels, floor=floor, opening=rules.gripper.max_opening, folder=folder)


def _draw_maps(
    policies: dict[str, GraspPolicy],
    seen: Observation,
    labels: PixelGrasps,
    *,
    floor: Workspace,
    opening: float,
    folder: Path,
) -> None:
    """Draws what each policy that makes maps makes of an image."""
    from plgp.evaluation.map_figures import draw_prediction
    from plgp.policy import MapPolicy, NetworkPolicy
    from plgp.policy.workspace import allowed_pixels

    for name, policy in policies.items():
        if isinstance(policy, MapPolicy):
            maps = policy.predict(seen.rgb, seen.depth)
            grasps = (
                policy.find(seen, 10).pixels if isinstance(policy, NetworkPolicy) else policy.pixel_grasps(seen, 10)
            )
            path = folder / f"{name}.png"
            area = allowed_pixels(floor if policy.workspace is None else policy.workspace, seen.depth, seen.camera)
            draw_prediction(seen, maps, grasps, path=path, labels=labels, max_opening=opening, allowed=area)
