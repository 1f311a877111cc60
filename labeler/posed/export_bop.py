"""Our scenes in the format of the BOP challenge: meshes in millimetres, pictures, depth, poses and masks.

``models/obj_000001.ply`` and ``models/models_info.json``; ``test/000000/`` per scene with ``rgb/``, ``depth/``,
``mask_visib/``, ``scene_camera.json``, ``scene_gt.json`` and ``scene_gt_info.json``. A file of our own,
``plgp-recipe.json``, keeps what the format has no place for: the recipe, every scene's tray and the objects' names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from labeler.shards.data_set import DataSet
from labeler.shards.frame import Frame, encode_depth
from labeler.truth.execution import find_objects
from sim.camera import PinholeCamera
from sim.cli.progress import followed
from sim.errors import InputError
from sim.files import atomic_path, write_error, write_json
from sim.geometry import FloatArray, transform
from sim.objects.surfaces import ObjectMesh, load_surface
from sim.render.rasteriser import NEAR, rasterise_pinhole

SIDECAR = "plgp-recipe.json"
DEPTH_SCALE = 0.1  # millimetres a step: the shards' own steps
_MM = 1000.0
_DEPTHS = {"noisy": "depth_noisy", "clean": "depth"}


def export_bop(
    dir: str | Path,
    out: str | Path,
    *,
    objects: Path | None = None,
    depth: str = "noisy",
    progress: bool = False,
) -> dict[str, int]:
    """Writes a data set as a BOP folder.

    Args:
        dir: Folder of the data set.
        out: New or empty folder.
        objects: Folder of the data set's objects, where they no longer lie where they lay.
        depth: "noisy" writes ``depth_noisy``, as a sensor gives it; "clean" writes ``depth``.
        progress: Whether to show a progress bar.

    Returns:
        Numbers of ``images``, ``scenes`` and ``models``.

    Raises:
        InputError: The objects are not found, the folder is not empty or cannot be written.
    """
    if depth not in _DEPTHS:
        raise InputError(f"export-bop: depth is '{depth}'; give noisy or clean")
    data, out = DataSet(dir), Path(out)
    found = find_objects(data, objects)
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} is not an empty folder; give a new one for the export")
        numbers: dict[tuple[str, float], int] = {}
        trays: dict[str, Any] = {}
        files: dict[str, dict[str, Any]] = {}
        scene = -1
        order = np.argsort(data.scenes, kind="stable")  # a scene's files are written once, with all of its views
        for index in followed(order.tolist(), "images", len(data), quiet=not progress):
            frame = data.read(index, ("rgb", _DEPTHS[depth], "instance_mask", "objects"))
            if frame["scene"] != scene:
                _write_scene(out, scene, files)
                scene, files = frame["scene"], {"scene_camera": {}, "scene_gt": {}, "scene_gt_info": {}}
            trays[str(scene)] = frame.get("tray", data.manifest.recipe["scene"]["tray"])
            surfaces = [load_surface(found.model(item.name).urdf, item.scale) for item in frame["objects"]]
            shown = frame[_DEPTHS[depth]]  # type: ignore[literal-required]
            _write_image(out / "test" / f"{scene:06d}", frame, shown, surfaces=surfaces, numbers=numbers, files=files)
        _write_scene(out, scene, files)
        meshes = {number: load_surface(found.model(name).urdf, scale) for (name, scale), number in numbers.items()}
        _write_models(out / "models", meshes)
        names = {f"obj_{number:06d}": name for (name, _), number in numbers.items()}
        write_json(out / SIDECAR, {"recipe": dict(data.manifest.recipe), "trays": trays, "names": names})
    except OSError as error:
        raise write_error(out, error) from error
    return {"images": len(data), "scenes": len(np.unique(data.scenes)), "models": len(numbers)}


def _write_image(
    folder: Path,
    frame: Frame,
    depth: NDArray[np.float32],
    *,
    surfaces: Sequence[ObjectMesh],
    numbers: dict[tuple[str, float], int],
    files: dict[str, dict[str, Any]],
) -> None:
    """Writes one image's pictures; adds its lines to the scene's files, and unseen objects to ``numbers``."""
    key, view = str(frame["view"]), frame["view"]
    _save(folder / "rgb" / f"{view:06d}.png", frame["rgb"])
    _save(folder / "depth" / f"{view:06d}.png", encode_depth(depth))
    to_camera = np.linalg.inv(frame["pose"])
    files["scene_camera"][key] = {
        "cam_K": frame["intrinsics"].ravel().tolist(),
        "depth_scale": DEPTH_SCALE,
        "cam_R_w2c": to_camera[:3, :3].ravel().tolist(),
        "cam_t_w2c": (to_camera[:3, 3] * _MM).tolist(),
    }
    poses, notes = [], []
    for number, item in enumerate(frame["objects"]):
        pose = to_camera @ item.pose_world
        poses.append(
            {
                "cam_R_m2c": pose[:3, :3].ravel().tolist(),
                "cam_t_m2c": (pose[:3, 3] * _MM).tolist(),
                "obj_id": numbers.setdefault((item.name, item.scale), len(numbers) + 1),
            }
        )
        mask = frame["instance_mask"] == item.mask_value
        silhouette = _silhouette(
            frame["intrinsics"], depth.shape, transform(pose, surfaces[number].vertices), faces=surfaces[number].faces
        )
        notes.append(_note(mask, silhouette, depth > 0))
        _save(folder / "mask_visib" / f"{view:06d}_{number:06d}.png", np.where(mask, 255, 0).astype(np.uint8))
    files["scene_gt"][key], files["scene_gt_info"][key] = poses, notes


def _silhouette(
    intrinsics: FloatArray, shape: tuple[int, ...], vertices: FloatArray, *, faces: NDArray[np.int32]
) -> tuple[NDArray[np.bool_], int, int]:
    """Returns where an object alone would be seen, and the row and column of its first pixel in the image.

    It reaches up to the image's own size beyond the image's edges, as in the counts of bop_toolkit.

    Args:
        intrinsics: (3, 3) float64, pixels.
        shape: (H, W) of the image.
        vertices: (V, 3) float64, camera frame, metres.
        faces: (F, 3) int32 vertex indices.
    """
    front = vertices[vertices[:, 2] > NEAR] @ intrinsics.T
    if not len(front):
        return np.zeros((0, 0), bool), 0, 0
    pixels, (height, width) = front[:, :2] / front[:, 2:], shape
    left, top = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, (-width, -height)).tolist()
    right, bottom = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 2, (2 * width, 2 * height)).tolist()
    if right <= left or bottom <= top:
        return np.zeros((0, 0), bool), 0, 0
    moved = intrinsics - np.array([[0, 0, left], [0, 0, top], [0, 0, 0]])
    return rasterise_pinhole(PinholeCamera(right - left, bottom - top, moved), vertices, faces)[1] >= 0, top, left


def _note(
    mask: NDArray[np.bool_], silhouette: tuple[NDArray[np.bool_], int, int], measured: NDArray[np.bool_]
) -> dict[str, Any]:
    """Returns an object's line of ``scene_gt_info.json``: boxes x, y, width, height (-1 of nothing), and counts.

    Args:
        mask: (H, W) bool, where it is seen.
        silhouette: Where it alone would be seen, and the row and column of its first pixel.
        measured: (H, W) bool, where there is a depth.
    """
    whole, top, left = silhouette
    rows, cols = np.nonzero(whole)
    rows, cols = rows + top, cols + left
    inside = (rows >= 0) & (rows < mask.shape[0]) & (cols >= 0) & (cols < mask.shape[1])
    seen = int(mask.sum())
    return {
        "bbox_obj": _box(rows, cols),
        "bbox_visib": _box(*np.nonzero(mask)),
        "px_count_all": len(rows),
        "px_count_valid": int(measured[rows[inside], cols[inside]].sum()),
        "px_count_visib": seen,
        "visib_fract": min(seen / len(rows), 1.0) if len(rows) else 0.0,
    }


def _box(rows: NDArray[np.intp], cols: NDArray[np.intp]) -> list[int]:
    if not len(rows):
        return [-1] * 4
    return [int(cols.min()), int(rows.min()), int(np.ptp(cols)) + 1, int(np.ptp(rows)) + 1]


def _write_scene(out: Path, scene: int, files: dict[str, dict[str, Any]]) -> None:
    for name, content in files.items():
        write_json(out / "test" / f"{scene:06d}" / f"{name}.json", content)


def _write_models(folder: Path, meshes: dict[int, ObjectMesh]) -> None:
    """Writes the meshes, millimetres, and their measures."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {}
    for number, mesh in meshes.items():
        vertices = mesh.vertices * _MM
        with atomic_path(folder / f"obj_{number:06d}.ply") as temporary:
            temporary.write_bytes(_ply(mesh, vertices))
        least, size = vertices.min(axis=0), np.ptp(vertices, axis=0)
        measures = {
            f"{what}_{axis}": float(v[i])
            for what, v in (("min", least), ("size", size))
            for i, axis in enumerate("xyz")
        }
        about[str(number)] = {"diameter": _diameter(vertices), **measures}
    write_json(folder / "models_info.json", about)


