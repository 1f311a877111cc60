"""Command line: ``python -m labeler generate|stats|validate|...``; also ``plgp-labels``; texts in command_help.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from labeler.command_help import HELP, USAGE
from sim.cli import Command, dispatch, run_hydra
from sim.errors import InputError

PROGRAM = "python -m labeler"


def main() -> None:
    """Runs one subcommand."""
    functions: dict[str, Callable[..., int | None]] = {
        "generate": generate,
        "import-plgp": import_plgp,
        "import-posed": import_posed,
        "import-rectangles": import_rectangles,
        "stats": stats,
        "preview": preview,
        "validate": validate,
        "verify": verify,
        "tradeoff": tradeoff,
        "export-rectangles": export_rectangles,
        "export-bop": export_bop,
        "push": push,
        "pull": pull,
    }
    commands = {n: Command(run=f, help=HELP.get(n, ""), raw=n == "generate") for n, f in functions.items()}
    dispatch(PROGRAM, USAGE, commands, interrupted=after_ctrl_c(sys.argv[1] if len(sys.argv) > 1 else ""))


def after_ctrl_c(command: str) -> str:
    """Returns the sentence after Ctrl-C: what the same command would do."""
    if command.startswith("export-"):
        return "interrupted; OUT is not whole: delete it, then give the same command again"
    if command == "generate" or command.startswith(("import-", "push", "pull")):
        return "interrupted; the same command goes on where it stopped"
    return "interrupted; the same command starts anew"


def generate(words: list[str]) -> None:
    """Hands the rest of the line to Hydra."""
    run_hydra(_generate, "generate", words=words, program=f"{PROGRAM} generate")


def _generate(config: Any) -> None:
    from hydra.utils import instantiate

    from labeler.dataset.generate import generate

    recipe = instantiate(config.recipe, _convert_="all")
    folder = generate(recipe, config.folder, workers=config.workers, progress=config.progress, backend=config.backend)
    print(_summary(folder))


def _summary(folder: Path) -> str:
    from labeler.shards.data_set import DataSet

    data = DataSet(folder)
    counts = data.manifest.counts
    size = sum((folder / line.file).stat().st_size for line in data.manifest.shards)
    return (
        f"{folder}: {counts.images} images of {counts.scenes} scenes ({counts.failed_scenes} failed), "
        f"{counts.grasps} grasps, {counts.grasps / counts.images:.0f} an image, {size / 1e6:.0f} MB"
    )


def stats(dir: Path, *, out: Path | None = None) -> None:
    """Prints figures; writes them as JSON, and histograms as a picture."""
    from labeler.dataset.card import check_free, save_stats
    from labeler.dataset.stats import measure, print_stats

    print(_summary(dir))
    picture = _picture(out, dir / "stats.png")
    numbers = dir / "stats.json" if os.access(dir, os.W_OK) else picture.with_suffix(".json")
    if numbers.parent != dir:
        check_free(numbers, dir)
    print_stats(figures := measure(dir, progress=True))
    save_stats(figures, numbers, picture)
    print(numbers, picture)


def _picture(path: Path | None, default: Path) -> Path:
    """Returns where a picture goes. Raises InputError where it cannot."""
    path = path or default
    _check_folder(path, "FILE")
    if path.suffix.lower() != ".png":
        raise InputError(f"out is '{path}'; give a file name that ends in .png")
    return path


def _check_folder(path: Path, kind: str) -> None:
    """Raises InputError where the folder of an output is missing or cannot be written, before the work begins."""
    from sim.files import check_writable

    if not path.parent.is_dir():
        raise InputError(f"the folder of {path} does not exist; make it or give another out={kind}")
    check_writable(path.parent, cure=f"give another out={kind}")


def validate(dir: Path) -> int:
    """Checks every byte and every range; names what is damaged."""
    from labeler.dataset.validate import find_problems

    problems = find_problems(dir)
    for problem in problems:
        print(problem)
    print(f"{dir}: {len(problems)} problems" if problems else f"{dir}: all whole")
    return 1 if problems else 0


def verify(
    dir: Path,
    *,
    attempts: int = 500,
    friction: tuple[float, ...] = (0.4,),
    seed: int = 0,
    workers: int = 2,
    objects: Path | None = None,
    recall: bool = False,
    grasps: int = 200,
    physics: str = "bullet",
    by: tuple[str, ...] = (),
    tray_friction: float | None = None,
    force: float | None = None,
    mass: float = 1.0,
    out: Path | None = None,
) -> None:
    """Executes random labels, and random grasps, in physics; prints what lifts and keeps the figures."""
    import pandas as pd

    from labeler.shards.data_set import DataSet
    from labeler.truth.conditions import Conditions
    from labeler.truth.execution import check_arguments
    from labeler.truth.verify import check_tables, describe_tilts, describe_truth
    from labeler.truth.verify import verify as execute
    from sim.files import write_table
    from sim.judge.agreement import describe_agreement, write_agreement

    check_tables(by)
    world = Conditions(tray_friction=tray_friction, force=force, mass=mass)
    if recall and world.describe():
        raise InputError(f"verify: recall is measured in the data set's own world; leave {world.describe()} out")
    if out is not None:
        _check_folder(out, "FILE.csv")
    shared: dict[str, Any] = {"seed": seed, "workers": workers, "objects": objects}
    for mu in friction:  # what is wrong shows before the first long run
        check_arguments("verify", {"grasps": grasps, "workers": workers}, seed=seed, friction=mu)
    rows = []
    for mu in friction:
        if attempts or not recall:
            kinds: dict[str, Any] = {"physics": physics, "conditions": world}
            done = execute(dir, attempts=attempts, friction=mu, **shared, progress=True, **kinds)
            rows.append(done.assign(friction=mu))
            print(describe_truth(done, mu, seed, by=by))
            if physics == "mujoco":
                print(describe_agreement(done, f"labels at friction {mu:g}"))
                print(f"wrote {write_agreement(done, dir / f'agreement-{mu:g}.csv')}")
            if out is not None:
                print(f"wrote {write_table(out, pd.concat(rows))}")
        if recall:
            _recall(dir, mu, by, grasps=grasps, **shared)
    if changed := world.describe():
        print(f"executed with {changed}: another world than the data set's, so its dataset.json keeps nothing of it")
    elif len(truth := DataSet(dir).manifest.truth) > 1:
        print(describe_tilts(truth))


def _recall(dir: Path, friction: float, by: tuple[str, ...], **options: Any) -> None:
    """Executes random grasps; prints which of those that lift have a label, and tables of what carries one."""
    from labeler.shards.data_set import DataSet
    from labeler.truth.coverage import describe_coverage, seen_objects
    from labeler.truth.recall import describe_recall, measure_recall

    tried = measure_recall(dir, friction=friction, **options, progress=True)
    kept = DataSet(dir).manifest.recall.get(f"{friction:g}")
    print(describe_recall(kept, friction) if kept else "")
    if by:
        seen = seen_objects(DataSet(dir))
        print("\n".join(describe_coverage(seen, tried, table) for table in by))


def tradeoff(
    dir: Path,
    *,
    settings: Path | None = None,
    attempts: int = 120,
    friction: tuple[float, ...] = (0.4, 0.2),
    grasps: int = 100,
    seed: int = 0,
    workers: int = 2,
    objects: Path | None = None,
    out: Path | None = None,
) -> None:
    """Measures truth and coverage of several label settings; writes a table and a picture."""
    from labeler.shards.data_set import DataSet
    from labeler.truth.tradeoff import describe_tradeoff, draw_tradeoff, load_settings, measure_tradeoff
    from sim.files import write_error

    place = out or dir / "tradeoff"
    _check_folder(place, "NAME")
    if place.suffix in (".csv", ".png"):
        place = place.with_suffix("")
    chosen = load_settings(settings, DataSet(dir).manifest.gripper)
    options: dict[str, Any] = {"attempts": attempts, "grasps": grasps, "seed": seed, "workers": workers}
    table = measure_tradeoff(dir, chosen, frictions=friction, objects=objects, **options, progress=True)
    print(describe_tradeoff(table))
    files = [place.with_name(place.name + ending) for ending in (".csv", ".png")]  # a name may hold dots
    try:
        table.to_csv(files[0], index=False, float_format="%.4f")
        draw_tradeoff(table, dir.name).savefig(files[1], dpi=90)
    except OSError as error:
        raise write_error(place, error, cure="give another out=NAME") from error
    print(*files)


def preview(dir: Path, *, images: int = 12, grasps: int = 40, seed: int = 0, out: Path | None = None) -> None:
    """Draws images with some of their labels into one PNG."""
    from labeler.dataset.preview import draw_preview
    from labeler.shards.data_set import DataSet

    DataSet(dir)  # raises where there is no data set, before anything is said of the picture
    path = _picture(out, dir / "preview.png")
    draw_preview(dir, images=images, grasps=grasps, seed=seed).savefig(path)
    print(path)


def import_plgp(source: Path, dir: Path, *, noise: Literal["paper", "none"] = "paper", seed: int = 0) -> None:
    """Makes a data set of the authors' files; names what was skipped."""
    from labeler.formats.authors_data import import_plgp
    from sim.depth_noise import DepthNoise

    if seed < 0:
        raise InputError(f"seed is {seed}; give at least 0")
    model = DepthNoise() if noise == "paper" else None
    for sentence in import_plgp(source, dir, model, seed=seed, progress=True):
        print(f"skipped {sentence}", file=sys.stderr)
    print(_summary(dir))


