"""What is held to come of grasps in one image, under each of the three supervisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labeler.pdg.candidates import label_angles, prepare
from labeler.pdg.reasons import CONTACT, PALM, SWEEP
from labeler.settings import LabelSettings
from labeler.shards import DataSet, Frame
from labeler.truth.execution import execute_all, make_pose_job, rebuild_view
from plgp.methods.dexnet.grasps import CentreGrasps, DexNetSettings, surface_pixels
from plgp.methods.dexnet.image import DexNetImage, see
from plgp.methods.dexnet.sampling import SamplingSettings, sample_antipodal
from plgp.methods.dexnet.training.pools import LabelledGrasps, grasps_anywhere, label_grasps, named_pools
from sim.camera import PinholeCamera
from sim.errors import COUNT, NOT_NEGATIVE, POSITIVE, WHOLE, InputError, check_numbers
from sim.grasp import angle_to_bin
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.view import Observation

SUPERVISIONS = ("all", "sure", "outcomes")
COLUMNS = ("row", "col", "angle", "depth", "success", "pool")
_SURE = (CONTACT, SWEEP, PALM)  # no place for the fingers, or something in the way, at every depth
_UNKNOWN = 255  # in place of a check: no candidate


@dataclass(frozen=True, kw_only=True)
class ExampleSettings:
    """Which grasps of an image are learnt from, and who says what comes of them.

    Attributes:
        supervision: "all": a label succeeds, everything else fails; "sure": a label succeeds, only what finds no room
            for the fingers fails; "outcomes": every grasp is executed in simulation.
        positives: Greatest number of labels of an image.
        others: Number of other grasps of an image: antipodal candidates, spoilt labels and grasps anywhere in equal
            parts, before those are left out of which nothing is known. For "outcomes" a third of it is executed.
        friction: Friction of the fingertips in the attempts of "outcomes".
        opening: Opening with which the gripper comes down in them, metres.
        tip_offset: Distance of the finger tips below the middle of the contacts, metres: what the policies take.
        min_height: Height over the table below which no centre lies, metres.
        depth_key: Images that the network sees: "depth_noisy", or "depth" without noise.
        seed: Seed of all draws.
    """

    supervision: str = "all"
    positives: int = 60
    others: int = 180
    friction: float = 0.4
    opening: float = 0.080
    tip_offset: float = 0.0121
    min_height: float = 0.010
    depth_key: str = "depth_noisy"
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the values; raises InputError."""
        if self.supervision not in SUPERVISIONS:
            raise InputError(f"supervision is {self.supervision!r}; choose {', '.join(SUPERVISIONS)}")
        if self.depth_key not in ("depth", "depth_noisy"):
            raise InputError(f"examples.depth_key is {self.depth_key!r}; choose depth or depth_noisy")
        limits = {"positives": COUNT, "others": COUNT, "seed": WHOLE, "friction": POSITIVE, "opening": POSITIVE}
        check_numbers("examples", self, limits | dict.fromkeys(("tip_offset", "min_height"), NOT_NEGATIVE))


def make_examples(
    data: DataSet, image: int, settings: ExampleSettings, *, objects: ObjectSet | None = None
) -> pd.DataFrame:
    """Returns the examples of one image, each grasp with what is held to come of it.

    Args:
        data: The data set.
        image: Number of the image.
        settings: Which grasps, and who says what comes of them.
        objects: The data set's objects; "all" needs none.

    Returns:
        A row a grasp with ``COLUMNS``: row and column of its centre in the image at Dex-Net's scale, theta in radians,
        camera's z of the centre in metres, whether it succeeds, and the pool that it comes from.
    """
    s, recipe = settings, data.manifest.recipe
    keys = ["depth", "depth_noisy", "instance_mask"] + ["objects"] * (s.supervision != "all")
    frame = data.read(image, keys)
    seen = see(observation_of(frame, s.depth_key), None, min_height=s.min_height)
    seen = None if seen is None else _on_objects(seen, frame)
    if seen is None:
        return _table(named_pools([("label", _no_grasps())]), np.zeros(0, np.bool_))
    rng = np.random.default_rng([s.seed, image])
    bins = int(recipe.get("labels", {}).get("angles", 18))
    clean = observation_of(frame, "depth")
    labels = label_grasps(frame["grasps"], clean, seen, bins=bins, tip_offset=s.tip_offset)
    pools = _draw(labels, seen, s, rng=rng)
    if s.supervision == "outcomes":
        assert objects is not None
        return _execute(pools, seen, frame, objects=objects, recipe=recipe, settings=s)
    grasps, names = pools
    is_label = names == "label"
    kept = is_label | labels.without(grasps)
    if s.supervision == "sure":
        assert objects is not None
        kept &= is_label | _surely_fails(grasps, frame, seen, objects=objects, recipe=recipe)
    return _table((grasps[kept], names[kept]), is_label[kept])


