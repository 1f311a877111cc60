"""A real view made a frame: its twin scene rendered, labelled and compared with what the camera measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labeler.labels import GraspLabels, label_view
from labeler.posed.check import CheckSettings, PoseCheck, check_poses
from labeler.posed.doubts import unit_doubt
from labeler.posed.foreign import FloatImage, find_foreign, meets_foreign
from labeler.posed.models import PosedModels
from labeler.posed.table import place_world
from labeler.posed.views import PosedView
from labeler.settings import LabelSettings
from labeler.shards.frame import Frame
from sim.camera import ParallelCamera, PinholeCamera
from sim.errors import InputError
from sim.geometry import transform
from sim.gripper import GripperGeometry
from sim.physics import TraySettings
from sim.render import render_view
from sim.render.rasteriser import rasterise_pinhole
from sim.scene import SceneState
from sim.view import SceneView
from sim.worlds import parallel_side

TABLE = TraySettings(floor=1.2, wall_height=0.001, wall_lean=0.0)  # a bare one
_WIDEST = 1.2  # metres: side of the parallel image at most; what lies beyond gets no labels


@dataclass(frozen=True, kw_only=True)
class TwinSettings:
    """How twins are made and labelled.

    Attributes:
        gripper: Gripper that the labels are for.
        labels: Label thresholds.
        pixels_per_metre: Scale of the parallel image, eta.
        parallel_side: Side of the square that it covers, metres; None makes it show every object.
        check: When a pose is bad; None checks none.
        trays: Tray of each scene by its number in the files, where they say; then their world is taken as well.
    """

    gripper: GripperGeometry = field(default_factory=GripperGeometry)
    labels: LabelSettings = field(default_factory=LabelSettings)
    pixels_per_metre: float = 5000.0
    parallel_side: float | None = None
    check: CheckSettings | None = field(default_factory=CheckSettings)
    trays: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def tray(self, view: PosedView) -> TraySettings | None:
        """Returns the tray that the files name for a view's scene; None where they name none."""
        number = (view.place or view.scene).rpartition("/")[2]  # of the scene: a sensor's views have a name below it
        saved = self.trays.get(str(int(number))) if number.isdecimal() and view.world is not None else None
        return None if saved is None else TraySettings.from_saved(saved)


@dataclass(frozen=True, kw_only=True)
class Twin:
    """A view as a frame, ``scene`` and ``view`` still to be numbered.

    Attributes:
        frame: The frame: ``depth`` is rendered, ``depth_noisy`` and ``rgb`` are the camera's own.
        checks: What the rendering says of every pose.
        table: How the table was found: "fitted", "lowest points", or "given".
        dropped: Number of labels of every object with a true pose that were left out for what stands before it.
        reason: Why the view is to be dropped; empty where it is not.
    """

    frame: Frame
    checks: list[PoseCheck]
    table: str
    dropped: list[int]
    reason: str = ""