def import_rectangles(
    source: Path, dir: Path, *, focal: float, format: Literal["jacquard", "cornell"] = "jacquard"
) -> None:
    """Makes a data set of rectangles and their images; names what was skipped."""
    from labeler.formats.rectangle_data import RectangleSource, import_rectangles

    files = RectangleSource(folder=source, format=format, focal=focal)
    for sentence in import_rectangles(files, dir, progress=True):
        print(f"skipped {sentence}", file=sys.stderr)
    print(_summary(dir))


def import_posed(
    source: Path,
    dir: Path,
    *,
    format: Literal["bop", "graspnet"] = "bop",
    models: Path | None = None,
    every: int = 1,
    tolerance: float = 0.003,
    turn: float = 1.5,
    check: bool = True,
    gripper: str | None = None,
) -> None:
    """Makes a data set of real pictures with posed meshes; prints what the rendering says of the poses."""
    from labeler.posed.check import CheckSettings
    from labeler.posed.data import describe_checks, describe_hand, import_posed
    from sim.gripper import load_gripper

    settings = CheckSettings(tolerance=tolerance, turn=turn) if check else None
    hand = None if gripper is None else load_gripper(gripper)
    options: dict[str, Any] = {"models": models, "every": every, "check": settings, "gripper": hand}
    done = import_posed(source, dir, format=format, **options, progress=True)
    for sentence in done.skipped:
        print(f"skipped {sentence}", file=sys.stderr)
    print(describe_checks(done.poses))
    print(describe_hand(source, dir, gripper))
    print(_summary(dir))


