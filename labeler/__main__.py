"""Command line: ``python -m labeler generate|preview|stats|validate|verify ...``; also ``plgp-labels``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim import InputError

USAGE = """Labels and data sets.

  python -m labeler generate [key=value ...]   make a data set (generate --help lists the settings)
  python -m labeler stats DIR                  images, objects and grasps of a data set
  python -m labeler preview DIR [images=12] [grasps=40] [seed=0] [out=FILE]
                                               a contact sheet: images with some of their labels
  python -m labeler validate DIR               checksums and contents; names each damaged shard
  python -m labeler verify DIR [attempts=500] [friction=0.4] [seed=0] [workers=2] [objects=FOLDER]
                                               executes random labels in physics: which share lifts?
"""


def main() -> None:
    """Runs one subcommand; an InputError becomes one sentence and exit status 2."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return
    commands: dict[str, Callable[[list[str]], int]] = {
        "generate": _generate,
        "preview": _preview,
        "stats": _stats,
        "validate": _validate,
        "verify": _verify,
    }
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

    sys.argv = ["python -m labeler generate", *arguments]
    hydra.main(config_path="pkg://plgp.conf", config_name="generate", version_base="1.3")(task)()
    if raised:
        raise raised[0]
    return 0


def _run(config: Any) -> None:
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    from labeler.generate import generate

    try:
        recipe = instantiate(config.dataset, _convert_="all")
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__
        raise cause if cause is not None else error from None
    folder = generate(recipe, config.folder, config.workers, config.progress)
    print(_summary(folder))


def _folder(arguments: list[str], command: str) -> Path:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise InputError(f"`{command}` takes one data set folder: python -m labeler {command} DIR")
    return Path(arguments[0])


def _summary(folder: Path) -> str:
    from labeler.shards import DataSet

    data = DataSet(folder)
    counts = data.info["counts"]
    size = sum((folder / line["file"]).stat().st_size for line in data.info["shards"])
    return (
        f"{folder}: {counts['images']} images of {counts['scenes']} scenes ({counts['failed_scenes']} failed), "
        f"{counts['grasps']} grasps, {counts['grasps'] / counts['images']:.0f} an image, {size / 1e6:.0f} MB"
    )


def _stats(arguments: list[str]) -> int:
    print(_summary(_folder(arguments, "stats")))
    return 0


def _validate(arguments: list[str]) -> int:
    """Checks every byte and every range; names what is damaged."""
    from labeler.validate import find_problems

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
            raise InputError(f"`{command}` does not know '{argument}'; give {', '.join(f'{k}=...' for k in defaults)}")
        try:
            options[key] = text if defaults[key] is None else type(defaults[key])(text)
        except ValueError:
            kind = "a whole number" if isinstance(defaults[key], int) else "a number"
            raise InputError(f"`{command}`: {key} is '{text}'; give {kind}") from None
    return options


def _verify(arguments: list[str]) -> int:
    """Executes random labels in physics; prints what lifts and keeps the figure in dataset.json."""
    from labeler.verify import describe_truth, verify

    folder = _folder(arguments[:1], "verify")
    defaults = {"attempts": 500, "friction": 0.4, "seed": 0, "workers": 2, "objects": None}
    options = _options(arguments[1:], "verify", defaults)
    attempts = verify(folder, **options, progress=True)
    print(describe_truth(attempts, options["friction"], options["seed"]))
    return 0


def _preview(arguments: list[str]) -> int:
    """Draws images with some of their labels into one PNG."""
    from labeler.preview import draw_preview

    folder = _folder(arguments[:1], "preview")
    options = _options(arguments[1:], "preview", {"images": 12, "grasps": 40, "seed": 0, "out": None})
    path = Path(options.pop("out") or folder / "preview.png")
    if not path.parent.is_dir():
        raise InputError(f"`preview`: the folder of {path} does not exist; make it or give another out=FILE")
    if path.suffix.lower() != ".png":
        raise InputError(f"`preview`: out is '{path}'; give a file name that ends in .png")
    draw_preview(folder, **options).savefig(path)
    print(path)
    return 0


if __name__ == "__main__":
    main()
