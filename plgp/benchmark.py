"""Measuring policies side by side: ``python -m plgp.benchmark``, and the end of a training run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from sim import InputError
from sim.benchmark import BenchmarkSettings, GraspPolicy, make_scenes, observe, run_benchmark, summarise
from sim.camera import ParallelCamera, PinholeCamera, overhead_pose
from sim.render import render_view
from sim.scene import SceneState


def evaluate(config: DictConfig, output: str | Path) -> pd.DataFrame:
    """Measures every policy of an evaluation on the same scenes; prints, writes and draws.

    Args:
        config: A composed configuration with an ``evaluation`` (conf/evaluation).
        output: Folder for ``attempts.csv`` (rewritten after each policy), ``summary.csv`` and
            ``pictures/``.

    Returns:
        The summary: ``policy, category, friction, SR, PC, AP, attempts``.
    """
    chosen, folder = config.evaluation, Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    policies = _policies(chosen.policies)
    rules: BenchmarkSettings = instantiate(chosen.settings, _convert_="all")
    scenes = make_scenes(
        instantiate(chosen.objects),
        chosen.category,
        chosen.scenes,
        chosen.object_count,
        chosen.seed,
        instantiate(chosen.scene, _convert_="all"),
    )
    tables = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("scenes"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        for policy in policies:
            tables.append(run_benchmark(policy, scenes, chosen.frictions, rules, chosen.workers, progress))
            pd.concat(tables).to_csv(folder / "attempts.csv", index=False)
    summary = summarise(pd.concat(tables, ignore_index=True))
    summary.to_csv(folder / "summary.csv", index=False)
    print_summary(summary)
    draw(policies, scenes[0], rules, folder / "pictures")
    return summary


def _policies(configs: DictConfig) -> list[GraspPolicy]:
    """Returns the policies, named as in the configuration; those that lack a checkpoint are left out."""
    policies = []
    for key, entry in configs.items():
        name = str(key)
        plain: Any = OmegaConf.to_container(entry, resolve=True)
        if "path" in plain and plain["path"] is None:
            print(f"policy '{name}' needs a network: left out (give checkpoint=FILE)")
            continue
        policy = instantiate(plain, _convert_="all")
        policy.name = name
        policies.append(policy)
    if not policies:
        raise InputError("no policy is left to measure; give a checkpoint, or add one to evaluation.policies")
    return policies


def print_summary(summary: pd.DataFrame) -> None:
    """Prints a summary as one table: a row a policy and category, SR / PC / AP a friction."""
    frictions = list(dict.fromkeys(summary.friction))
    table = Table(title="SR / PC / AP in percent")
    for head in ("policy", "category"):
        table.add_column(head, no_wrap=True)
    for friction in frictions:
        table.add_column("mean" if friction == "mean" else f"friction {friction}", justify="right")
    table.add_column("attempts", justify="right")
    for (policy, category), rows in summary.groupby(["policy", "category"], sort=False):
        by_friction = rows.set_index("friction")
        cells = [f"{r.SR:.1f} / {r.PC:.1f} / {r.AP:.1f}" for r in by_friction.loc[frictions].itertuples()]
        table.add_row(str(policy), str(category), *cells, str(by_friction.attempts["mean"]))
    # In a file or a pipe rich takes 80 columns and folds the table: keep its rows whole.
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def draw(policies: list[GraspPolicy], scene: SceneState, rules: BenchmarkSettings, folder: Path) -> None:
    """Draws one scene with its labels, and beside its picture what each network makes of it."""
    from labeler.labels import LabelSettings, label_view
    from labeler.oracle import LabelOracle
    from plgp.pictures import draw_prediction, draw_view
    from plgp.policy import NetworkPolicy

    seen = observe(scene, rules, [rules.seed, 0, 0])
    camera = PinholeCamera(
        rules.camera.width, rules.camera.height, rules.camera.intrinsics, overhead_pose(rules.camera_height)
    )
    view = render_view(scene, camera, ParallelCamera.covering(rules.pixels_per_metre))
    settings = next((p.settings for p in policies if isinstance(p, LabelOracle)), LabelSettings())
    labels = label_view(view, rules.gripper, settings).to_pixel_grasps(settings.angles)
    draw_view(view, folder / "scene.png", labels, seen.depth)
    for policy in policies:
        if isinstance(policy, NetworkPolicy):
            maps, grasps = policy.predict(seen.rgb, seen.depth), policy.pixel_grasps(seen, 10)
            path = folder / f"{policy.name}.png"
            draw_prediction(seen, maps, grasps, path, labels, rules.gripper.max_opening)


@hydra.main(version_base="1.3", config_path="pkg://plgp.conf", config_name="evaluate")
def _app(config: DictConfig) -> None:
    from plgp.train import input_error

    try:
        evaluate(config, config.output)
    except Exception as error:
        cause = input_error(error)
        if cause is None:
            raise
        print(f"error: {cause}", file=sys.stderr)
        raise SystemExit(2) from None
    print(f"wrote {config.output}")


def main() -> None:
    """Runs the command line."""
    _app()


if __name__ == "__main__":
    main()
