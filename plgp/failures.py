"""What fails and why: ``python -m plgp.failures``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from plgp.evaluation.failures.page import write_failures
from plgp.evaluation.measured import measured_rules, measured_scenes
from sim.benchmark.protocol import BenchmarkSettings
from sim.benchmark.scene_sets import load_scene_set
from sim.cli import run_command
from sim.errors import InputError

USAGE = """What fails and why: one HTML page of a benchmark's failed attempts, and its tables as CSV.

  python -m plgp.failures results=outputs/table                  every policy measured there
  python -m plgp.failures results=outputs/table policy=network   one, or several with commas between

  out=outputs/failures  where failures.html, reasons.csv, causes.csv and attempts.csv go
  per_reason=6          number of example attempts of each policy and reason; 0: tables alone
  protocol=rank         attempts examined: rank (of AP), or clear (of SR: executed again, slower)
  scene_set=plgp-320    the scene set that was measured: its name, or a file; default: what the results say
  seed=0                seed of the choice of examples
"""


def failures(
    *,
    results: Path,
    out: Path = Path("outputs/failures"),
    policy: tuple[str, ...] = (),
    per_reason: int = 6,
    protocol: Literal["rank", "clear"] = "rank",
    scene_set: str | None = None,
    seed: int = 0,
) -> None:
    """Examines the failed attempts of a benchmark, executes examples again and writes a page of them."""
    for name, value in (("per_reason", per_reason), ("seed", seed)):
        if value < 0:
            raise InputError(f"{name}={value}; give a whole number, 0 or more")
    settings = measured_rules(results) or BenchmarkSettings()
    scenes = measured_scenes(results) if scene_set is None else load_scene_set(scene_set)
    options: dict[str, Any] = {"per_reason": per_reason, "protocol": protocol, "seed": seed}
    options |= {"scenes": scenes, "settings": settings}
    written = write_failures(results, out, policy, **options)
    print("wrote " + ", ".join(str(p) for p in written))


def main() -> None:
    """Runs the command line."""
    run_command("python -m plgp.failures", USAGE, failures)


if __name__ == "__main__":
    main()
