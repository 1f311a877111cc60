"""``python -m plgp.benchmark``: policies measured side by side by really grasping in simulation."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from plgp.evaluation.evaluate import evaluate, write_observations
from plgp.evaluation.runs import gather
from plgp.report import write_report
from sim.cli import run_hydra


def benchmark(config: Any) -> None:
    """Measures as conf/benchmark.yaml says. Raises InputError where a choice does not exist or does not fit."""
    if config.observations is not None:
        print(f"wrote {write_observations(config, config.observations)} observations to {config.observations}")
        return
    out = default_folder(config) if config.out is None else Path(config.out)
    evaluate(config, out)
    if config.report:
        written = write_report(gather([out]), out / "report")
        print(written[0].read_text())
    print(f"wrote {out}")


def default_folder(config: Any) -> Path:
    """Returns the folder of a command's results: the same for the same command, which goes on there, and no other's.

    Args:
        config: The composed conf/benchmark.yaml.
    """
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=False)
    width = str(plain["labeler"].get("max_width"))
    if width.startswith("${widest_label:"):  # the hand's, where a policy asks for labels; else the paper's hand's
        asks = "${labeler}" in str(plain["policies"])
        plain["labeler"]["max_width"] = config.labeler.max_width if asks else OmegaConf.create({"width": width}).width
    # Neither who works nor what is drawn or judged besides makes another table.
    besides = {"out", "workers", "backend", "gif", "page", "compare", "physics", "skip_missing", "report"}
    besides |= {"weights"} if set(plain["weights"].values()) == {"???"} else set()
    measured = {k: v for k, v in plain.items() if k not in besides}
    digest = hashlib.sha256(json.dumps(measured, sort_keys=True, default=str).encode()).hexdigest()[:8]
    categories = [config.category] if isinstance(config.category, str) else list(config.category)
    names = "+".join(map(str, config.policies)) + "_" + "+".join(map(str, categories))
    return Path("outputs/benchmark") / f"{re.sub(r'[^-+_.a-zA-Z0-9]', '', names)[:60]}_{digest}"


def main() -> None:
    """Runs the command line."""
    run_hydra(benchmark, "benchmark", interrupted="interrupted: finished scenes are kept; the same command goes on")


if __name__ == "__main__":
    import_module("plgp.benchmark").main()  # under its own name: launchers send its function to other processes
