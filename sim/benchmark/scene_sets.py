"""Sets of benchmark scenes: the published ``plgp-320-v2``, your own objects, your own scene files.

A set is a mapping from category ("novel-5") to its scenes, in a fixed order.
``python -m sim scene-set FILE`` makes the published set anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.cli.progress import followed
from sim.errors import COUNT, WHOLE, InputError, check_numbers
from sim.files import atomic_path, write_error
from sim.geometry import make_pose
from sim.jobs import run_jobs
from sim.objects.named import published_objects
from sim.objects.object_set import ObjectModel, ObjectSet
from sim.physics import PhysicsSettings, TraySettings, matrix_to_pose, pose_to_matrix
from sim.scene import DEFAULT_COUNTS, Scene, SceneSettings, SceneState, as_saved, fitting_counts

PUBLISHED = {name: Path(__file__).parent / f"{name}.json" for name in ("plgp-320", "plgp-320-v2")}
# What the published scenes fell by. The first fell on a tray on which nothing slides, by a solver that stops earlier.
PUBLISHED_SETTINGS = {
    "plgp-320": SceneSettings(tray=TraySettings(friction=1.0), physics=PhysicsSettings(solver_residual=3e-4)),
    "plgp-320-v2": SceneSettings(),
}
HOUSEHOLD = "plgp-household"  # scenes of procedural objects
STANDING = "plgp-standing"  # procedural objects that are put where a hand from straight above has little to hold
_FILES = PUBLISHED | {name: Path(__file__).parent / f"{name}.json" for name in (HOUSEHOLD, STANDING)}
# Which families each of its categories holds.
_STANDING = {
    "upright": ("bottle", "jar", "can", "canister"),
    "plates": ("plate", "book", "tin", "coaster"),
    "walls": ("carton", "can", "bottle", "book", "tin"),
}
_BESIDE_WALL, _BETWEEN = 0.002, 0.02  # metres: from the wall's foot, and between two objects
_TRIES = 10  # a scene that does not come to rest is dropped anew so many times
# Decimals of the published poses. A micrometre: far below what the physics can tell apart, and the file stays small.
PUBLISHED_DIGITS = 6

SceneSet = dict[str, list[SceneState]]
FloatArray = NDArray[np.float64]


def make_scenes(
    objects: ObjectSet,
    category: str,
    scenes: int,
    *,
    count: int,
    seed: int,
    settings: SceneSettings | None = None,
    workers: int = 1,
) -> list[SceneState]:
    """Returns scenes at rest, each a function of (seed, its number) alone.

    Args:
        objects: Object set to drop from.
        category: Category of the scenes in tables, for example "novel-5".
        scenes: Number of scenes.
        count: Number of objects in each scene.
        seed: Seed of everything random.
        settings: Tray, physics and dropping.
        workers: Number of processes.

    Raises:
        InputError: The seed is negative, there is no scene to make, or one did not come to rest with all its objects in
            ten tries.
    """
    _check_draw("scenes", seed, scenes)
    jobs = [(objects, category, index, count, seed, settings) for index in range(scenes)]
    shown = followed(run_jobs(_make_scene, jobs, workers), f"scenes {category}", scenes)
    return [scene for _, scene in sorted(shown, key=lambda pair: pair[0])]


def _check_draw(group: str, seed: int, scenes: int) -> None:
    """Raises InputError for a seed that nothing can be drawn from, or a number of scenes that is none."""
    check_numbers(group, SimpleNamespace(seed=seed, scenes=scenes), {"seed": WHOLE, "scenes": COUNT})


def _make_scene(
    objects: ObjectSet, category: str, index: int, count: int, seed: int, settings: SceneSettings | None
) -> tuple[int, SceneState]:
    """Returns a scene's number and the scene; runs in a worker."""
    rng = np.random.default_rng([seed, index])
    for _ in range(_TRIES):
        with Scene(objects, settings) as scene:
            scene.drop(count, rng)
            if scene.settle() and len(scene.models) == count:
                return index, scene.state(category, seed)
    raise InputError(f"scene {index} of '{category}' (seed {seed}) never came to rest; take smaller objects")


