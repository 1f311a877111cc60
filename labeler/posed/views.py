"""Views of data sets with posed objects, whatever their format; BOP's and GraspNet's files are read here.

BOP: ``SPLIT/000001/scene_camera.json`` and ``scene_gt.json`` with ``rgb/`` (or ``gray/``) and ``depth/`` beside them,
``models/obj_000001.ply`` in millimetres (bop.felk.cvut.cz/datasets). The industrial sets have several sensors in one
scene: ``scene_gt_SENSOR.json``, ``scene_camera_SENSOR.json``, ``rgb_SENSOR/`` and ``depth_SENSOR/``.

GraspNet: ``scenes/scene_0000/CAMERA/`` with
``rgb/``, ``depth/`` and ``meta/0000.mat``, ``models/000/nontextured.ply`` in metres (graspnet.net).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.files import decoded
from sim.geometry import FloatArray, make_pose

FORMATS = ("bop", "graspnet")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_GT = re.compile(r"scene_gt(_(?!info|coco)\w+)?\.json")
# Sensors that BOP's data sets name in their splits; what else stands there (pbr, real, synt) is another scene's split.
_SENSORS = re.compile(
    r"_(primesense|kinect\w*?|canon|realsense|azure|photoneo|zivid|basler|ensenso|xtion|d4\d5|l515|quest3|aria|cam\d+)(?=_|$)"
)
_MM = 1e-3
_SENSOR = 1_000_000  # added to the numbers of each further sensor's views of a scene
_DAMAGE = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)


@dataclass(frozen=True, kw_only=True)
class PosedView:
    """One picture with the poses of what it shows.

    Attributes:
        name: Name of the view below the source, for messages.
        scene: Name of its folder below the source.
        place: Name of the scene itself: several sensors that saw one scene have folders of their own.
        number: Number of the view within the place.
        rgb: File of the colour (or grey) picture.
        depth: File of the depth image.
        depth_unit: Metres in a step of the depth image.
        intrinsics: (3, 3) float64 matrix of eq. (1), pixels.
        models: Names of the N objects' meshes.
        poses: (N, 4, 4) float64 T_camera_file, metres: the frame of the mesh file in the camera's.
        world: (4, 4) float64 T_camera_world, metres; None where the files do not say.
    """

    name: str
    scene: str
    number: int
    rgb: Path
    depth: Path
    depth_unit: float
    intrinsics: FloatArray
    models: tuple[str, ...]
    poses: FloatArray
    world: FloatArray | None = None
    place: str = ""

    def read_rgb(self) -> NDArray[np.uint8]:
        """Returns the picture, (H, W, 3) uint8; raises InputError if it cannot be read."""
        image = _open(self.rgb)
        if image.mode.startswith("I"):  # 16 bits: PIL would cut them off at 255
            grey = np.asarray(image).astype(np.int64)
            grey = (grey if grey.max(initial=0) < 256 else grey // 257).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.asarray(image.convert("RGB"))

    def read_depth(self) -> NDArray[np.float32]:
        """Returns the depth image, (H, W) float32 metres, 0 = missing; raises InputError if it cannot be read."""
        steps = np.asarray(_open(self.depth), np.float64)
        if steps.ndim != 2:
            raise InputError(f"{self.depth} has shape {steps.shape}; a depth image has one channel")
        metres = np.nan_to_num(steps * self.depth_unit, nan=0.0, posinf=0.0, neginf=0.0)
        return np.maximum(metres, 0).astype(np.float32)

    def size(self) -> tuple[int, int] | None:
        """Returns the depth image's width and height by its head; None where that cannot be read."""
        from PIL import Image

        try:
            with Image.open(self.depth) as image:
                return image.size
        except Exception:  # PIL raises whatever the broken file makes it raise; reading it all names it
            return None


def _open(path: Path) -> Any:
    from PIL import Image

    try:
        image = Image.open(path)
        image.load()
    except Exception as error:  # PIL raises whatever the broken file makes it raise
        raise InputError(f"{path} cannot be read ({error})") from error
    return image


