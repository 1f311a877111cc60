"""What fails and why: ``python -m plgp.failures``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from plgp.evaluation.failure_page import write_failures
from sim.benchmark.scene_sets import load_scene_set
from sim.errors import InputError

USAGE = """What fails and why: one HTML page of a benchmark's failed attempts, and its tables as CSV.

  python -m plgp.failures results=outputs/table                  every policy measured there
  python -m plgp.failures results=outputs/table policy=network   one, or several with commas between

  out=outputs/failures  where failures.html, reasons.csv, causes.csv and attempts.csv go
  per_reason=6          so many example attempts a policy and reason; 0: tables alone
  protocol=rank         attempts examined: rank (of AP), or clear (of SR: executed again, slower)
  scenes=plgp-320       the scene set that was measured: its name, or a file
  seed=0                of the choice of examples
"""
_DEFAULTS = {"out": "outputs/failures", "policy": "", "per_reason": "6", "protocol": "rank"}
_DEFAULTS |= {"scenes": "plgp-320", "seed": "0"}


def _settings(arguments: Sequence[str]) -> dict[str, str]:
    """Returns the settings of a command line. Raises InputError for one that is not known."""
    settings = dict(_DEFAULTS)
    for argument in arguments:
        key, sign, value = argument.partition("=")
        if not sign or key not in (*_DEFAULTS, "results") or not value:
            known = ", ".join(f"{k}=" for k in ("results", *_DEFAULTS))
            raise InputError(f"'{argument}' is not understood; give {known}")
        settings[key] = value
    if "results" not in settings:
        raise InputError("results= is missing; give the folder of a benchmark, results=outputs/benchmark")
    if settings["protocol"] not in ("rank", "clear"):
        raise InputError(f"protocol={settings['protocol']}; give rank or clear")
    for key in ("per_reason", "seed"):
        if not settings[key].isdecimal():
            raise InputError(f"{key}={settings[key]}; give a whole number, 0 or more")
    return settings


def main() -> None:
    """Runs the command line; an InputError becomes one sentence and exit status 2."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return
    try:
        chosen = _settings(arguments)
        policies = [part for part in chosen["policy"].strip("[]").split(",") if part]
        scenes = load_scene_set(chosen["scenes"])
        written = write_failures(
            chosen["results"],
            chosen["out"],
            policies,
            per_reason=int(chosen["per_reason"]),
            protocol=chosen["protocol"],
            scenes=scenes,
            seed=int(chosen["seed"]),
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print("wrote " + ", ".join(str(p) for p in written))


if __name__ == "__main__":
    main()