def export_rectangles(
    dir: Path,
    out: Path,
    *,
    format: Literal["cornell", "jacquard"] = "cornell",
    per_image: int = 100,
    seed: int = 0,
    side: int = 0,
) -> None:
    """Writes labels as rectangles."""
    from labeler.formats.rectangles import export_rectangles

    counts = export_rectangles(dir, out, format=format, per_image=per_image, seed=seed, side=side, progress=True)
    print(
        f"{out}: {counts['images']} images, {counts['grasps']} grasps; "
        f"left out: {counts['unseen']} on pixels without depth, {counts['outside']} outside the square"
    )


def export_bop(
    dir: Path, out: Path, *, depth: Literal["noisy", "clean"] = "noisy", objects: Path | None = None
) -> None:
    """Writes images, poses and meshes in BOP's format."""
    from labeler.posed.export_bop import export_bop

    counts = export_bop(dir, out, depth=depth, objects=objects, progress=True)
    print(f"{out}: {counts['images']} images of {counts['scenes']} scenes, {counts['models']} models")


def push(dir: Path, place: str, *, licence: str | None = None, private: bool = True) -> None:
    """Sends a data set to the Hub or to a folder."""
    from labeler.dataset.hub import push

    print(push(dir, place, licence=licence, private=private, progress=True))


def pull(place: str, dir: Path) -> None:
    """Fetches a data set from the Hub or from a folder."""
    from labeler.dataset.hub import pull

    print(_summary(pull(place, dir, progress=True)))


if __name__ == "__main__":
    main()