def drop_scene_set(
    objects: ObjectSet,
    name: str = "own",
    scenes: int = 5,
    *,
    object_counts: Sequence[int] = DEFAULT_COUNTS,
    seed: int = 0,
    settings: SceneSettings | None = None,
    workers: int = 1,
) -> SceneSet:
    """Returns new scenes of any objects, a category ``name-count`` for each of ``object_counts``.

    Args:
        objects: Object set to drop from.
        name: First half of the categories' names.
        scenes: Number of scenes in each category.
        object_counts: Number of objects in each scene, one a category.
        seed: Seed of everything random.
        settings: Tray, physics and dropping.
        workers: Number of processes.

    Raises:
        InputError: The set has too few objects, the seed is negative, there is no scene to make, or one did not come to
            rest.
    """
    _check_draw("scene_set", seed, scenes)
    options: dict[str, Any] = {"seed": seed, "settings": settings, "workers": workers}
    counts = fitting_counts(object_counts, objects, "scene_set.object_counts")
    return {f"{name}-{n}": make_scenes(objects, f"{name}-{n}", scenes, count=n, **options) for n in counts}


def load_scene_set(path: str | Path, objects: ObjectSet | None = None) -> SceneSet:
    """Reads a published set by its name, or a file of ``save_scene_set``.

    Args:
        path: "plgp-320-v2", "plgp-320", "plgp-household", "plgp-standing", or a file.
        objects: Object set that holds the file's objects; None for PyBullet's and procedural ones.

    Raises:
        InputError: The file is missing or broken, or names objects that the set does not have.
    """
    file = _FILES.get(str(path), Path(path))
    try:
        content = json.loads(file.read_text())
        known = objects or published_objects([n for part in content["categories"].values() for n in part["objects"]])
        tray = TraySettings.from_saved(content["tray"])
        result = {}
        for category, part in content["categories"].items():
            scales = part.get("scales", [None] * len(part["objects"]))
            weights = part.get("weights", [None] * len(part["objects"]))
            models = [as_saved(known.model(n), *own) for n, *own in zip(part["objects"], scales, weights, strict=True)]
            notes = part.get("notes", [{}] * len(part["scenes"]))
            result[category] = [
                SceneState(
                    tuple(models[int(row[0])] for row in rows),
                    np.array([pose_to_matrix(row[1:4], row[4:]) for row in rows]),
                    tray,
                    category,
                    note.get("seed", part["seed"]),
                    note.get("at_rest", True),
                    tuple(note.get("fallen", ())),
                )
                for rows, note in zip(part["scenes"], notes, strict=True)
            ]
    except InputError:
        raise
    except FileNotFoundError as error:
        names = ", ".join(_FILES)
        raise InputError(f"scene set {path} does not exist; give a file, or one of: {names}") from error
    except (OSError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"scene set {file} cannot be read ({error}); make it anew") from error
    return result


def save_scene_set(scenes: SceneSet, path: str | Path, made_by: str = "", *, digits: int | None = None) -> None:
    """Writes a set as one JSON file, a line a scene: rows of object number, x, y, z (metres), quaternion xyzw.

    ``load_scene_set`` reads back all that a scene holds: scales, weights, seeds, whether it is at rest, what fell out.

    Args:
        scenes: The set, of scenes in one kind of tray, each listed under its own category.
        path: The file.
        made_by: Command that made the scenes, for readers.
        digits: Decimals of the poses; None keeps them whole.

    Raises:
        InputError: There is no scene, trays differ, a scene is of another category, or the file cannot be written.
    """
    trays = {s.tray for part in scenes.values() for s in part}
    if len(trays) != 1 or not all(scenes.values()):
        raise InputError("a scene set file holds scenes of one tray, at least one a category; save these one by one")
    lines = []
    for category, part in scenes.items():
        if any(s.category != category for s in part):
            raise InputError(f"a scene of category '{part[0].category}' is listed as '{category}'; list it as its own")
        found = sorted({(m.name, m.scale, m.weight) for s in part for m in s.models})
        number = {key: i for i, key in enumerate(found)}
        rows = [
            [[number[m.name, m.scale, m.weight], *_numbers(p, digits)] for m, p in zip(s.models, s.poses, strict=True)]
            for s in part
        ]
        head = json.dumps({"seed": part[0].seed, "objects": [name for name, *_ in found], **_extras(part, found)})[:-1]
        body = ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows)
        lines.append(f'{json.dumps(category)}: {head}, "scenes": [\n{body}\n]}}')
    head = json.dumps({"made_by": made_by, "row": "object, x, y, z, qx, qy, qz, qw", "tray": trays.pop().to_saved()})[
        :-1
    ]
    try:
        with atomic_path(Path(path)) as temporary:
            temporary.write_text(head + ',\n"categories": {\n' + ",\n".join(lines) + "\n}}\n")
    except OSError as error:
        raise write_error(path, error) from error


