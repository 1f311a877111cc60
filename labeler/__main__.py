"""Command line: ``python -m labeler generate|stats|validate|...``; also ``plgp-labels``; texts in command_help.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labeler.command_help import HELP, USAGE
from sim.errors import InputError


def main() -> None:
    """Runs one subcommand; an InputError becomes one sentence and exit status 2."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return
    commands: dict[str, Callable[[list[str]], int]] = {
        "generate": _generate,
        "import-plgp": _import_plgp,
        "stats": _stats,
        "preview": _preview,
        "validate": _validate,
        "verify": _verify,
        "tradeoff": _tradeoff,
        "export-rectangles": _export_rectangles,
        "push": _push,
        "pull": _pull,
    }
    if arguments[0] in HELP and {"-h", "--help"} & set(arguments[1:]):
        print(HELP[arguments[0]], end="")
        return
    try:
        if arguments[0] not in commands:
            raise InputError(f"'{arguments[0]}' is no command; choose from {', '.join(commands)}")
        status = commands[arguments[0]](arguments[1:])
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)
        status = 130
    sys.exit(status)


def _generate(arguments: list[str]) -> int:
    """Hands the rest of the line to Hydra."""
    import hydra
    from omegaconf import DictConfig

    raised: list[BaseException] = []

    def task(config: DictConfig) -> None:
        try:
            _run(config)
        except (InputError, KeyboardInterrupt) as error:
            raised.append(error)  # Hydra would print a traceback

    # conf/scenes is a group of the benchmark's: Hydra would take the number for a choice from it.
    arguments = [f"dataset.{text}" if text.startswith("scenes=") else text for text in arguments]
    sys.argv = ["python -m labeler generate", *arguments]
    hydra.main(config_path="pkg://plgp_conf", config_name="generate", version_base="1.3")(task)()
    if raised:
        raise raised[0]
    return 0


def _run(config: Any) -> None:
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    from labeler.dataset.generate import generate

    try:
        recipe = instantiate(config.dataset, _convert_="all")
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__
        raise cause if cause is not None else error from None
    folder = generate(recipe, config.folder, config.workers, progress=config.progress, backend=config.backend)
    print(_summary(folder))


def _folder(arguments: list[str], command: str) -> Path:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise InputError(f"`{command}` takes one data set folder: python -m labeler {command} DIR")
    return Path(arguments[0])


def _summary(folder: Path) -> str:
    from labeler.shards import DataSet

    data = DataSet(folder)
    counts = data.manifest.counts
    size = sum((folder / line.file).stat().st_size for line in data.manifest.shards)
    return (
        f"{folder}: {counts.images} images of {counts.scenes} scenes ({counts.failed_scenes} failed), "
        f"{counts.grasps} grasps, {counts.grasps / counts.images:.0f} an image, {size / 1e6:.0f} MB"
    )


def _stats(arguments: list[str]) -> int:
    """Prints figures; writes them as JSON, and histograms as a picture."""
    from labeler.dataset.card import write_stats
    from labeler.dataset.stats import print_stats

    folder = _folder(arguments[:1], "stats")
    options = _options(arguments[1:], "stats", {"out": None})
    print(_summary(folder))
    picture = _picture("stats", options["out"], folder / "stats.png")
    print_stats(write_stats(folder, picture, progress=True))
    print(folder / "stats.json", picture)
    return 0


def _picture(command: str, name: str | None, default: Path) -> Path:
    """Returns where a picture goes; raises InputError where it cannot."""
    path = default if name is None else Path(name)
    if not path.parent.is_dir():
        raise InputError(f"`{command}`: the folder of {path} does not exist; make it or give another out=FILE")
    if path.suffix.lower() != ".png":
        raise InputError(f"`{command}`: out is '{name}'; give a file name that ends in .png")
    return path


def _validate(arguments: list[str]) -> int:
    """Checks every byte and every range; names what is damaged."""
    from labeler.dataset.validate import find_problems

    folder = _folder(arguments, "validate")
    problems = find_problems(folder)
    for problem in problems:
        print(problem)
    print(f"{folder}: {len(problems)} problems" if problems else f"{folder}: all whole")
    return 1 if problems else 0


