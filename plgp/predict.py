"""Grasps for a camera's own images: ``python -m plgp.predict``. No labels, no simulator."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from scipy.spatial.transform import Rotation

from plgp.policy.camera_files.arrays import read_array, without_single_axis
from plgp.policy.camera_files.calibration import Calibration, read_calibration
from plgp.policy.camera_files.images import read_depth, read_rgb
from plgp.policy.camera_files.masks import doubt_about_mask, read_workspace
from plgp.policy.camera_files.pairing import find_files, pair
from plgp.policy.network import NetworkPolicy
from plgp.policy.settings import DecoderSettings
from plgp.policy.workspace import Area, allowed_pixels
from sim.cli import run_hydra
from sim.errors import InputError
from sim.grasp import GraspPoses, PixelGrasps
from sim.gripper import GripperGeometry
from sim.interchange.grasp_files import FORMATS, write_grasps
from sim.interchange.hand_frames import frame_of_grasp, read_pose, to_frame
from sim.view import Observation, check_depth_image

# Given on the command line as they are: Hydra would take a comma for a sweep, "workspace=" for a choice of conf/.
_FREE_TEXT = {"checkpoint": "checkpoint", "rgb": "rgb", "depth": "depth", "intrinsics": "intrinsics"}
_FREE_TEXT |= {"workspace": "region", "out": "out", "camera_pose": "camera_pose"}
FRAMES = {
    "camera": "optical frame: x right, y down, z forward",
    "grasp": "origin in the middle between the finger tips; x closing direction, y = z cross x, z approach",
    "translation": "origin of the hand's frame (hand_frame) in the reference frame (reference)",
    "rotation": "3x3, columns are the axes of the hand's frame in the reference frame",
    "angle": "of the closing direction in the image, counter-clockwise as the image is seen, in [0, pi)",
    "depth": "how far the finger tips go below the surface at (row, col)",
    "width": "opening between the inner finger faces when the gripper comes down",
    "row, col": "pixel of the grasp point, pixel centres at integers, rows downwards",
}
WHOLE_FRAME = "no workspace: grasps may lie anywhere in the frame; give workspace=mask.png or left,top,right,bottom"
UNITS = {"length": "metre", "angle": "radian", "row, col": "pixel", "quality": "score in [0, 1], ranks within an image"}


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
    depth: str | Path, intrinsics: str | Path, rgb: str | Path | None, *, depth_scale: float | None
) -> tuple[Observation, Calibration]:
    """Returns what a camera's files show, rectified, and the calibration that did it."""
    size = read_array(Path(depth), "depth").shape
    size = without_single_axis(np.empty(size, dtype=bool)).shape
    calibration = None if len(size) != 2 or 0 in size else read_calibration(intrinsics, size, Path(depth).name)
    image = read_depth(depth, depth_scale, None if calibration is None else calibration.unit)
    assert calibration is not None  # read_depth has refused every other shape
    colours = None if rgb is None else read_rgb(rgb, image.shape)
    if colours is not None and colours.shape[:2] != image.shape:
        turned = ", which is transposed" if colours.shape[1::-1] == image.shape else ""
        raise InputError(
            f"rgb '{rgb}' is {colours.shape[1]}x{colours.shape[0]}, depth {image.shape[1]}x{image.shape[0]} pixels"
            f"{turned}; give colour and depth registered to each other"
        )
    if calibration.distortion:
        print(
            f"'{depth}' is rectified by the distortion in '{intrinsics}'; pixels are the new image's", file=sys.stderr
        )
        image = calibration.rectify(image)
        check_depth_image(image, f"depth '{depth}', rectified by '{intrinsics}',")
        colours = None if colours is None else calibration.rectify(colours, order=1)
    return Observation(colours, image, calibration.camera), calibration


def grasp_record(
    policy: NetworkPolicy,
    seen: Observation,
    grasps: PixelGrasps,
    *,
    poses: GraspPoses,
    sources: dict[str, str],
    hand_frame: str = "grasp",
) -> dict[str, Any]:
    """Returns what the JSON file holds: grasps best first, frames, units, camera, gripper, sources.

    Args:
        policy: The policy; the widths are for its gripper.
        seen: The image.
        grasps: The grasps, as pixels.
        poses: The same grasps in the reference frame, "camera" or "world".
        sources: Names of the files that were read.
        hand_frame: Frame of the hand whose poses the record gives; see ``sim.interchange.frame_of_grasp``.

    Raises:
        InputError: The gripper has no such frame.
    """
    given = to_frame(poses, hand_frame, policy.gripper)
    quaternions = Rotation.from_matrix(given[:, :3, :3]).as_quat() if len(poses) else np.zeros((0, 4))
    rows = [
        {
            "rank": i + 1,
            "quality": float(poses.quality[i]),
            "row": int(grasps.row[i]),
            "col": int(grasps.col[i]),
            "angle": float(grasps.angle[i]),
            "depth": float(grasps.depth[i]),
            "width": float(poses.width[i]),
            "translation": given[i, :3, 3].tolist(),
            "rotation": given[i, :3, :3].tolist(),
            "quaternion_xyzw": quaternions[i].tolist(),
        }
        for i in range(len(poses))
    ]
    camera = {
        "width": seen.camera.width,
        "height": seen.camera.height,
        "intrinsics": seen.camera.intrinsics.tolist(),
    }
    if poses.frame == "world":
        camera["pose"] = seen.camera.pose.tolist()
    frames = {"reference": poses.frame, "hand_frame": hand_frame}
    known: dict[str, Any] = {
        "sources": sources,
        "camera": camera,
        "gripper": asdict(policy.gripper),
        "modality": modality(policy),
    }
    if policy.trained_view is not None:
        known["trained_view"] = policy.trained_view.to_dict()
    return {**known, **frames, "frames": FRAMES, "units": UNITS, "grasps": rows}


