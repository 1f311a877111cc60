"""``python -m sim``: what is in an object set, as a table and as a contact sheet."""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from sim.errors import InputError


def show(config: Any) -> None:
    """Prints the objects of a configuration (conf/sim.yaml), and draws them where it says so.

    Raises:
        InputError: The set cannot be had, or a setting is out of range.
    """
    from hydra.utils import instantiate

    from sim.drawing.object_sheet import draw_contact_sheet, measure, spread

    output = Path(config.output)
    if config.preview and output.suffix.lower() != ".png":
        raise InputError(f"output is '{output}'; give a file name that ends in .png")
    objects, gripper = instantiate(config.objects), instantiate(config.gripper)
    chosen = spread(len(objects), config.limit) if config.preview else []
    facts = measure(objects.models)
    print_table(objects.name, facts, gripper.max_opening)
    if config.preview:
        models = [objects.models[i] for i in chosen]
        figure = draw_contact_sheet(models, [facts[i] for i in chosen], gripper.max_opening, parts=config.parts)
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(output)
        except OSError as error:
            raise InputError(f"output {output} cannot be written ({error.strerror})") from error
        print(f"wrote {output}: {len(models)} of {len(objects)} objects")


def print_table(name: str, facts: Any, opening: float) -> None:
    """Prints one row an object, and how many fit.

    Args:
        name: The set's.
        facts: ``sim.drawing.object_sheet.ObjectFacts``, one an object.
        opening: The gripper's, metres.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{name}: sizes in millimetres, gripper opening {1000 * opening:.0f}")
    table.add_column("number", justify="right")
    table.add_column("name", overflow="fold")
    for head in ("mass, g", "smallest box", "bounding box", "convex parts"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("fits")
    for i, fact in enumerate(facts):
        box, bounds = (" x ".join(f"{1000 * x:.0f}" for x in sides) for sides in (fact.box[::-1], fact.bounds))
        fits = "yes" if fact.fits(opening) else "no"
        table.add_row(str(i), fact.name, f"{1000 * fact.mass:.0f}", box, bounds, str(fact.parts), fits)
    # In a file or a pipe rich takes 80 columns and folds the table: keep its rows whole.
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    count = sum(fact.fits(opening) for fact in facts)
    print(f"{len(facts)} objects, {count} of them fit an opening of {1000 * opening:.0f} mm")


@hydra.main(version_base="1.3", config_path="pkg://plgp_conf", config_name="sim")
def _app(config: DictConfig) -> None:
    try:
        show(config)
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, (InputError, OmegaConfBaseException)):
            cause = cause.__cause__  # Hydra wraps what a constructor raises
        if cause is None:
            raise
        _stop(cause)


def _stop(error: BaseException) -> None:
    sentence = " ".join(str(error).split())
    if isinstance(error, MissingMandatoryValue):
        sentence = f"{error.full_key} is not given; say {error.full_key}=..."
    # What Hydra adds is about its own search path.
    print("error: " + re.split(r" (?:Config search path|full_key|See https):?", sentence)[0], file=sys.stderr)
    raise SystemExit(2)


def _plain_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


def main() -> None:
    """Runs the command line; whatever a user can mend becomes one sentence and exit status 2."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else it prints a wrong choice over many lines, and exits itself
    warnings.showwarning = _plain_warning
    try:
        _app()
    except (HydraException, OmegaConfBaseException) as error:
        _stop(error)
    except KeyboardInterrupt:
        print("interrupted; meshes that are done stay in the cache", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
