"""Which objects lie together in each scene of Table V."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim.errors import COUNT, WHOLE, InputError, check_numbers
from sim.objects.object_set import ObjectModel, ObjectSet
from sim.scene import Scene, SceneSettings, SceneState

_TRIES = 10  # a scene that does not come to rest is dropped anew so many times


@dataclass(frozen=True, kw_only=True)
class ProtocolSettings:
    """The protocol of section V-C.

    Attributes:
        objects: Number of different objects, drawn from the object set.
        sizes: Numbers of objects in the tray at a time, M.
        rounds: Number of times that every object is placed, for each size.
        max_failures: Failures in a row that end a scene.
        seed: Seed of the choice of objects, of their groups, of how they fall, and of the camera's noise.
    """

    objects: int = 40
    sizes: tuple[int, ...] = (1, 5, 10)
    rounds: int = 10
    max_failures: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        check_numbers("protocol", self, dict.fromkeys(("objects", "rounds", "max_failures"), COUNT) | {"seed": WHOLE})
        sizes = [self.sizes] if isinstance(self.sizes, int) else list(self.sizes)
        whole = sizes and all(isinstance(s, int) and not isinstance(s, bool) and s >= 1 for s in sizes)
        if not whole or len(set(sizes)) < len(sizes):
            raise InputError(f"sizes is {self.sizes}; give different whole numbers from 1 on, for example [1,5,10]")
        for size in sizes:
            if self.objects % size:
                raise InputError(
                    f"sizes has {size}, but {self.objects} objects do not fall into groups of {size}; "
                    "give sizes that divide protocol.objects"
                )
        object.__setattr__(self, "sizes", tuple(sizes))


class SceneTask(NamedTuple):
    """One scene of the protocol.

    Attributes:
        size: Number of objects, M.
        number: Number of the scene among those of its size.
        models: Its objects.
    """

    size: int
    number: int
    models: tuple[ObjectModel, ...]


def scene_tasks(objects: ObjectSet, settings: ProtocolSettings) -> list[SceneTask]:
    """Returns all scenes of the protocol: in each round every object is placed once, in groups drawn anew.

    Args:
        objects: Object set from which the objects are drawn.
        settings: The protocol.

    Raises:
        InputError: The set has too few objects.
    """
    if len(objects) < settings.objects:
        raise InputError(
            f"the protocol takes {settings.objects} objects, '{objects.name}' has {len(objects)}; "
            f"give protocol.objects={len(objects)} or a larger set"
        )
    chosen = np.sort(np.random.default_rng([settings.seed, 0]).permutation(len(objects))[: settings.objects])
    tasks = []
    for size in settings.sizes:
        number = 0
        for turn in range(settings.rounds):
            order = np.random.default_rng([settings.seed, size, turn]).permutation(chosen)
            for group in order.reshape(-1, size):
                tasks.append(SceneTask(size, number, tuple(objects.models[i] for i in group)))
                number += 1
    return tasks


def drop_scene(task: SceneTask, settings: SceneSettings, seed: int) -> SceneState:
    """Returns a scene at rest: a function of its arguments alone.

    Args:
        task: The scene's objects and number.
        settings: Tray, physics and dropping.
        seed: Seed of the protocol.

    Raises:
        InputError: The scene did not come to rest with all its objects in ten tries.
    """
    rng = np.random.default_rng([seed, task.size, task.number])
    group = ObjectSet(f"table5-{task.size}", task.models)
    for _ in range(_TRIES):
        with Scene(group, settings) as scene:
            scene.drop(task.size, rng)
            if scene.settle() and len(scene.models) == task.size:
                return scene.state(f"table5-{task.size}", seed)
    raise InputError(
        f"scene {task.number} of {task.size} objects (seed {seed}) never came to rest; take smaller objects"
    )
