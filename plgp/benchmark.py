"""``python -m plgp.benchmark``: policies measured side by side by really grasping in simulation."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from plgp.evaluation.evaluate import evaluate, write_observations
from sim.cli import run_hydra


def benchmark(config: Any) -> None:
    """Measures as conf/benchmark.yaml says. Raises InputError where a choice does not exist or does not fit."""
    if config.observations is not None:
        print(f"wrote {write_observations(config, config.observations)} observations to {config.observations}")
        return
    evaluate(config, config.out)
    print(f"wrote {config.out}")


def main() -> None:
    """Runs the command line."""
    run_hydra(benchmark, "benchmark", interrupted="interrupted: finished scenes are kept; the same command goes on")


if __name__ == "__main__":
    import_module("plgp.benchmark").main()  # under its own name: launchers send its function to other processes