def _diameter(vertices: FloatArray) -> float:
    """Returns the greatest distance between two of the points (V, 3)."""
    try:
        corners = vertices[ConvexHull(vertices).vertices]
    except QhullError:  # a flat mesh
        corners = vertices
    return float(pdist(corners).max())


def _ply(mesh: ObjectMesh, vertices: FloatArray) -> bytes:
    """Returns a binary PLY with a colour at each vertex: the mean of its faces'. Lengths are doubles: none is lost."""
    total, count = np.zeros((len(vertices), 3)), np.zeros(len(vertices))
    for corner in mesh.faces.T:
        np.add.at(total, corner, mesh.colours)
        np.add.at(count, corner, 1)
    points = np.zeros(len(vertices), [("p", "<f8", 3), ("c", "u1", 3)])
    points["p"] = vertices
    points["c"] = np.rint(255 * np.clip(total / np.maximum(count, 1)[:, None], 0, 1))
    faces = np.zeros(len(mesh.faces), [("n", "u1"), ("v", "<i4", 3)])
    faces["n"], faces["v"] = 3, mesh.faces
    properties = [f"property double {axis}" for axis in "xyz"] + [
        f"property uchar {c}" for c in ("red", "green", "blue")
    ]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}", *properties]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    return "\n".join(lines).encode() + b"\n" + points.tobytes() + faces.tobytes()


def _save(path: Path, image: NDArray[np.generic]) -> None:
    """Writes a PNG, whole or not at all; makes its folder."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
