"""Grasps for a camera's own images: ``python -m plgp.predict``. No labels, no simulator."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console

from plgp.frames.asked import Frame, frames_asked
from plgp.frames.gallery import Gallery, Shown
from plgp.frames.on_objects import count_on_objects
from plgp.frames.record import grasp_record, grasp_table, modality
from plgp.policy.camera_files.arrays import read_array, without_single_axis
from plgp.policy.camera_files.calibration import Calibration, read_calibration
from plgp.policy.camera_files.images import colours_to_draw, read_colours, read_depth
from plgp.policy.camera_files.masks import doubt_about_mask, read_workspace
from plgp.policy.settings import DecoderSettings, ViewSettings
from plgp.policy.views.viewed import ViewedGrasps
from plgp.policy.workspace import Area, allowed_pixels
from sim.cli import FLAGS_WITH_WORD, run_hydra
from sim.depth_image.main_plane import main_plane
from sim.depth_image.speckles import without_speckles
from sim.errors import InputError
from sim.gripper import GripperGeometry
from sim.interchange.grasp_files import FORMATS, IN_CAMERA, write_grasps
from sim.interchange.hand_frames import frame_of_grasp, read_pose
from sim.interchange.pose_files import pose_of
from sim.view import Observation, check_depth_image

if TYPE_CHECKING:
    from plgp.policy.network import NetworkPolicy

# Given on the command line as they are: Hydra would take a comma for a sweep, "workspace=" for a choice of conf/.
_FREE_TEXT = {"checkpoint": "checkpoint", "rgb": "rgb", "depth": "depth", "intrinsics": "intrinsics"}
_FREE_TEXT |= {"workspace": "region", "out": "out", "camera_pose": "camera_pose", "folder": "folder"}
_EMPTY = "none of the best grasps lies 8 mm or more over the main plane: the table may be empty, or its things flat"
_STANDING = 0.008, 0.35, 5e-4  # metres over the main plane that a thing stands, from and to, and the least of it, m2
_INTRINSICS = "give intrinsics=fx,fy,cx,cy in pixels, or a JSON or YAML file"
WHOLE_FRAME = "no workspace: grasps may lie anywhere in the frame; give workspace=mask.png or left,top,right,bottom"
_UNLIKE_OTHERS = "other frames have a mask, this one has none: grasps may lie anywhere in it; give it one as well"


def read_image(
    depth: str | Path, intrinsics: str | Path, rgb: str | Path | None = None, *, depth_scale: float | None = None
) -> Observation:
    """Returns what a camera's files show; see ``plgp.policy.camera_files``.

    Args:
        depth: The depth image's file.
        intrinsics: The intrinsics, or their file.
        rgb: The colour image's file, or None.
        depth_scale: Metres of one unit of the depth image; None goes by its type.

    Returns:
        The observation; its camera's pose is unknown and left at the identity.

    Raises:
        InputError: A file cannot be read, or colour and depth differ in size: they must be registered.
    """
    return _read_frame(depth, intrinsics, rgb, depth_scale=depth_scale)[0]


def _read_frame(
    depth: str | Path,
    intrinsics: str | Path,
    rgb: str | Path | None,
    *,
    depth_scale: float | None,
    colours: str = "registered",
    bgr: bool = False,
) -> tuple[Observation, Calibration, str]:
    """Returns what a camera's files show, rectified, the calibration that did it, and a note on the colours, or "".

    ``colours`` must be "registered"; or they are only "drawn", and resized in proportion; or "dispensable" besides.
    """
    size = read_array(Path(depth), "depth").shape
    size = without_single_axis(np.empty(size, dtype=bool)).shape
    calibration = None if len(size) != 2 or 0 in size else read_calibration(intrinsics, size, Path(depth).name)
    image = read_depth(depth, depth_scale, None if calibration is None else calibration.unit)
    assert calibration is not None  # read_depth has refused every other shape
    picture, note = None, ""
    if rgb is not None and colours == "registered":
        picture = read_colours(rgb, image.shape, bgr=bgr)
    elif rgb is not None:
        picture, note = colours_to_draw(rgb, image.shape, needed=colours == "drawn", bgr=bgr)
    if calibration.distortion:
        print(
            f"'{depth}' is rectified by the distortion in '{intrinsics}'; pixels are the new image's", file=sys.stderr
        )
        image = calibration.rectify(image)
        check_depth_image(image, f"depth '{depth}', rectified by '{intrinsics}',")
        picture = None if picture is None else calibration.rectify(picture, order=1)
    image, speckles = without_speckles(image, calibration.camera)
    if speckles:
        print(f"'{depth}': {speckles} speckles in mid-air are taken as missing", file=sys.stderr)
    return Observation(picture, image, calibration.camera), calibration, note


def predict(config: DictConfig) -> list[dict[str, Any]]:
    """Predicts as conf/predict.yaml says; draws, prints and saves. Returns the records of every image.

    Of several images, one that cannot be read is named and left out; the others are finished first.

    Raises:
        InputError: A file or a setting does not fit.
    """
    for name in ("count", "shown", "drawn"):
        if not isinstance(config[name], int) or config[name] < (name == "count"):
            raise InputError(f"{name} is {config[name]}; give a whole number" + " from 1 on" * (name == "count"))
    asked = frames_asked(config)
    if config.intrinsics is None and all(frame.intrinsics is None for frame in asked):
        raise InputError(f"intrinsics are missing; {_INTRINSICS}")
    policy = _policy(config)
    if modality(policy) != "depth" and all(frame.rgb is None for frame in asked):
        raise InputError(
            f"checkpoint '{config.checkpoint}' looks at {modality(policy)}; give rgb=FILE besides the depth"
        )
    hand_frame = _hand_frame(config, policy.gripper)
    anywhere, masked = config.region in (None, "none", ""), any(frame.region for frame in asked)
    if anywhere and not masked:
        print(WHOLE_FRAME, file=sys.stderr)
    gallery, failed = Gallery(Path(config.out), policy.gripper, drawn=config.drawn), []
    for frame in asked:
        try:
            seen, notes = _see(frame, config, policy)
            if anywhere and masked and frame.region is None:
                print(f"{frame.depth}: {_UNLIKE_OTHERS}", file=sys.stderr)
                notes.append(_UNLIKE_OTHERS)
            gallery.add(_predict_one(policy, seen, config, frame=frame, hand_frame=hand_frame, notes=notes))
        except InputError as error:
            if len(asked) == 1:
                raise
            failed.append(frame.depth.name)
            gallery.leave_out(frame.name, str(error))
            print(f"{frame.depth.name} is left out: {error}", file=sys.stderr)
    written = gallery.finish(sheet=config.sheet, check=config.check)
    if written:
        print("wrote " + ", ".join(str(p) for p in written))
    if failed:
        named = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
        raise InputError(f"{len(failed)} of {len(asked)} images are left out ({named}); the reasons stand above")
    return gallery.records


def _policy(config: DictConfig) -> NetworkPolicy:
    """Returns the policy that a configuration asks for."""
    from plgp.policy.network import NetworkPolicy  # imports torch, which takes seconds

    decoder: DecoderSettings = instantiate(config.decoder)
    view: ViewSettings = instantiate(config.view)
    gripper: GripperGeometry | None = instantiate(config.get("gripper"))
    chosen: dict[str, Any] = {"decoder": decoder, "view": view, "views": instantiate(config.get("virtual_views"))}
    chosen |= {"other_gripper": bool(config.get("other_gripper", False)), "turns": config.get("turns", 1)}
    return NetworkPolicy.from_checkpoint(str(config.checkpoint), gripper, config.device, **chosen)


def _see(frame: Frame, config: DictConfig, policy: NetworkPolicy) -> tuple[Observation, list[str]]:
    """Returns what a frame shows, and sentences about what is doubtful in it; hands the policy its workspace."""
    intrinsics, region = frame.intrinsics or config.intrinsics, frame.region or config.region
    if intrinsics is None:
        raise InputError(f"it has no intrinsics; {_INTRINSICS}")
    scale = frame.depth_scale if config.depth_scale is None else config.depth_scale
    sort = modality(policy)
    colours = "registered" if sort != "depth" else "drawn" if config.rgb is not None else "dispensable"
    how: dict[str, Any] = {"depth_scale": scale, "colours": colours, "bgr": bool(config.get("bgr", False))}
    seen, calibration, note = _read_frame(frame.depth, intrinsics, frame.rgb, **how)
    array = frame.rgb is not None and frame.rgb.suffix.lower() in (".npy", ".npz")
    if array and sort != "depth" and not how["bgr"]:
        print(
            f"rgb '{frame.rgb}' is taken as red first; for arrays of cv2 or ROS's bgr8 give bgr=true", file=sys.stderr
        )
    if seen.rgb is None and sort != "depth":
        raise InputError(f"checkpoint '{config.checkpoint}' looks at {sort}; give rgb=FILE besides the depth")
    if config.camera_pose is not None:
        pose = pose_of(str(config.camera_pose), "camera_pose", frame.depth.name)
        seen = Observation(seen.rgb, seen.depth, replace(seen.camera, pose=pose))
    area, doubt = _area(region, seen, frame.depth)
    policy.workspace = calibration.rectify(area) if isinstance(area, np.ndarray) else area
    notes = [sentence for sentence in (note, doubt) if sentence]
    for sentence in notes:
        print(sentence, file=sys.stderr)
    return seen, notes


def _area(region: Any, seen: Observation, depth: Path) -> tuple[Area, str]:
    """Returns where grasps may lie in one image, and a sentence about a doubtful mask, or ""."""
    area = read_workspace(region, seen.depth.shape, depth.name)
    if isinstance(area, np.ndarray):
        doubt = doubt_about_mask(area, seen.depth) if Path(str(region)).is_file() else ""
        doubt = doubt if area.any() else "forbids every pixel: there is nowhere to grasp"
        return area, f"workspace mask '{region}' {doubt}" if doubt else ""
    return area, ""


def _hand_frame(config: DictConfig, gripper: GripperGeometry) -> str:
    """Returns the hand's frame that is asked for; raises InputError where it, or what it needs, does not fit.

    ``frame`` names the hand's frame; "camera" and "world" name the frame of reference instead.
    """
    frame = str(config.frame)
    if config.camera_pose is not None and not os.path.exists(str(config.camera_pose)):
        read_pose(str(config.camera_pose))
    if frame == "world" and config.camera_pose is None:
        raise InputError("frame=world needs camera_pose=, T_world_camera: 16 numbers, x,y,z,qx,qy,qz,qw, or a file")
    hand_frame = "grasp" if frame in ("camera", "world") else frame
    frame_of_grasp(hand_frame, gripper)
    for name in config.write:
        if name not in FORMATS:
            raise InputError(f"write has '{name}'; choose of {', '.join(FORMATS)}")
    return hand_frame


def _predict_one(
    policy: NetworkPolicy, seen: Observation, config: DictConfig, *, frame: Frame, hand_frame: str, notes: list[str]
) -> Shown:
    """Returns one image's grasps after they were printed, saved and drawn; ``notes`` are kept with them."""
    found = policy.find(seen, config.count)
    unlike = "" if policy.trained_view is None or found.view is not None else policy.trained_view.unlike(seen)
    for note in (found.note, unlike):
        if note:
            print(f"{frame.depth}: {note}", file=sys.stderr)
    mask = allowed_pixels(policy.workspace, seen.depth, seen.camera)
    on_objects = count_on_objects(frame.name, seen, found, mask=mask)
    if on_objects.grasps and not on_objects.on_objects:
        print(f"{frame.depth}: {_EMPTY}", file=sys.stderr)
        notes = [*notes, _EMPTY]
    none = "" if len(found.poses) else _no_grasp(seen, mask)
    notes = [*notes, *(note for note in (found.note, unlike, none) if note)]
    poses = found.poses
    if config.camera_pose is not None and config.frame != "camera":
        poses = poses.transform(seen.camera.pose, "world")
    sources = {"checkpoint": str(config.checkpoint), "depth": str(frame.depth), "rgb": str(frame.rgb or "")}
    sources |= {
        "intrinsics": str(frame.intrinsics or config.intrinsics),
        "workspace": str(frame.region or config.region or "none"),
    }
    record = grasp_record(
        policy, seen, found.pixels, poses=poses, sources=sources, hand_frame=hand_frame, view=found.view
    )
    record["notes"] = notes
    target = Path(config.out) / frame.name
    target.parent.mkdir(parents=True, exist_ok=True)
    written = [target.with_name(target.name + ".json")]
    written[0].write_text(json.dumps(record, indent=1) + "\n")
    for name in config.write:
        path = target.with_name(target.name + FORMATS[name])
        given = found.poses if name in IN_CAMERA else poses
        written.append(write_grasps(given, path, policy.gripper, format=name, hand_frame=hand_frame))
    written += _drawn(policy, seen, found, config=config, target=target, notes=notes)
    Console(width=None if sys.stdout.isatty() else 120).print(grasp_table(record, config.shown))
    if none:
        print(none)
    print("wrote " + ", ".join(str(p) for p in written))
    return Shown(frame.name, seen, found, record, notes, on_objects)