def _extras(part: Sequence[SceneState], found: Sequence[tuple[str, float, float]]) -> dict[str, Any]:
    """Returns what a category holds beyond scenes at rest of objects of scale and weight 1: nothing as a rule."""
    usual = {"seed": part[0].seed, "at_rest": True, "fallen": []}
    notes = [{"seed": s.seed, "at_rest": s.at_rest, "fallen": list(s.fallen)} for s in part]
    extras: dict[str, Any] = {}
    for place, name in ((1, "scales"), (2, "weights")):
        if any(object[place] != 1 for object in found):
            extras[name] = [object[place] for object in found]
    if any(note != usual for note in notes):
        extras["notes"] = [{k: v for k, v in note.items() if v != usual[k]} for note in notes]
    return extras


def _numbers(pose: NDArray[np.float64], digits: int | None) -> list[float]:
    """Returns a pose's x, y, z in metres and its quaternion xyzw, as a file keeps them."""
    position, quaternion = matrix_to_pose(pose)
    return [v if digits is None else round(v, digits) for v in (*position, *quaternion)]


def load_scene_files(folder: str | Path, objects: ObjectSet, pattern: str = "*.json") -> SceneSet:
    """Reads every scene file of a folder, in the order of their names, by their categories.

    Args:
        folder: The folder.
        objects: Object set that holds their objects.
        pattern: Pattern of the files' names: those of ``SceneState.save``, or the authors' ``*_pose.mat``.

    Raises:
        InputError: There is none, or one cannot be read.
    """
    from sim.benchmark.authors_scenes import read_pose_scene

    files = sorted(Path(folder).glob(pattern))
    if not files:
        raise InputError(f"no scene file '{pattern}' in {folder}")
    result: SceneSet = {}
    for file in files:
        if file.suffix == ".mat":
            scene = read_pose_scene(file, objects, category=Path(folder).name)
        else:
            scene = SceneState.load(file, objects)
        result.setdefault(scene.category or Path(folder).name, []).append(scene)
    return result


def make_published(
    name: str = "plgp-320-v2",
    *,
    seed: int = 320,
    scenes: int = 80,
    objects: int = 77,
    counts: Sequence[int] = (5, 15),
    workers: int = 2,
) -> SceneSet:
    """Makes a published set (section III-E): 80 scenes in each category, of 77 seen and 77 novel objects.

    Both versions hold the same objects.

    Args:
        name: Name of the set, a key of ``PUBLISHED_SETTINGS``.
        seed: Seed of the choice of objects and of the scenes.
        scenes: Number of scenes in each category.
        objects: Number of different objects in the seen categories, and as many in the novel ones.
        counts: Number of objects in each scene, one a category.
        workers: Number of processes.

    Raises:
        InputError: No published set has the name, the seed is negative, or there is no scene to make.
    """
    if name not in PUBLISHED_SETTINGS:
        raise InputError(f"'{name}' is no published set; give one of: {', '.join(PUBLISHED_SETTINGS)}")
    _check_draw(name, seed, scenes)
    result: SceneSet = {}
    for number, (half, pool) in enumerate((("seen", ObjectSet.pybullet()), ("novel", ObjectSet.pybullet(900, 999)))):
        rng = np.random.default_rng([seed, number])
        chosen = sorted(rng.choice(len(pool), objects, replace=False))
        subset = ObjectSet(f"{half}-{objects}", tuple(pool.models[i] for i in chosen))
        for count in counts:
            category = f"{half}-{count}"
            result[category] = make_scenes(
                subset,
                category,
                scenes,
                count=count,
                seed=seed + 100 * number + count,
                settings=PUBLISHED_SETTINGS[name],
                workers=workers,
            )
    return result