def modality(policy: NetworkPolicy) -> str:
    """Returns what a policy's network looks at: depth, rgb or rgbd."""
    return policy.input_format.modality


def grasp_table(record: dict[str, Any], shown: int) -> Table:
    """Returns the first ``shown`` grasps of a record as a table, in millimetres and degrees."""
    title = f"{Path(record['sources']['depth']).name}: {len(record['grasps'])} grasps, {record['reference']} frame"
    if record["hand_frame"] != "grasp":
        title += f", poses of the hand's '{record['hand_frame']}'"
    table = Table(title=title)
    for head in ("rank", "score", "row", "col", "angle, deg", "width, mm", "depth, mm", "x, mm", "y, mm", "z, mm"):
        table.add_column(head, justify="right")
    for row in record["grasps"][:shown]:
        lengths = [row["width"], row["depth"], *row["translation"]]
        numbers = [f"{row['quality']:.3f}", str(row["row"]), str(row["col"]), f"{np.degrees(row['angle']):.0f}"]
        table.add_row(str(row["rank"]), *numbers, *(f"{1000 * value:.1f}" for value in lengths))
    return table


def _frames_asked(config: DictConfig) -> list[tuple[Path, list[Path | None], str]]:
    """Returns (depth file, files of colour, intrinsics and workspace, name of the results) of every image asked for."""
    depths = find_files(config.depth, "depth")
    if not depths:
        raise InputError("depth is missing; give depth=FILE, a folder or a pattern")
    names = [p.stem for p in depths]
    if len(set(names)) < len(names):
        names = [f"{i:04d}-{name}" for i, name in enumerate(names)]
    asked = {"rgb": config.rgb, "intrinsics": _several(config.intrinsics), "workspace": _several(config.region)}
    paired = [pair(depths, find_files(text, name), name) for name, text in asked.items()]
    return [(depth, list(files), name) for depth, *files, name in zip(depths, *paired, names, strict=True)]


def _several(text: str | None) -> str | None:
    """Returns a setting that is a folder or a pattern of files, one an image; None for numbers and a single file."""
    return text if text is not None and (Path(text).is_dir() or re.search(r"[*?]", text)) else None


def predict(config: DictConfig) -> list[dict[str, Any]]:
    """Predicts as conf/predict.yaml says; draws, prints and saves. Returns the records of every image.

    Raises:
        InputError: A file or a setting does not fit.
    """
    if config.intrinsics is None:
        raise InputError("intrinsics are missing; give intrinsics=fx,fy,cx,cy in pixels, or a JSON or YAML file")
    for name in ("count", "shown", "drawn"):
        if not isinstance(config[name], int) or config[name] < (name == "count"):
            raise InputError(f"{name} is {config[name]}; give a whole number" + " from 1 on" * (name == "count"))
    asked = _frames_asked(config)
    path = str(config.checkpoint)
    decoder: DecoderSettings = instantiate(config.decoder)
    gripper: GripperGeometry | None = instantiate(config.get("gripper"))
    policy = NetworkPolicy.from_checkpoint(path, gripper, config.device, decoder=decoder)
    policy.gripper = policy.gripper if gripper is None else gripper  # the same lengths, and the hand's frames
    hand_frame, camera_pose = _frames(config, policy.gripper)
    folder = Path(config.out)
    if config.region in (None, "none", ""):
        print(WHOLE_FRAME, file=sys.stderr)
    records = []
    for depth, (rgb, camera, mask), name in asked:
        intrinsics, region = camera or config.intrinsics, mask or config.region
        seen, calibration = _read_frame(depth, intrinsics, rgb, depth_scale=config.depth_scale)
        if rgb is not None and modality(policy) != "depth" and Path(rgb).suffix.lower() in (".npy", ".npz"):
            print(f"rgb '{rgb}' is taken as red first; arrays of cv2 and ROS's bgr8 are blue first", file=sys.stderr)
        if seen.rgb is None and modality(policy) != "depth":
            raise InputError(f"checkpoint '{path}' looks at {modality(policy)}; give rgb=FILE besides the depth")
        if camera_pose is not None:
            seen = Observation(seen.rgb, seen.depth, replace(seen.camera, pose=camera_pose))
        area = _area(region, seen, depth)
        policy.workspace = calibration.rectify(area) if isinstance(area, np.ndarray) else area
        sources = {"checkpoint": path, "depth": str(depth), "rgb": "" if rgb is None else str(rgb)}
        sources |= {"intrinsics": str(intrinsics), "workspace": str(region or "none")}
        target = folder / name
        records.append(_predict_one(policy, seen, config, sources=sources, target=target, hand_frame=hand_frame))
    return records