def _no_grasp(seen: Observation, mask: NDArray[np.bool_] | None) -> str:
    """Returns the sentence on an image without a grasp: what is wrong with the workspace, or what size things seem."""
    rows, cols = np.nonzero(seen.depth > 0)
    depth = seen.depth[rows, cols]
    if mask is not None and not mask.any():
        points = seen.camera.deproject(rows, cols, depth)
        low, high = (", ".join(f"{v:.2f}" for v in f(points, axis=0)) for f in (np.min, np.max))
        return f"no grasp: no point that is seen lies in the workspace; they reach from {low} to {high} m"
    plane = main_plane(seen, 0.0)
    middle = float(np.median(depth))
    if plane is not None:
        heights = np.nan_to_num(plane.heights(seen.depth, seen.camera), nan=0.0)
        standing = (heights > _STANDING[0]) & (heights < _STANDING[1]) & (True if mask is None else mask)
        if standing.sum() * middle**2 / (seen.camera.intrinsics[0, 0] * seen.camera.intrinsics[1, 1]) < _STANDING[2]:
            return (
                f"no grasp: next to nothing{' in the workspace' if mask is not None else ''} stands 8 mm or more over "
                "the main plane; the table may be empty, or its things flat"
            )
    across, down = (middle * n / seen.camera.intrinsics[i, i] for i, n in enumerate(seen.depth.shape[::-1]))
    return (
        "no grasp: nothing in the workspace lets the fingers in; see the picture, or give another workspace=. The "
        f"image shows {across:.2f} x {down:.2f} m from {middle:.2f} m away; if that is wrong, mend intrinsics= or "
        "depth_scale="
    )


