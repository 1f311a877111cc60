"""Folders of trainings and of benchmark results, written without training or measuring."""

import pandas as pd
import pytest
from omegaconf import OmegaConf

from sim.benchmark import COLUMNS
from sim.benchmark.store import SceneKey, write_scene
from sim.identity.content import describe

LOSSES = {True: "plgp.losses.BinaryFocalLoss", False: "plgp.losses.BinaryCrossEntropyLoss"}


def _write_scenes(
    folder, policy, category, successes, scenes=2, privileged=False, world=None, reason="slipped", rules=None
):  # fmt: skip
    """Finished scenes of 4 ranked and 4 clearing attempts; ``successes`` of each four hold; ``world``: of the rules."""
    content = {} if rules is None else {"rules": describe(rules)}
    known = {} if world is None else {"rules": world, "scene": "one"}
    for scene in range(scenes):
        rows = []
        for protocol in ("rank", "clear"):
            for attempt in range(4):
                row = dict.fromkeys(COLUMNS, 0.0)
                held = attempt < successes
                row |= {"policy": policy, "privileged": privileged, "category": category, "scene": scene, "objects": 5}
                row |= {"friction": 0.4, "protocol": protocol, "attempt": attempt, "success": held, "object": ""}
                row |= {"plan_seconds": 3.0 if protocol == "rank" else 0.5}
                rows.append(row | {"reason": "" if held else reason, "lifted": int(held)})
        key = SceneKey(policy, category, scene)
        write_scene(pd.DataFrame(rows, columns=COLUMNS), folder, key, known=known, content=content)


def _write_run(
    folder, name, seed=0, enhance=True, focal=True, successes=None, ap=50.0, group=None, epochs=3, wanted=3,
    world=None, **module
):  # fmt: skip
    """A training's folder, with a benchmark at its end if ``successes`` is given."""
    (folder / "csv").mkdir(parents=True)
    loss = {"_target_": "plgp.losses.GraspLoss", "element": {"_target_": LOSSES[focal]}}
    module = {"network": {"_target_": "plgp.networks.GGCNN2"}, "modality": "depth", "loss": loss} | module
    config = {"name": name, "group": group, "tags": [], "seed": seed, "module": module}
    config |= {"data": {"enhance": enhance, "batch_size": 8}, "trainer": {"max_epochs": wanted, "max_time": None}}
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    rows = [{"epoch": e, "step": 10 * e, "train/loss": 1 / (e + 1)} for e in range(epochs)]
    for e in range(epochs):
        scores = {f"benchmark/{m}": ap - 10 * (e != 1) for m in ("SR", "PC", "AP")}
        rows.append({"epoch": e, "step": 10 * e + 9, "val/loss": 2 / (e + 1), **scores})
    pd.DataFrame(rows).to_csv(folder / "csv" / "metrics.csv", index=False)
    if successes is not None:
        _write_scenes(folder, "network", "novel-15", successes, world=world)
    return folder


@pytest.fixture(scope="session")
def write_scenes():
    """Returns the function that writes finished scenes."""
    return _write_scenes


@pytest.fixture(scope="session")
def write_run():
    """Returns the function that writes a training's folder."""
    return _write_run