def make_household(*, seed: int = 20, scenes: int = 40, counts: Sequence[int] = (5, 15), workers: int = 2) -> SceneSet:
    """Makes ``plgp-household``: scenes of procedural objects, the novel ones of families held out of training.

    Args:
        seed: Seed of the scenes.
        scenes: Number of scenes in each category.
        counts: Number of objects in each scene, one a category.
        workers: Number of processes.

    Raises:
        InputError: The seed is negative, or there is no scene to make.
    """
    _check_draw(HOUSEHOLD, seed, scenes)
    pools = {
        "seen": ObjectSet.procedural(0, 0, 199, families="seen"),
        "novel": ObjectSet.procedural(1, 0, 499, families="novel"),
    }
    return {
        f"{half}-{count}": make_scenes(
            pool, f"{half}-{count}", scenes, count=count, seed=seed + 100 * number + count, workers=workers
        )
        for number, (half, pool) in enumerate(pools.items())
        for count in counts
    }


def make_standing(*, seed: int = 22, scenes: int = 12, count: int = 3, workers: int = 2) -> SceneSet:
    """Makes ``plgp-standing``: upright bottles, flat plates, and objects at the tray's walls, each as it is put.

    Args:
        seed: Seed of the scenes.
        scenes: Number of scenes in each category.
        count: Number of objects in each scene.
        workers: Number of processes.

    Raises:
        InputError: The seed is negative, or there is no scene to make.
    """
    _check_draw(STANDING, seed, scenes)
    result: SceneSet = {}
    for number, (category, families) in enumerate(_STANDING.items()):
        pool = ObjectSet.procedural(1, 0, 299, families=families)
        jobs = [(pool, category, index, count, seed + 100 * number) for index in range(scenes)]
        result[category] = [scene for _, scene in sorted(run_jobs(_put_scene, jobs, workers), key=lambda pair: pair[0])]
    return result


def _put_scene(objects: ObjectSet, category: str, index: int, count: int, seed: int) -> tuple[int, SceneState]:
    """Returns a scene's number and the scene of objects that stand apart; runs in a worker."""
    rng = np.random.default_rng([seed, index])
    for _ in range(_TRIES):
        with Scene(objects) as scene:
            taken, tray, at_wall = np.zeros((0, 3)), scene.settings.tray, category == "walls"
            for number in rng.permutation(len(objects)):
                if len(taken) == count:
                    break
                found = _free_place(objects.models[number], taken, tray=tray, at_wall=at_wall, rng=rng)
                if found is not None:
                    scene.put(objects.models[number], found[0])
                    taken = np.vstack([taken, found[1]])
            if len(taken) == count and scene.settle() and len(scene.models) == count:
                return index, scene.state(category, seed)
    raise InputError(f"scene {index} of '{category}' (seed {seed}) never came to rest; take smaller objects")


def _free_place(
    model: ObjectModel, taken: FloatArray, *, tray: TraySettings, at_wall: bool, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray] | None:
    """Returns an upright object's pose apart from others, and (x, y, reach) in metres; None where there is none.

    ``taken`` (N, 3) are those of the others. ``at_wall`` puts its box against a wall, with the sides along it.
    """
    low, high = model.mesh().vertices.min(axis=0), model.mesh().vertices.max(axis=0)
    reach, half = float(np.linalg.norm((high - low)[:2]) / 2), tray.half_floor
    if reach > half:
        return None
    for _ in range(_TRIES):
        turn = Rotation.from_rotvec([0, 0, rng.uniform(0, 2 * np.pi)])
        place = rng.uniform(reach - half, half - reach, 2)
        if at_wall:
            turn, side = Rotation.from_rotvec([0, 0, rng.integers(4) * np.pi / 2]), int(rng.integers(2))
            place[side] = (half - _BESIDE_WALL - np.abs(turn.apply(high - low))[side] / 2) * rng.choice([-1, 1])
        apart = np.linalg.norm(taken[:, :2] - place, axis=1) >= taken[:, 2] + reach + _BETWEEN
        if apart.all():
            foot = place - turn.apply((low + high) / 2)[:2]
            return make_pose(turn.as_matrix(), (*foot, 0.001 - low[2])), np.array([*place, reach])
    return None