def observation_of(frame: Frame, key: str) -> Observation:
    """Returns an image of a data set as a policy would see it; ``key`` is "depth_noisy" or "depth"."""
    depth: NDArray[np.float32] = frame[key]  # type: ignore[literal-required]
    height, width = depth.shape
    return Observation(None, depth, PinholeCamera(width, height, frame["intrinsics"], frame["pose"]))


def _on_objects(seen: DexNetImage, frame: Frame) -> DexNetImage | None:
    """Returns the image with centres allowed on objects alone, not on a tray's walls; None where there is no room."""
    high, wide = seen.depth.shape
    objects = (frame["instance_mask"] > 0).astype(np.uint8)
    mask = cv2.resize(objects, (wide, high), interpolation=cv2.INTER_NEAREST_EXACT)
    allowed = seen.allowed & (mask > 0)
    return replace(seen, allowed=allowed) if allowed.any() else None


def _no_grasps() -> CentreGrasps:
    return CentreGrasps(*(np.zeros(0),) * 5)


def _table(pools: tuple[CentreGrasps, NDArray[np.str_]], success: NDArray[np.bool_]) -> pd.DataFrame:
    grasps, names = pools
    values = (grasps.row, grasps.col, grasps.angle, grasps.depth, success, names.astype(object))
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def _draw(
    labels: LabelledGrasps, seen: DexNetImage, settings: ExampleSettings, *, rng: np.random.Generator
) -> tuple[CentreGrasps, NDArray[np.str_]]:
    """Returns labels and other grasps of one image, with their pools' names; few of each where they are executed."""
    share = 3 if settings.supervision == "outcomes" else 1
    each = -(-settings.others // (3 * share))
    candidates = sample_antipodal(seen, SamplingSettings(count=each), rng)
    parts = [("label", labels.drawn(-(-settings.positives // share), rng)), ("antipodal", candidates)]
    parts += [("near miss", labels.near_misses(each, rng)), ("anywhere", grasps_anywhere(seen, each, rng))]
    return named_pools(parts)


def _surely_fails(
    grasps: CentreGrasps, frame: Frame, seen: DexNetImage, *, objects: ObjectSet, recipe: Mapping[str, Any]
) -> NDArray[np.bool_]:
    """Returns which grasps lie at a pixel and angle where the fingers find no room at any depth.

    Shards do not keep why a pixel has no label, so the scene is rebuilt and judged again.
    """
    view = rebuild_view(recipe, objects, frame)
    known = {f.name for f in fields(LabelSettings)}
    settings = LabelSettings(**{k: v for k, v in recipe["labels"].items() if k in known})
    gripper = GripperGeometry(**recipe["gripper"])
    checks = np.full((settings.angles, *view.depth.shape), _UNKNOWN, np.uint8)
    prepared = prepare(view, gripper, settings)
    for found in () if prepared is None else label_angles(view, prepared, settings):
        checks[found.angle_bin, found.rows, found.cols] = found.reason
    centre = seen.camera.deproject(grasps.row, grasps.col, grasps.depth)
    row, col = surface_pixels(centre, view.depth, view.camera)
    reached = checks[angle_to_bin(grasps.angle, settings.angles), row, col]
    return np.isin(reached, _SURE)


def _execute(
    pools: tuple[CentreGrasps, NDArray[np.str_]],
    seen: DexNetImage,
    frame: Frame,
    *,
    objects: ObjectSet,
    recipe: Mapping[str, Any],
    settings: ExampleSettings,
) -> pd.DataFrame:
    """Returns the grasps that the gripper can reach, with what came of them in simulation."""
    grasps, names = pools
    opening, offset = settings.opening, settings.tip_offset
    hand = DexNetSettings(gripper=GripperGeometry(**recipe["gripper"]), opening=opening, tip_offset=offset)
    kept, poses = hand.reach(grasps, seen)
    table = _table((grasps[kept], names[kept]), np.zeros(int(kept.sum()), np.bool_))
    if not len(table):
        return table
    world = poses[kept].transform(frame["pose"], "world")
    job = make_pose_job(recipe, objects, frame, poses=world, heads=table.drop(columns="success"))
    return execute_all([job], settings.friction, 1, count=1)[list(COLUMNS)]
