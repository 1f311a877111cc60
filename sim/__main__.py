"""``python -m sim``: what is in an object set, as a table and as a contact sheet; the published scenes; figures."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim.cli import Command, dispatch, run_hydra
from sim.errors import InputError
from sim.files import check_writable

PROGRAM = "python -m sim"
USAGE = """The world: object sets, published scenes, figures.

  python -m sim objects [key=value ...]   what is in an object set, as a table and as a contact sheet;
                                          the word `objects` may be left out
  python -m sim scene-set FILE            the published scenes anew, some four minutes on two cores
  python -m sim figures DIR               the documentation's pictures of the world
  python -m sim fit-noise FRAMES          the depth noise of your sensor, fitted to its frames

`python -m sim COMMAND --help` explains each.
"""
SCENE_SET_HELP = """python -m sim scene-set FILE [name=plgp-320-v2] [workers=2]

Drops the published scenes anew and writes them to FILE: 80 in each of seen-5, seen-15, novel-5 and novel-15
(section III-E), with the settings that they were made with. name=plgp-320 makes the first version, which fell on a
tray of friction 1; name=plgp-household makes 40 scenes in each category of procedural objects, name=plgp-standing
12 each of upright bottles, of plates and of objects at the tray's walls.
"""
FIGURES_HELP = """python -m sim figures DIR

Draws the pictures of rendering and depth noise that the documentation shows into the folder DIR.
"""
FIT_NOISE_HELP = """python -m sim fit-noise FRAMES [out=my_camera.yaml] [depth_scale=0.001] [focal_px=600] [source=TEXT]

Fits the depth noise of a sensor to FRAMES of it and writes a YAML that belongs in conf/depth_noise/.
Ten frames or so of clutter on a table or in a tray, at several distances, are enough; about a minute.

  FRAMES        a folder of depth images, one image, or a pattern in quotes: 'frames/*_depth.png'
  depth_scale=  metres of one unit; left out, whole numbers are millimetres, others metres
  focal_px=     focal length in pixels; left out, it is read from NAME_intrinsics.json (fx) beside NAME_depth.png
  out=          file to write
  source=       what the frames are, for the file's first line
"""


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


def scene_set(file: Path, *, name: str = "plgp-320-v2", workers: int = 2) -> None:
    """Makes the published scenes anew."""
    from sim.benchmark import scene_sets as sets

    command = f"{PROGRAM} scene-set FILE name={name}"
    own: dict[str, Callable[..., Any]] = {sets.HOUSEHOLD: sets.make_household, sets.STANDING: sets.make_standing}
    made = own[name](workers=workers) if name in own else sets.make_published(name, workers=workers)
    sets.save_scene_set(made, file, command, digits=sets.PUBLISHED_DIGITS)
    print(f"wrote {file}")


def figures(folder: Path) -> None:
    """Draws the pictures of the documentation that show the world."""
    from sim.drawing.world_figures import write_world_figures

    for path in write_world_figures(folder):
        print(f"wrote {path}")


def fit_noise(
    frames: Path,
    *,
    out: Path = Path("my_camera.yaml"),
    depth_scale: float | None = None,
    focal_px: float | None = None,
    source: str | None = None,
) -> None:
    """Fits the depth noise of a sensor to its frames and writes it as a choice of ``depth_noise``."""
    from sim.depth_noise.clutter import reference_clutter
    from sim.depth_noise.fit import fit_noise as fit
    from sim.depth_noise.frame_files import read_frames, write_preset

    if out.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"out is '{out}'; give a file name that ends in .yaml")
    check_writable(out.parent, cure="give another file, out=...")
    read = read_frames(frames, depth_scale=depth_scale, focal_px=focal_px)
    fitted = fit(read, reference_clutter())
    write_preset(fitted, out, source or f"'{frames}'")
    print(out.read_text(), end="")
    print(f"wrote {out}; copied to conf/depth_noise/ it is the choice depth_noise={out.stem}")


def objects(words: list[str]) -> None:
    """Hands the rest of the line to Hydra."""
    interrupted = "interrupted; meshes that are done stay in the cache"
    run_hydra(show, "sim", words=words, program=f"{PROGRAM} objects", interrupted=interrupted)


def main() -> None:
    """Runs one subcommand; settings without one are those of ``objects``."""
    words = sys.argv[1:]
    if not words or (re.match(r"-|.*=", words[0]) and words[0] not in ("-h", "--help")):
        sys.argv.insert(1, "objects")
    commands = {
        "objects": Command(run=objects, raw=True),
        "scene-set": Command(run=scene_set, help=SCENE_SET_HELP),
        "figures": Command(run=figures, help=FIGURES_HELP),
        "fit-noise": Command(run=fit_noise, help=FIT_NOISE_HELP),
    }
    dispatch(PROGRAM, USAGE, commands)


if __name__ == "__main__":
    main()
