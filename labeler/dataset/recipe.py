"""Everything that shapes a data set, in one dataclass with a hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from labeler.dataset.manifest import SCHEMA_VERSION
from labeler.settings import LabelSettings, check_hand
from sim.benchmark.protocol import check_height
from sim.camera import PinholeCamera
from sim.depth_noise.model import Noise, describe_noise
from sim.depth_noise.paper import DepthNoise
from sim.errors import COUNT, NOT_NEGATIVE, POSITIVE, WHOLE, InputError, check_numbers
from sim.gripper import GripperGeometry
from sim.identity.objects import digest_looks, digest_meshes
from sim.objects import ObjectSet
from sim.render.appearance import Appearance, RandomAppearance
from sim.scene import DEFAULT_COUNTS, SceneSettings, fitting_counts
from sim.worlds import RandomWorld

GENERATOR_VERSION = 3  # raise it when the same recipe gives other data; 3: a second pass of labels


def digest_objects(objects: ObjectSet) -> str:
    """Returns the SHA-256 of a set's names, scales and URDF files, hexadecimal."""
    models = [(m.name, m.scale, hashlib.sha256(m.described).hexdigest()) for m in objects.models]
    return hashlib.sha256(json.dumps(models).encode()).hexdigest()


def describe_objects(objects: ObjectSet) -> dict[str, Any]:
    """Returns what a recipe says of its objects: ``meshes`` and ``looks`` only where files beside the URDFs decide."""
    beside = {"meshes": digest_meshes(objects.models), "looks": digest_looks(objects.models)}
    about = {"name": objects.name, "count": len(objects), "sha256": digest_objects(objects)}
    return about | {name: digest for name, digest in beside.items() if digest}


@dataclass(frozen=True, kw_only=True)
class DataSetRecipe:
    """What a data set is made from; its contents are a function of this alone.

    Attributes:
        objects: Objects that scenes pick from.
        scene: Tray, physics and dropping.
        camera: Pinhole camera; its pose is replaced by the views'.
        pixels_per_metre: Scale of the parallel image, eta.
        gripper: Gripper that the labels are for.
        labels: Label thresholds.
        depth_noise: Noise of ``depth_noisy``.
        appearance: Light and colours of ``rgb``; a random one is drawn for every view.
        scenes: Number of scenes.
        views: Number of views of each scene.
        object_counts: Numbers of objects a scene, taken in turn.
        camera_height: Height of the camera over the tray's floor, metres.
        max_offset: Greatest shift of a view along the camera's x and y, metres; l of eq. (3).
        parallel_side: Least side of the square that the parallel image covers, metres; see ``parallel_extent``.
        world: Ranges from which every scene's tray and number of objects, and every view's camera are drawn; None is
            the paper's world, where ``scene``, ``object_counts``, ``camera``, ``camera_height`` and ``max_offset`` say.
        scores: Whether the labels' scores are kept, for ``data.quality_floor``.
        seed: Seed of everything random; scene i draws from ``default_rng([seed, i])``.
        name: Name of the data set in tables; not part of the hash.
    """

    objects: ObjectSet = field(default_factory=ObjectSet.pybullet)
    scene: SceneSettings = field(default_factory=SceneSettings)
    camera: PinholeCamera = field(default_factory=PinholeCamera.from_fov)
    pixels_per_metre: float = 5000.0
    gripper: GripperGeometry = field(default_factory=GripperGeometry)
    labels: LabelSettings = field(default_factory=LabelSettings)
    depth_noise: Noise = field(default_factory=DepthNoise)
    appearance: Appearance | RandomAppearance = field(default_factory=Appearance)
    scenes: int = 100
    views: int = 5
    object_counts: tuple[int, ...] = DEFAULT_COUNTS
    camera_height: float = 0.6
    max_offset: float = 0.2
    parallel_side: float = 0.6
    world: RandomWorld | None = None
    scores: bool = False
    seed: int = 0
    name: str = "plgp"

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        counts: Any = self.object_counts
        try:
            counts = tuple(int(n) for n in counts)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"data set: object_counts is {counts!r}; give whole numbers, for example [5, 15]"
            ) from error
        if self.world is None:  # which draws its own numbers
            counts = fitting_counts(counts, self.objects, "recipe.object_counts")
        object.__setattr__(self, "object_counts", counts)
        limits = dict.fromkeys(("scenes", "views"), COUNT) | {"seed": WHOLE, "max_offset": NOT_NEGATIVE}
        limits |= dict.fromkeys(("pixels_per_metre", "camera_height", "parallel_side"), POSITIVE)
        check_numbers("recipe", self, limits)
        check_hand(self.labels, self.gripper)
        check_height("recipe", self.camera_height, self.gripper)

    @property
    def parallel_extent(self) -> float:
        """Side of the square that the parallel image covers, metres: ``parallel_side``, or more for a larger tray."""
        return max(self.parallel_side, self.scene.tray.view_side)

    @property
    def canvas(self) -> tuple[int, int] | None:
        """Rows and columns that every image of a shard can hold; None where all images have the camera's size."""
        largest = None if self.world is None else self.world.largest
        return None if largest is None else (largest[1], largest[0])

    def describe(self) -> dict[str, Any]:
        """Returns everything that shapes the data, as JSON can hold it."""
        # Hashes of recipes that lack these stay as they were.
        drawn: dict[str, Any] = {} if self.world is None else {"world": self.world.describe()}
        drawn |= {"scores": True} if self.scores else {}
        return {
            **drawn,
            "schema_version": SCHEMA_VERSION,
            "generator_version": GENERATOR_VERSION,
            "objects": describe_objects(self.objects),
            "scene": asdict(self.scene),
            "camera": {
                "width": self.camera.width,
                "height": self.camera.height,
                "intrinsics": self.camera.intrinsics.tolist(),
            },
            "pixels_per_metre": float(self.pixels_per_metre),
            "gripper": asdict(self.gripper),
            "labels": self.labels.describe(),
            "depth_noise": describe_noise(self.depth_noise),
            "appearance": {"kind": type(self.appearance).__name__, **asdict(self.appearance)},
            "scenes": self.scenes,
            "views": self.views,
            "object_counts": list(self.object_counts),
            "camera_height": float(self.camera_height),
            "max_offset": float(self.max_offset),
            "parallel_side": float(self.parallel_extent),
            "seed": self.seed,
        }

    @property
    def hash(self) -> str:
        """SHA-256 of ``describe()``, hexadecimal."""
        return _hash(self.describe())

    @property
    def former_hashes(self) -> tuple[str, ...]:
        """Hashes that the recipe had while looks, and before that meshes, did not count: data of that time has them."""
        content, hashes = self.describe(), list[str]()
        for name in ("looks", "meshes"):
            content["objects"].pop(name, None)
            hashes.append(_hash(content))
        return tuple(hashes)


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
