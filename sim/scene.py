"""Tray scenes: objects dropped into the tray and brought to rest."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.errors import COUNT, NOT_NEGATIVE, POSITIVE, WHOLE, InputError, check_numbers
from sim.files import atomic_path, write_error
from sim.geometry import make_pose, transform
from sim.objects import ObjectModel, ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World, pose_to_matrix

FloatArray = NDArray[np.float64]

_NEAREST = 0.7  # share of drop_area: least distance of a dropped object from the middle, where several fall at a time
_GAP = 0.01  # metres between an object that is about to fall and those below it


DEFAULT_COUNTS = (5, 15)  # objects in a scene, the paper's


def fitting_counts(counts: Sequence[int], objects: ObjectSet, key: str) -> tuple[int, ...]:
    """Returns numbers of objects a scene that an object set can give.

    The default, 5 and 15, is cut to a smaller set with a warning; any other numbers must fit.

    Args:
        counts: Numbers of objects, one a kind of scene.
        objects: The object set.
        key: Name of the setting in the messages, for example "recipe.object_counts".

    Raises:
        InputError: A number is less than 1, or more than the set has.
    """
    asked, most = tuple(int(n) for n in counts), len(objects)
    if asked and min(asked) >= 1 and max(asked) <= most:
        return asked
    if asked != DEFAULT_COUNTS or not most:
        raise InputError(f"{key} is {list(asked)}; give numbers from 1 to {most}, the objects of '{objects.name}'")
    fitting = tuple(dict.fromkeys(min(n, most) for n in asked))
    kinds = " and ".join(str(n) for n in fitting)
    warnings.warn(
        f"'{objects.name}' has {most} objects: scenes have {kinds} instead of 5 and 15; {key} says", stacklevel=3
    )
    return fitting


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """How scenes are made.

    Attributes:
        tray: Tray into which objects fall.
        physics: Physical constants.
        drop_height: Height above the pile from which an object falls, metres.
        drop_area: Half the side of the square over which objects appear, metres.
        wave: Number of objects that fall at a time, side by side.
        wave_steps: Number of time steps between two waves.
        settle_steps: Largest number of time steps to come to rest.
        still: Largest shift in a quarter of a second that counts as rest, metres.
        drops: Number of times that an object that left the tray is dropped again.
    """

    tray: TraySettings = field(default_factory=TraySettings)
    physics: PhysicsSettings = field(default_factory=PhysicsSettings)
    drop_height: float = 0.08
    drop_area: float = 0.10
    wave: int = 4
    wave_steps: int = 72
    settle_steps: int = 4800
    still: float = 2e-4
    drops: int = 3

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = dict.fromkeys(("drop_height", "still"), POSITIVE) | {"drop_area": NOT_NEGATIVE, "drops": WHOLE}
        check_numbers("scene", self, limits | dict.fromkeys(("wave", "wave_steps", "settle_steps"), COUNT))
        half = self.tray.floor / 2 + self.tray.wall_lean
        if _NEAREST * self.drop_area > half:
            raise InputError(
                f"scene.drop_area is {self.drop_area} m and half of the tray {half:g} m: every object would fall "
                "beside it; give a smaller scene.drop_area"
            )


@dataclass(frozen=True)
class SceneState:
    """Which objects lie where: all that is needed to rebuild a scene.

    Attributes:
        models: Objects.
        poses: (N, 4, 4) float64 T_world_link of the objects, metres.
        tray: Tray in which they lie.
        category: Name of the scene's kind, for example "novel-5"; free text.
        seed: Seed that made the scene; free.
        at_rest: Whether the scene came to rest.
        fallen: Names of the objects that fell out of the tray for good and are not among ``models``.
    """

    models: tuple[ObjectModel, ...]
    poses: FloatArray
    tray: TraySettings = field(default_factory=TraySettings)
    category: str = ""
    seed: int = 0
    at_rest: bool = True
    fallen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks shapes; raises InputError."""
        poses = np.asarray(self.poses, np.float64).reshape(-1, 4, 4)
        if len(poses) != len(self.models):
            raise InputError(f"a scene of {len(self.models)} objects needs as many poses, not {len(poses)}")
        object.__setattr__(self, "poses", poses)

    @property
    def names(self) -> list[str]:
        """The objects' names."""
        return [m.name for m in self.models]

    def keep(self, indices: list[int]) -> SceneState:
        """Returns the scene with only these objects."""
        return replace(self, models=tuple(self.models[i] for i in indices), poses=self.poses[indices])

    def to_json(self) -> dict[str, Any]:
        """Returns names, scales, weights but 1, poses (xyz in metres, quaternion xyzw), tray, seed as plain JSON."""
        rows = []
        for model, pose in zip(self.models, self.poses, strict=True):
            quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()
            row = {"name": model.name, "scale": model.scale, "pose": [*pose[:3, 3].tolist(), *quaternion.tolist()]}
            rows.append(row if model.weight == 1 else row | {"weight": model.weight})
        return {
            "category": self.category,
            "seed": self.seed,
            "at_rest": self.at_rest,
            "fallen": list(self.fallen),
            "tray": self.tray.to_saved(),
            "objects": rows,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any], objects: ObjectSet) -> SceneState:
        """Returns the scene of ``to_json``; raises InputError, KeyError, TypeError or ValueError for what is none."""
        rows = content["objects"]
        models = tuple(as_saved(objects.model(r["name"]), r["scale"], r.get("weight")) for r in rows)
        poses = np.array([pose_to_matrix(r["pose"][:3], r["pose"][3:]) for r in rows])
        tray, fallen = TraySettings.from_saved(content["tray"]), content.get("fallen", [])
        about = content["category"], content["seed"], content["at_rest"]
        if [type(value) for value in about] != [str, int, bool] or not isinstance(fallen, list):
            raise ValueError("category is a text, seed a whole number, at_rest true or false, fallen a list of names")
        numbers = [*poses.ravel(), *(n for m in models for n in (m.scale, m.weight)), *vars(tray).values()]
        if not np.isfinite(np.array(numbers, np.float64)).all() or any(min(m.scale, m.weight) <= 0 for m in models):
            raise ValueError("poses, scales, weights and the tray are finite numbers, scales and weights above 0")
        if not all(isinstance(name, str) for name in fallen):
            raise ValueError("fallen holds the names of objects")
        return cls(models, poses, tray, *about, tuple(fallen))

    def save(self, path: str | Path) -> None:
        """Writes ``to_json`` to one small file, whole or not at all; raises InputError where it cannot be written."""
        try:
            with atomic_path(Path(path)) as temporary:
                temporary.write_text(json.dumps(self.to_json(), indent=1) + "\n")
        except OSError as error:
            raise write_error(path, error) from error

    @classmethod
    def load(cls, path: str | Path, objects: ObjectSet) -> SceneState:
        """Reads a scene file; ``objects`` must hold the objects that it names. Raises InputError."""
        try:
            return cls.from_json(json.loads(Path(path).read_text()), objects)
        except InputError:
            raise
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"scene file {path} cannot be read ({error}); make it anew") from error