def _options(arguments: list[str], command: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """Returns ``defaults`` with what ``key=value`` arguments say, each of its default's type."""
    options = dict(defaults)
    for argument in arguments:
        key, sign, text = argument.partition("=")
        if not sign or key not in defaults:
            known = ", ".join(f"{k}=..." for k in defaults)
            raise InputError(f"`{command}` does not know '{argument}'; {f'give {known}' if known else 'leave it out'}")
        try:
            options[key] = text if defaults[key] is None else type(defaults[key])(text)
        except ValueError:
            kind = "a whole number" if isinstance(defaults[key], int) else "a number"
            raise InputError(f"`{command}`: {key} is '{text}'; give {kind}") from None
    return options


def _verify(arguments: list[str]) -> int:
    """Executes random labels, and random grasps, in physics; prints what lifts and keeps the figures."""
    from labeler.shards import DataSet
    from labeler.truth.execution import check_arguments
    from labeler.truth.verify import describe_tilts, describe_truth, verify

    folder = _folder(arguments[:1], "verify")
    defaults = {"attempts": 500, "friction": "0.4", "seed": 0, "workers": 2, "objects": None}
    options = _options(arguments[1:], "verify", {**defaults, "recall": "false", "grasps": 200})
    frictions, grasps = _numbers("verify", "friction", options.pop("friction")), options.pop("grasps")
    recall = options.pop("recall").lower()
    if recall not in ("true", "false"):
        raise InputError(f"`verify`: recall is '{recall}'; give true or false")
    for friction in frictions:  # what is wrong shows before the first long run
        check_arguments(
            "verify", {"grasps": grasps, "workers": options["workers"]}, seed=options["seed"], friction=friction
        )
    for friction in frictions:
        if options["attempts"] or recall == "false":
            attempts = verify(folder, **options, friction=friction, progress=True)
            print(describe_truth(attempts, friction, options["seed"]))
        if recall == "true":
            print(_recall(folder, options, friction, grasps))
    truth = DataSet(folder).manifest.truth
    if len(truth) > 1:
        print(describe_tilts(truth))
    return 0


def _recall(folder: Path, options: dict[str, Any], friction: float, grasps: int) -> str:
    from labeler.shards import DataSet
    from labeler.truth.recall import describe_recall, measure_recall

    shared = {name: options[name] for name in ("seed", "workers", "objects")}
    measure_recall(folder, grasps, friction, **shared, progress=True)
    return describe_recall(DataSet(folder).manifest.recall[f"{friction:g}"], friction)


def _tradeoff(arguments: list[str]) -> int:
    """Measures truth and coverage of several label settings; writes a table and a picture."""
    from labeler.truth.tradeoff import describe_tradeoff, draw_tradeoff, load_settings, measure_tradeoff

    folder = _folder(arguments[:1], "tradeoff")
    defaults = {"settings": None, "attempts": 120, "friction": "0.4,0.2", "grasps": 100, "seed": 0, "workers": 2}
    options = _options(arguments[1:], "tradeoff", {**defaults, "objects": None, "out": None})
    out = Path(options.pop("out") or folder / "tradeoff")
    if not out.parent.is_dir():
        raise InputError(f"`tradeoff`: the folder of {out} does not exist; make it or give another out=NAME")
    settings = load_settings(options.pop("settings"))
    frictions = tuple(_numbers("tradeoff", "friction", options.pop("friction")))
    table = measure_tradeoff(folder, settings, frictions=frictions, **options, progress=True)
    table.to_csv(out.with_suffix(".csv"), index=False, float_format="%.4f")
    draw_tradeoff(table, folder.name).savefig(out.with_suffix(".png"), dpi=90)
    print(describe_tradeoff(table))
    print(out.with_suffix(".csv"), out.with_suffix(".png"))
    return 0


def _numbers(command: str, name: str, text: str) -> list[float]:
    """Returns the numbers of a comma-separated option."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"`{command}`: {name} is '{text}'; give a number, or several with commas between") from None


def _preview(arguments: list[str]) -> int:
    """Draws images with some of their labels into one PNG."""
    from labeler.dataset.preview import draw_preview
    from labeler.shards import DataSet

    folder = _folder(arguments[:1], "preview")
    options = _options(arguments[1:], "preview", {"images": 12, "grasps": 40, "seed": 0, "out": None})
    DataSet(folder)  # raises where there is no data set, before anything is said of the picture
    path = _picture("preview", options.pop("out"), folder / "preview.png")
    draw_preview(folder, **options).savefig(path)
    print(path)
    return 0


def _import_plgp(arguments: list[str]) -> int:
    """Makes a data set of the authors' files; names what was skipped."""
    from labeler.formats.authors_data import import_plgp
    from sim.depth_noise import DepthNoise

    source, folder = _two(arguments, "import-plgp", "SOURCE DIR")
    options = _options(arguments[2:], "import-plgp", {"noise": "paper", "seed": 0})
    if options["noise"] not in ("paper", "none"):
        raise InputError(f"`import-plgp`: noise is '{options['noise']}'; give paper or none")
    if options["seed"] < 0:
        raise InputError(f"`import-plgp`: seed is {options['seed']}; give at least 0")
    noise = DepthNoise() if options["noise"] == "paper" else None
    for sentence in import_plgp(source, folder, noise, seed=options["seed"], progress=True):
        print(f"skipped {sentence}", file=sys.stderr)
    print(_summary(Path(folder)))
    return 0


def _export_rectangles(arguments: list[str]) -> int:
    """Writes labels as rectangles."""
    from labeler.formats.rectangles import export_rectangles

    folder, out = _two(arguments, "export-rectangles", "DIR OUT")
    defaults = {"format": "cornell", "per_image": 100, "seed": 0, "side": 0}
    options = _options(arguments[2:], "export-rectangles", defaults)
    counts = export_rectangles(folder, out, **options, progress=True)
    print(
        f"{out}: {counts['images']} images, {counts['grasps']} grasps; "
        f"left out: {counts['unseen']} on pixels without depth, {counts['outside']} outside the square"
    )
    return 0


def _push(arguments: list[str]) -> int:
    """Sends a data set to the Hub or to a folder."""
    from labeler.dataset.hub import push

    folder, place = _two(arguments, "push", "DIR PLACE")
    options = _options(arguments[2:], "push", {"licence": "other", "private": "true"})
    if options["private"] not in ("true", "false"):
        raise InputError(f"`push`: private is '{options['private']}'; give true or false")
    print(push(folder, place, licence=options["licence"], private=options["private"] == "true", progress=True))
    return 0


def _pull(arguments: list[str]) -> int:
    """Fetches a data set from the Hub or from a folder."""
    from labeler.dataset.hub import pull

    place, folder = _two(arguments, "pull", "PLACE DIR")
    _options(arguments[2:], "pull", {})
    print(_summary(pull(place, folder, progress=True)))
    return 0


def _two(arguments: list[str], command: str, names: str) -> tuple[str, str]:
    """Returns the two places that a command works on; options come after them."""
    places = arguments[:2]
    if len(places) < 2 or any("=" in place or place.startswith("-") for place in places):
        raise InputError(f"`{command}` needs {names}; `python -m labeler {command} --help` says more")
    return places[0], places[1]


if __name__ == "__main__":
    main()