def _area(region: Any, seen: Observation, depth: Path) -> Area:
    """Returns where grasps may lie in one image; a doubtful mask is named on stderr."""
    area = read_workspace(region, seen.depth.shape, depth.name)
    if isinstance(area, np.ndarray):
        doubt = doubt_about_mask(area, seen.depth) if Path(str(region)).is_file() else ""
        doubt = doubt if area.any() else "forbids every pixel: there is nowhere to grasp"
        if doubt:
            print(f"workspace mask '{region}' {doubt}", file=sys.stderr)
    return area


def _frames(config: DictConfig, gripper: GripperGeometry) -> tuple[str, NDArray[np.float64] | None]:
    """Returns the hand's frame that is asked for, and the camera's pose or None; raises InputError.

    ``frame`` names the hand's frame; "camera" and "world" name the frame of reference instead.
    """
    text = None if config.camera_pose is None else str(config.camera_pose)
    pose = None if text is None else read_pose(_numbers_of(text), "camera_pose")
    frame = str(config.frame)
    if frame == "world" and pose is None:
        raise InputError("frame=world needs camera_pose=, T_world_camera: 16 numbers, x,y,z,qx,qy,qz,qw, or a file")
    hand_frame = "grasp" if frame in ("camera", "world") else frame
    frame_of_grasp(hand_frame, gripper)
    for name in config.write:
        if name not in FORMATS:
            raise InputError(f"write has '{name}'; choose of {', '.join(FORMATS)}")
    return hand_frame, None if frame == "camera" else pose


def _numbers_of(text: str) -> str | NDArray[np.float64]:
    """Returns the numbers of a pose: of its file, if it is one (npy, JSON, or numbers as text), or the text."""
    path = Path(text)
    if not path.is_file():
        return text
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False), np.float64)
        if path.suffix == ".json":
            content = json.loads(path.read_text())
            content = content.get("pose", content.get("T_world_camera")) if isinstance(content, dict) else content
            return np.asarray(content, np.float64)
        return path.read_text()
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise InputError(f"camera_pose '{path}' cannot be read ({error}); give npy, JSON, or numbers as text") from None


def _predict_one(
    policy: NetworkPolicy,
    seen: Observation,
    config: DictConfig,
    *,
    sources: dict[str, str],
    target: Path,
    hand_frame: str,
) -> dict[str, Any]:
    """Returns one image's record after it was printed, saved and drawn beside ``target``."""
    unlike = "" if policy.trained_view is None else policy.trained_view.unlike(seen)
    if unlike:
        print(f"{sources['depth']}: {unlike}", file=sys.stderr)
    grasps = policy.pixel_grasps(seen, config.count)
    poses = grasps.to_poses(seen.depth, seen.camera)
    if config.camera_pose is not None and config.frame != "camera":
        poses = poses.transform(seen.camera.pose, "world")
    record = grasp_record(policy, seen, grasps, poses=poses, sources=sources, hand_frame=hand_frame)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = [target.with_name(target.name + ".json")]
    written[0].write_text(json.dumps(record, indent=1) + "\n")
    for name in config.write:
        path = target.with_name(target.name + FORMATS[name])
        written.append(write_grasps(poses, path, policy.gripper, format=name, hand_frame=hand_frame))
    if config.picture:
        from plgp.evaluation.map_figures import draw_prediction

        maps, opening = policy.predict(seen.rgb, seen.depth), policy.gripper.max_opening
        allowed = allowed_pixels(policy.workspace, seen.depth, seen.camera)
        picture = target.with_name(target.name + ".png")
        written.append(
            draw_prediction(seen, maps, grasps[: config.drawn], path=picture, max_opening=opening, allowed=allowed)
        )
    Console(width=None if sys.stdout.isatty() else 120).print(grasp_table(record, config.shown))
    if not len(grasps):
        print("no grasp: nothing in the workspace lets the fingers in; see the picture, or give another workspace=")
    print("wrote " + ", ".join(str(p) for p in written))
    return record


def quoted(arguments: list[str]) -> list[str]:
    """Returns a command line whose files and numbers Hydra takes as text, whatever is in them."""
    result = []
    for argument in arguments:
        match = re.fullmatch(r"(\w+)=(.*)", argument, re.DOTALL)
        if match and match[1] in _FREE_TEXT and match[2] != "null":
            value = match[2].strip("'\"").replace("\\", "\\\\").replace("'", "\\'")
            argument = f"{_FREE_TEXT[match[1]]}='{value}'"
        elif argument == "workspace=null":
            argument = "region=null"
        result.append(argument)
    return result


def main() -> None:
    """Runs the command line."""
    run_hydra(predict, "predict", words=quoted(sys.argv[1:]))


if __name__ == "__main__":
    main()