def find_views(source: Path, format: str) -> Iterator[PosedView | tuple[str, str]]:
    """Yields the views of a data set in the order of their names; (name, reason) of one whose entry is damaged.

    Args:
        source: Folder of the data set.
        format: "bop" or "graspnet".

    Raises:
        InputError: The format is not known, or there is no scene.
    """
    if format not in FORMATS:
        raise InputError(f"import-posed: format is '{format}'; choose {' or '.join(FORMATS)}")
    scenes = _scenes(source, format)
    if not scenes:
        raise InputError(_nothing(source, format))
    before: dict[str, int] = {}
    for folder in scenes:
        scene = folder.parent if format == "bop" else folder
        place = _place(scene.relative_to(source), format)
        sensor = before[place] = before.get(place, -1) + 1
        for found in (_bop_views if format == "bop" else _graspnet_views)(source, folder):
            if isinstance(found, PosedView):
                found = replace(found, place=place, number=found.number + sensor * _SENSOR)
            yield found


def _scenes(source: Path, format: str) -> list[Path]:
    """Returns BOP's files of poses, or GraspNet's folders of a camera, sorted."""
    if format == "graspnet":
        return sorted(path for path in source.glob("scenes/scene_*/*") if (path / "meta").is_dir())
    files = {path for p in ("", "*/", "*/*/") for path in source.glob(f"{p}scene_gt*.json")}
    return sorted(path for path in files if _GT.fullmatch(path.name))


def _nothing(source: Path, format: str) -> str:
    """Returns the sentence on a folder without a scene: another format's, or on another level."""
    wanted = {"bop": "SPLIT/000001/scene_gt.json", "graspnet": "scenes/scene_0000/CAMERA/meta"}[format]
    start = f"{source} holds no scene of the format {format} ({wanted})"
    for other in FORMATS:
        if other != format and (_scenes(source, other) or _elsewhere(source, other)):
            return f"{start}; this looks like format={other}"
    if place := _elsewhere(source, format):
        return f"{start}; {place}"
    if format == "bop" and any(source.glob("**/scene_camera*.json")):
        return f"{source} has cameras, but no poses (scene_gt.json): BOP keeps some back; take val or train"
    return f"{start}; give the data set's own folder"


def _elsewhere(source: Path, format: str) -> str:
    """Returns where a format's scenes lie above or below a folder, and what to do; "" where none is found."""
    if format == "bop":
        below = (path for levels in (3, 4) for path in sorted(source.glob("*/" * levels + "scene_gt*.json")))
        deep = next((path.parents[2] for path in below), None)
        return "" if deep is None else f"its scenes lie below {deep}; give that folder"
    cameras = ("scene_*/*/meta", "*/scene_*/*/meta", "*/scenes/scene_*/*/meta")
    found = next((path for pattern in cameras for path in sorted(source.glob(pattern))), None)
    if found is None:
        return ""
    scenes = found.parents[2]
    if scenes.name == "scenes":
        return f"its scenes lie in {scenes}; give the folder {scenes.resolve().parent}"
    beside = f"make it a link of that name: ln -s {scenes.name} {scenes.parent / 'scenes'}"
    return (
        f"its scenes lie in {scenes.name}, not in scenes; put them together in {scenes.parent / 'scenes'}, or {beside}"
    )


def _place(folder: Path, format: str) -> str:
    """Returns the name of the scene that a sensor's folder shows, so that no split parts what two sensors saw of it.

    GraspNet has ``scenes/scene_0000/kinect`` and ``realsense``, T-LESS ``test_primesense/000001`` and ``test_kinect``.
    """
    if format == "graspnet":
        return folder.parent.as_posix()
    split, _, rest = folder.as_posix().rpartition("/")
    return f"{_SENSORS.sub('', split)}/{rest}"