def _drawn(
    policy: NetworkPolicy,
    seen: Observation,
    found: ViewedGrasps,
    *,
    config: DictConfig,
    target: Path,
    notes: Sequence[str] = (),
) -> list[Path]:
    """Returns the picture and the page of one image that are asked for, after they were drawn."""
    written = []
    if config.picture:
        from plgp.evaluation.map_figures import draw_prediction

        shown = seen if found.view is None else found.view.seen
        maps, opening = policy.predict(shown.rgb, shown.depth), policy.width_unit
        allowed = found.allowed
        if found.view is None:
            allowed = allowed_pixels(policy.workspace, seen.depth, seen.camera)
        picture = target.with_name(target.name + ".png")
        grasps = found.shown[: config.drawn]
        written.append(draw_prediction(shown, maps, grasps, path=picture, max_opening=opening, allowed=allowed))
    if config.page:
        from sim.drawing.turning_page import write_cloud_page

        page = target.with_name(target.name + ".html")
        title = ". ".join([f"{target.name}: {len(found.poses)} grasps", *notes])
        written.append(write_cloud_page(seen, found.poses, page, gripper=policy.gripper, title=title))
    return written


def quoted(arguments: list[str]) -> list[str]:
    """Returns a command line whose files and numbers Hydra takes as text, whatever is in them."""
    result: list[str] = []
    for before, argument in pairwise(["", *arguments]):
        match = re.fullmatch(r"(\w+)=(.*)", argument, re.DOTALL)
        if match and match[1] in _FREE_TEXT and match[2] != "null":
            value = match[2].strip("'\"").replace("\\", "\\\\").replace("'", "\\'")
            argument = f"{_FREE_TEXT[match[1]]}='{value}'"
        elif argument == "workspace=null":
            argument = "region=null"
        elif "=" not in argument and not argument.startswith("-") and before not in FLAGS_WITH_WORD:
            value = argument.replace("\\", "\\\\").replace("'", "\\'")
            argument = f"folder='{value}'"
        result.append(argument)
    return result


def main() -> None:
    """Runs the command line."""
    run_hydra(predict, "predict", words=quoted(sys.argv[1:]))


if __name__ == "__main__":
    main()