def make_twin(view: PosedView, models: PosedModels, settings: TwinSettings) -> Twin:
    """Renders and labels a view; labels of objects with a bad pose, or under a thing without one, are left out.

    Raises:
        InputError: Its files cannot be read, an object is unknown, or its table cannot be found.
    """
    unknown = sorted(set(view.models) - set(models.objects.names))
    if unknown or not view.models:
        raise InputError(f"the mesh of {unknown[0]} is missing or broken" if unknown else "it shows no object")
    measured, rgb = view.read_depth(), view.read_rgb()
    if rgb.shape[:2] != measured.shape:
        raise InputError(f"its picture is {rgb.shape[:2]} and its depth {measured.shape}; both must have one size")
    if not measured.any():
        raise InputError("its depth image is empty")
    state, camera, table = _place(view, models, measured, settings)
    side = settings.parallel_side or min(parallel_side(state.models, state.poses, camera), _WIDEST)
    parallel = ParallelCamera.covering(settings.pixels_per_metre, side)
    seen = render_view(state, camera, parallel, rgb=False, back_layer=settings.labels.undercut)
    labels = label_view(seen, settings.gripper, settings.labels)
    checks: list[PoseCheck] = []
    dropped: list[int] = []
    if settings.check is not None:
        checks = check_poses(
            state, camera, rendered=seen.depth, mask=seen.instance_mask, measured=measured, settings=settings.check
        )
        bad = [i + 1 for i, check in enumerate(checks) if check.verdict == "bad"]
        labels = labels[~np.isin(seen.instance_mask[labels.row, labels.col], bad)]
        labels, dropped = _uncovered(labels, seen, camera, measured=measured, settings=settings)
    reason = _fault(checks, settings.check)
    if checks and not any(check.verdict == "good" for check in checks):
        doubt = unit_doubt(view, measured, seen.instance_mask > 0)
        reason = "; ".join(filter(None, (reason or (doubt and "none of its poses could be checked"), doubt)))
    frame: Frame = {
        "rgb": rgb,
        "depth": seen.depth,
        "depth_noisy": measured,
        "instance_mask": seen.instance_mask.astype(np.uint8),
        "grasps": labels,
        "intrinsics": camera.intrinsics,
        "pose": camera.pose,
        "objects": seen.objects,
        "tray": state.tray.to_saved(),
    }
    return Twin(frame=frame, checks=checks, table=table, dropped=dropped, reason=reason)


def _uncovered(
    labels: GraspLabels, seen: SceneView, camera: PinholeCamera, *, measured: FloatImage, settings: TwinSettings
) -> tuple[GraspLabels, list[int]]:
    """Returns the labels that no thing without a pose stands in the way of, and how many others each object had."""
    within = (settings.check or CheckSettings()).within
    foreign = find_foreign(seen.depth, measured, camera, within=within)
    angles = settings.labels.angles
    met = meets_foreign(
        labels,
        foreign,
        rendered=seen.depth,
        measured=measured,
        camera=camera,
        gripper=settings.gripper,
        angles=angles,
    )
    owners = seen.instance_mask[labels.row[met], labels.col[met]].astype(np.int64)
    return labels[~met], np.bincount(owners, minlength=len(seen.objects) + 1)[1:].tolist()


def _fault(checks: list[PoseCheck], settings: CheckSettings | None) -> str:
    """Returns why a view is to be dropped, or ""."""
    known = [c for c in checks if c.verdict != "unchecked"]
    bad = [c for c in known if c.verdict == "bad"]
    if settings is not None and known and len(bad) > settings.bad_objects * len(known):
        return f"{len(bad)} of its {len(known)} poses are bad; the first: {bad[0].object}, {bad[0].reason}"
    return ""


def _place(
    view: PosedView, models: PosedModels, measured: Any, settings: TwinSettings
) -> tuple[SceneState, PinholeCamera, str]:
    """Returns the twin scene, the camera in its world, and how the table was found."""
    picked = tuple(models.objects.model(name) for name in view.models)
    poses = np.array([pose @ models.frames[name] for pose, name in zip(view.poses, view.models, strict=True)])
    height, width = measured.shape
    camera = PinholeCamera(width, height, view.intrinsics)
    tray, to_camera, how = settings.tray(view), view.world, "given"
    if tray is None or to_camera is None:
        surfaces = [transform(pose, model.mesh().vertices) for pose, model in zip(poses, picked, strict=True)]
        shown = np.zeros(measured.shape, bool)
        for vertices, model in zip(surfaces, picked, strict=True):
            shown |= rasterise_pinhole(camera, vertices, model.mesh().faces)[0] > 0
        if not shown.any():
            doubt = unit_doubt(view, measured, shown)
            raise InputError("its poses put no object into the picture" + (doubt and f"; {doubt}"))
        tray = TABLE
        to_camera, how = place_world(measured, shown, camera, surfaces=surfaces)
    to_world = np.asarray(np.linalg.inv(to_camera), np.float64)
    return SceneState(picked, to_world @ poses, tray), PinholeCamera(width, height, view.intrinsics, to_world), how
