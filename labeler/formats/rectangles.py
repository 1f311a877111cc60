"""Labels as oriented rectangles, in the text formats of the Cornell and the Jacquard data sets.

*Cornell*: ``01/pcd0100cpos.txt``, beside it ``pcd0100r.png`` and ``pcd0100d.tiff`` (float32, metres). A grasp is
four lines ``x y``, the corners. Its readme says that they run counter-clockwise and that the first two
give the orientation of the gripper plate; published readers disagree on what that means. Written here
is what GG-CNN's and GR-ConvNet's readers take it for: the first edge runs along the closing direction and
is as long as the opening, the second is as long as a finger is wide.

*Jacquard*: ``SCENE/VIEW_SCENE_grasps.txt`` with lines ``x;y;theta in degrees;opening;jaws size``, beside it
``..._RGB.png``, ``..._perfect_depth.tiff``, ``..._stereo_depth.tiff`` (here: the noisy depth; both float32,
metres) and ``..._mask.png``. Pixels throughout; y points down and "therefore the angle is horizontally
mirrored" (the data set's own description): theta is *clockwise* as seen, the negative of this project's.
Its images are 1024 x 1024, which readers hard-code: ``side=1024`` writes such ones.

Both say x = column, y = row. A rectangle is only the image of a grasp: its depth is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeler.labels import GraspLabels
from labeler.shards.data_set import DataSet
from labeler.shards.frame import Frame
from sim.cli.progress import followed
from sim.errors import InputError
from sim.files import atomic_path
from sim.grasp import bin_to_angle

_PER_FOLDER = 100  # images in each of Cornell's folders
FORMATS = ("cornell", "jacquard")
SCENES_FILE = "scenes.csv"  # of an export to Cornell: which images show one scene


@dataclass(frozen=True)
class GraspRectangles:
    """N grasps of one image as rectangles; all arrays (N,) float64.

    Attributes:
        x: Columns of the centres, pixels.
        y: Rows of the centres, pixels.
        angle: Angles of the closing direction in the image, radians, counter-clockwise as seen, in [0, pi).
        opening: Extents along the closing direction, pixels.
        jaw: Extents across the closing direction, pixels.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    angle: NDArray[np.float64]
    opening: NDArray[np.float64]
    jaw: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of rectangles."""
        return len(self.x)

    def corners(self) -> NDArray[np.float64]:
        """Returns (N, 4, 2) float64 corners (x, y), counter-clockwise as seen; the first edge runs along closing."""
        along = self.opening[:, None] / 2 * np.stack([np.cos(self.angle), -np.sin(self.angle)], axis=1)
        up = self.jaw[:, None] / 2 * np.stack([-np.sin(self.angle), -np.cos(self.angle)], axis=1)
        middle = np.stack([self.x, self.y], axis=1)
        return np.stack([middle - along - up, middle + along - up, middle + along + up, middle - along + up], axis=1)


def rectangles_of(
    labels: GraspLabels,
    depth: NDArray[np.floating],
    intrinsics: NDArray[np.float64],
    *,
    angles: int,
    finger_width: float,
) -> tuple[GraspRectangles, NDArray[np.bool_]]:
    """Returns labels as rectangles; lengths are those that the image shows at the depth of the label's pixel.

    Args:
        labels: N labels of one image.
        depth: (H, W) floating, metres, 0 = missing.
        intrinsics: (3, 3) float64, matrix of eq. (1), pixels.
        angles: K, number of angle bins.
        finger_width: Width of a finger, L1, which becomes the jaw's size, metres.

    Returns:
        The rectangles of the labels whose pixel has a depth, and which labels those are, (N,) bool.
    """
    surface = depth[labels.row, labels.col].astype(np.float64)
    seen = surface > 0
    labels, surface = labels[seen], surface[seen]
    theta = bin_to_angle(labels.angle_bin, angles)
    # As vectors: where fx and fy differ, angles and lengths in the image depend on the direction.
    focal = np.array([intrinsics[0, 0], intrinsics[1, 1]]) / surface[:, None]
    closing = focal * np.stack([np.cos(theta), -np.sin(theta)], axis=1)
    across = focal * np.stack([np.sin(theta), np.cos(theta)], axis=1)
    rectangles = GraspRectangles(
        labels.col.astype(np.float64),
        labels.row.astype(np.float64),
        np.arctan2(-closing[:, 1], closing[:, 0]) % np.pi,
        labels.width * np.hypot(*closing.T),
        finger_width * np.hypot(*across.T),
    )
    return rectangles, seen


def cornell_text(rectangles: GraspRectangles) -> str:
    """Returns the lines of a ``pcdXXXXcpos.txt``."""
    return "".join(f"{x:.3f} {y:.3f}\n" for corners in rectangles.corners() for x, y in corners)


def parse_cornell(text: str) -> GraspRectangles:
    """Returns the rectangles of a ``pcdXXXXcpos.txt``; those with a NaN corner, which Cornell has, are left out."""
    try:
        corners = np.array(text.split(), np.float64).reshape(-1, 4, 2)
    except ValueError as error:
        raise InputError(f"this is no Cornell grasp file: four lines 'x y' make a grasp ({error})") from error
    corners = corners[np.isfinite(corners).all(axis=(1, 2))]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1]
    x, y = corners.mean(axis=1).T
    angle = np.arctan2(-first[:, 1], first[:, 0]) % np.pi
    return GraspRectangles(x, y, angle, np.hypot(*first.T), np.hypot(*second.T))


def jacquard_text(rectangles: GraspRectangles) -> str:
    """Returns the lines of a ``*_grasps.txt``; theta in (-180, 0]."""
    rows = zip(
        rectangles.x, rectangles.y, -np.degrees(rectangles.angle), rectangles.opening, rectangles.jaw, strict=True
    )
    return "".join(f"{x:.3f};{y:.3f};{theta + 0.0:.3f};{opening:.3f};{jaw:.3f}\n" for x, y, theta, opening, jaw in rows)


def parse_jacquard(text: str) -> GraspRectangles:
    """Returns the rectangles of a ``*_grasps.txt``."""
    try:
        rows = np.array([line.split(";") for line in text.splitlines() if line.strip()], np.float64).reshape(-1, 5)
    except ValueError as error:
        raise InputError(f"this is no Jacquard grasp file: lines 'x;y;theta;opening;jaws size' ({error})") from error
    x, y, theta, opening, jaw = rows.T
    return GraspRectangles(x, y, np.radians(-theta) % np.pi, opening, jaw)


def export_rectangles(
    folder: str | Path,
    out: str | Path,
    format: str = "cornell",
    *,
    per_image: int = 100,
    seed: int = 0,
    side: int = 0,
    progress: bool = False,
) -> dict[str, int]:
    """Writes a data set's images and labels in the Cornell or the Jacquard format.

    Args:
        folder: Folder of a finished data set.
        out: Folder that the files go into; made if it does not exist, must be empty.
        format: Name of the format, "cornell" or "jacquard".
        per_image: Greatest number of labels of an image, drawn without replacement; 0 for all.
        seed: Seed of the draw; image i draws from ``default_rng([seed, i])``.
        side: Side that the centre square is scaled to, pixels; labels outside the square are left out. 0 keeps the
            images as they are. Jacquard's readers expect 1024.
        progress: Whether to show a progress bar.

    Returns:
        Counts: ``images``, ``grasps`` written, ``unseen`` (labels on a pixel without depth) and ``outside``
        (labels outside the square), both left out.

    Raises:
        InputError: An argument is out of range, ``out`` is not empty, or the data set is damaged.
    """
    if format not in FORMATS:
        raise InputError(f"`export-rectangles`: format is '{format}'; give {' or '.join(FORMATS)}")
    for name, value in (("per_image", per_image), ("seed", seed), ("side", side)):
        if value < 0:
            raise InputError(f"`export-rectangles`: {name} is {value}; give at least 0")
    data, out = DataSet(folder), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and not empty; give another folder")
    angles, finger = data.manifest.angles, data.manifest.gripper.finger_width
    counts = dict.fromkeys(("images", "grasps", "unseen", "outside"), 0)
    write = _write_cornell if format == "cornell" else _write_jacquard
    for index in followed(range(len(data)), "images", len(data), quiet=not progress):
        frame = data.read(index, ("rgb", "depth", "depth_noisy", "instance_mask"))
        rectangles, seen = rectangles_of(
            frame["grasps"], frame["depth"], frame["intrinsics"], angles=angles, finger_width=finger
        )
        counts["unseen"] += int((~seen).sum())
        if side:
            before = len(rectangles)
            frame, rectangles = _cut_square(frame, rectangles, side)
            counts["outside"] += before - len(rectangles)
        if per_image and len(rectangles) > per_image:
            rng = np.random.default_rng([seed, index])
            rectangles = _pick(rectangles, np.sort(rng.choice(len(rectangles), per_image, replace=False)))
        write(out, index, frame, rectangles)
        counts["images"], counts["grasps"] = counts["images"] + 1, counts["grasps"] + len(rectangles)
    if format == "cornell":  # whose files do not say which images show one scene
        rows = [f"{_cornell_stem(index)},{scene}\n" for index, scene in enumerate(data.scenes)]
        _save_text(out / SCENES_FILE, "".join(["image,scene\n", *rows]))
    return counts


def _cornell_stem(index: int) -> str:
    return f"{index // _PER_FOLDER + 1:02d}/pcd{index + _PER_FOLDER:04d}"


def _pick(rectangles: GraspRectangles, which: NDArray[np.generic]) -> GraspRectangles:
    return GraspRectangles(*(getattr(rectangles, n)[which] for n in ("x", "y", "angle", "opening", "jaw")))


def _cut_square(frame: Frame, rectangles: GraspRectangles, side: int) -> tuple[Frame, GraspRectangles]:
    """Returns images and rectangles of the centre square, scaled to ``side`` pixels; pixel centres at integers."""
    import cv2

    height, width = frame["depth"].shape
    square = min(height, width)
    top, left, scale = (height - square) // 2, (width - square) // 2, side / square
    cut = frame.copy()

    def scaled(image: NDArray[Any], mode: int) -> NDArray[Any]:
        return cv2.resize(image[top : top + square, left : left + square], (side, side), interpolation=mode)

    cut["rgb"] = scaled(frame["rgb"], cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    # Depth and mask must not blend across edges: their nearest pixel, whose centre INTER_NEAREST does not look at.
    cut["depth"] = scaled(frame["depth"], cv2.INTER_NEAREST_EXACT)
    cut["depth_noisy"] = scaled(frame["depth_noisy"], cv2.INTER_NEAREST_EXACT)
    cut["instance_mask"] = scaled(frame["instance_mask"], cv2.INTER_NEAREST_EXACT)
    moved = GraspRectangles(
        (rectangles.x - left + 0.5) * scale - 0.5,
        (rectangles.y - top + 0.5) * scale - 0.5,
        rectangles.angle,
        rectangles.opening * scale,
        rectangles.jaw * scale,
    )
    inside = (moved.x > -0.5) & (moved.x < side - 0.5) & (moved.y > -0.5) & (moved.y < side - 0.5)
    return cut, _pick(moved, inside)


def _write_cornell(out: Path, index: int, frame: Frame, rectangles: GraspRectangles) -> None:
    stem = out / _cornell_stem(index)
    stem.parent.mkdir(parents=True, exist_ok=True)
    _save(stem.with_name(f"{stem.name}r.png"), frame["rgb"])
    _save(stem.with_name(f"{stem.name}d.tiff"), frame["depth"])
    _save_text(stem.with_name(f"{stem.name}cpos.txt"), cornell_text(rectangles))


def _write_jacquard(out: Path, index: int, frame: Frame, rectangles: GraspRectangles) -> None:
    scene = f"scene-{frame['scene']:06d}"
    stem = f"{frame['view']}_{scene}"
    (out / scene).mkdir(parents=True, exist_ok=True)
    mask = np.where(frame["instance_mask"] > 0, 255, 0).astype(np.uint8)
    for end, image in (
        ("RGB.png", frame["rgb"]),
        ("perfect_depth.tiff", frame["depth"]),
        ("stereo_depth.tiff", frame["depth_noisy"]),
        ("mask.png", mask),
    ):
        _save(out / scene / f"{stem}_{end}", image)
    _save_text(out / scene / f"{stem}_grasps.txt", jacquard_text(rectangles))


def _save(path: Path, image: NDArray[np.generic]) -> None:
    """Writes a PNG or TIFF, whole or not at all."""
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format=path.suffix[1:].upper())


def _save_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text)