def as_saved(model: ObjectModel, scale: float | None, weight: float | None) -> ObjectModel:
    """Returns a model with the scale and the weight of a saved scene; None keeps its set's."""
    return replace(
        model,
        scale=model.scale if scale is None else float(scale),
        weight=model.weight if weight is None else float(weight),
    )


def object_places(models: Sequence[ObjectModel], poses: Sequence[FloatArray] | FloatArray) -> FloatArray:
    """Returns where objects are: the middles of their boxes, whatever origins their files have.

    The box is the mesh's along the axes of the link, so its middle is a fixed point of the object. The link's origin
    may lie under the object or far beside it.

    Args:
        models: N objects.
        poses: N poses T_world_link, (4, 4) each, metres.

    Returns:
        (N, 3) float64, world frame, metres.
    """
    places = np.zeros((len(models), 3))
    for i, (model, pose) in enumerate(zip(models, poses, strict=True)):
        vertices = model.mesh().vertices
        places[i] = transform(pose, (vertices.min(axis=0) + vertices.max(axis=0))[None] / 2)[0]
    return places


class Scene:
    """A tray in PyBullet into which objects are dropped. Use it as a context manager."""

    def __init__(self, objects: ObjectSet, settings: SceneSettings | None = None) -> None:
        """Makes an empty tray.

        Args:
            objects: Objects from which ``drop`` picks.
            settings: How the scene is made; the defaults where left out.
        """
        self.objects = objects
        self.settings = settings or SceneSettings()
        self.models: list[ObjectModel] = []
        self.fallen: list[ObjectModel] = []
        self.at_rest = True
        self.category, self.seed = "", 0
        self._rng = np.random.default_rng(0)
        self.world = World(self.settings.physics, self.settings.tray)

    def __enter__(self) -> Scene:
        """Returns the scene itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the PyBullet client."""
        self.world.close()

    def drop(self, count: int, rng: np.random.Generator) -> None:
        """Lets ``count`` different random objects fall into the tray, a few at a time.

        Args:
            count: Number of objects, at most as many as the set has.
            rng: Source of all randomness, ``settle``'s too.

        Raises:
            InputError: The set has fewer objects, none are asked for, or one is larger than the tray.
        """
        if not 1 <= count <= len(self.objects):
            raise InputError(f"cannot drop {count} objects of a set of {len(self.objects)}")
        self._rng = rng
        picked = [self.objects.models[i] for i in rng.choice(len(self.objects), count, replace=False)]
        for model in picked:
            _check_size(model, self.settings.tray)
        self._drop(picked, rng)
        self.at_rest = False

    def put(self, model: ObjectModel, pose: FloatArray) -> None:
        """Puts an object into the tray where it is wanted; ``settle`` lets it come to rest.

        Args:
            model: The object.
            pose: (4, 4) T_world_link, metres.

        Raises:
            InputError: The object is larger than the tray.
        """
        _check_size(model, self.settings.tray)
        self.world.add(model, pose)
        self.models.append(model)
        self.at_rest = False

    def _drop(self, models: list[ObjectModel], rng: np.random.Generator) -> None:
        """Lets objects fall, ``settings.wave`` at a time, side by side around a circle over the pile."""
        s = self.settings
        for start in range(0, len(models), s.wave):
            wave = models[start : start + s.wave]
            pile = max((self._height(i, p) for i, p in enumerate(self.world.poses())), default=0.0)
            turn = rng.uniform(0, 2 * np.pi)
            for i, model in enumerate(wave):
                pose = make_pose(Rotation.random(rng=rng).as_matrix(), np.zeros(3))
                # A little chance in the radius keeps piles apart.
                angle = turn + 2 * np.pi * i / len(wave)
                spread = s.drop_area * (rng.uniform(_NEAREST, 1.0) if len(wave) > 1 else rng.uniform(0, 1))
                pose[:2, 3] = spread * np.array([np.cos(angle), np.sin(angle)])
                vertices = model.mesh().vertices @ pose[:3, :3].T
                # Meshes need not be centred on their origin: put the bounding box's middle there.
                pose[:2, 3] -= (vertices.min(axis=0) + vertices.max(axis=0))[:2] / 2
                pose[2, 3] = max(pile, 0) + s.drop_height - vertices[:, 2].min()
                index = self.world.add(model, pose)
                self.models.append(model)
                self._raise_clear(index, pose)
            self.world.step(s.wave_steps)

    def _height(self, index: int, pose: FloatArray) -> float:
        """Returns how high an object reaches as the pile counts it, metres: its origin, or its top if that is lower."""
        return float(min(pose[2, 3], self._span(index, pose)[1]))

    def _span(self, index: int, pose: FloatArray) -> tuple[float, float]:
        """Returns the world heights of an object's lowest and highest point, metres."""
        heights = transform(pose, self.models[index].mesh().vertices)[:, 2]
        return float(heights.min()), float(heights.max())

    def _raise_clear(self, index: int, pose: FloatArray) -> None:
        """Raises an object that was just put in until it starts inside no other one; changes ``pose``."""
        while inside := self.world.overlapping(index):
            poses = self.world.poses()
            top = max(self._span(i, poses[i])[1] for i in inside)
            pose[2, 3] += max(top - self._span(index, pose)[0], 0) + _GAP
            self.world.place(index, pose)

    def settle(self) -> bool:
        """Brings the scene to real rest and drops again what left the tray, ``settings.drops`` times.

        What lies outside the tray even then is taken away and recorded in ``fallen``.

        Returns:
            Whether every object is in the tray and still.
        """
        for again in range(self.settings.drops + 1):
            self.at_rest = self.world.settle(self.settings.settle_steps, still=self.settings.still)
            outside = self._take_fallen()
            if not outside:
                return self.at_rest
            if again < self.settings.drops:
                self._drop(outside, self._rng)
        self.fallen += outside
        return False

    def _take_fallen(self) -> list[ObjectModel]:
        """Removes and returns the objects that are not in the tray."""
        places = object_places(self.models, self.world.poses())
        outside = [i for i, place in enumerate(places) if not self.settings.tray.contains(place)]
        fallen = [self.models[i] for i in outside]
        for i in reversed(outside):
            self.world.remove(i)
            del self.models[i]
        return fallen

    def state(self, category: str | None = None, seed: int | None = None) -> SceneState:
        """Returns where everything lies now.

        Args:
            category: Category of the scene; None for that of the file from which it was loaded, "" without one.
            seed: Seed of the scene; None for the file's, 0 without one.
        """
        category = self.category if category is None else category
        seed = self.seed if seed is None else seed
        poses = np.array(self.world.poses()).reshape(-1, 4, 4)
        fallen = tuple(m.name for m in self.fallen)
        return SceneState(tuple(self.models), poses, self.settings.tray, category, seed, self.at_rest, fallen)

    def save(self, path: str | Path) -> None:
        """Writes the scene's state to one small JSON file; raises InputError where it cannot be written."""
        self.state().save(path)

    @classmethod
    def load(cls, path: str | Path, objects: ObjectSet, settings: SceneSettings | None = None) -> Scene:
        """Returns a scene rebuilt from a file of ``save``, with all that the file holds.

        Args:
            path: The file.
            objects: Object set that holds the objects that it names.
            settings: How the scene goes on; its tray is replaced by the file's.

        Raises:
            InputError: The file cannot be read, or names an object that the set does not have.
        """
        state = SceneState.load(path, objects)
        scene = cls(objects, replace(settings or SceneSettings(), tray=state.tray))
        scene.models = list(state.models)
        scene.fallen = [objects.model(name) for name in state.fallen]
        scene.at_rest, scene.category, scene.seed = state.at_rest, state.category, state.seed
        scene.world.rebuild(scene.models, list(state.poses))
        return scene


def _check_size(model: ObjectModel, tray: TraySettings) -> None:
    """Raises InputError for an object that cannot lie in the tray."""
    sides = np.sort(np.ptp(model.mesh().vertices, axis=0))
    if sides[1] > tray.opening or sides[2] > np.sqrt(2) * tray.opening:
        size = " x ".join(f"{side:.3g}" for side in sides)
        raise InputError(
            f"object '{model.name}' of {size} m is larger than the tray of {tray.opening:.3g} m; "
            "give objects.scale (0.001 for millimetres) or a larger scene.tray.floor"
        )