def _bop_views(source: Path, file: Path) -> Iterator[PosedView | tuple[str, str]]:
    """Yields the views of a file of poses, ``scene_gt.json`` or a sensor's ``scene_gt_SENSOR.json``."""
    folder, sensor = file.parent, file.stem.removeprefix("scene_gt")
    cameras, poses = _read_json(folder / f"scene_camera{sensor}.json"), _read_json(file)
    scene = (folder.relative_to(source) / sensor.removeprefix("_")).as_posix()
    for key in sorted(poses, key=lambda k: (len(k), k)):
        name = f"{scene}/{key}"
        try:
            camera, number = cameras[key], int(key)
            rgb = _picture(folder, (f"rgb{sensor}", f"gray{sensor}"), f"{number:06d}")
            yield PosedView(
                name=name,
                scene=scene,
                number=number,
                rgb=rgb,
                depth=_picture(folder, (f"depth{sensor}",), f"{number:06d}"),
                depth_unit=_positive(camera.get("depth_scale", 1.0), "depth_scale") * _MM,
                intrinsics=_camera_matrix(camera["cam_K"]),
                models=tuple(f"obj_{int(entry['obj_id']):06d}" for entry in poses[key]),
                poses=np.array([_bop_pose(e, "m2c") for e in poses[key]], np.float64).reshape(-1, 4, 4),
                world=_bop_pose(camera, "w2c") if "cam_R_w2c" in camera else None,
            )
        except InputError as error:
            yield name, str(error)
        except _DAMAGE as error:
            yield name, f"its entry cannot be read ({type(error).__name__}: {error})"


def _positive(value: Any, name: str) -> float:
    """Returns a positive number; raises ValueError."""
    number = float(value)
    if not 0 < number < np.inf:
        raise ValueError(f"{name} is {number}")
    return number


def _camera_matrix(values: Any) -> FloatArray:
    """Returns a matrix of eq. (1), (3, 3); raises ValueError where it is none."""
    matrix = np.array(values, np.float64).reshape(3, 3)
    if not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0 or matrix[2].tolist() != [0, 0, 1]:
        raise ValueError("its camera matrix is none")
    return matrix


def _bop_pose(entry: dict[str, Any], what: str) -> FloatArray:
    rotation = np.array(entry[f"cam_R_{what}"], np.float64).reshape(3, 3)
    return _rigid(rotation, np.array(entry[f"cam_t_{what}"], np.float64).reshape(3) * _MM)


def _rigid(rotation: FloatArray, translation: FloatArray) -> FloatArray:
    """Returns a pose (4, 4) with the nearest true rotation; raises ValueError where there is none near."""
    u, _, v = np.linalg.svd(rotation)
    nearest = u @ v
    if not np.isfinite(translation).all() or np.abs(nearest - rotation).max() > 1e-2 or np.linalg.det(nearest) < 0:
        raise ValueError("a pose is no rigid motion")
    # Files round their numbers; a pose that is a rotation to the last bit stays as it is.
    return make_pose(rotation if np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-9 else nearest, translation)


def _graspnet_views(source: Path, folder: Path) -> Iterator[PosedView | tuple[str, str]]:
    from scipy.io import loadmat

    scene = folder.relative_to(source).as_posix()
    for path in sorted((folder / "meta").glob("*.mat")):
        name = f"{scene}/{path.stem}"
        try:
            meta = loadmat(path)
            poses = np.asarray(meta["poses"], np.float64)  # (3 or 4, 4, N)
            identities = np.asarray(meta["cls_indexes"]).ravel().astype(int) - 1
            yield PosedView(
                name=name,
                scene=scene,
                number=int(path.stem),
                rgb=_picture(folder, ("rgb",), path.stem),
                depth=_picture(folder, ("depth",), path.stem),
                depth_unit=1 / _positive(np.asarray(meta["factor_depth"]).ravel()[0], "factor_depth"),
                intrinsics=_camera_matrix(meta["intrinsic_matrix"]),
                models=tuple(f"{number:03d}" for number in identities),
                poses=np.array([_rigid(poses[:3, :3, i], poses[:3, 3, i]) for i in range(len(identities))]).reshape(
                    -1, 4, 4
                ),
            )
        except InputError as error:
            yield name, str(error)
        except Exception as error:  # scipy raises whatever the broken file makes it raise
            yield name, f"{path} cannot be read ({type(error).__name__}: {error})"


def _picture(folder: Path, places: tuple[str, ...], stem: str) -> Path:
    """Returns the image file called ``stem`` in the first of the folders that has it; raises InputError."""
    for place in places:
        for suffix in _PICTURES:
            if (path := folder / place / f"{stem}{suffix}").is_file():
                return path
    raise InputError(f"{folder / places[0] / stem}.png is missing")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(decoded(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no JSON object; fetch it again")
    return content
