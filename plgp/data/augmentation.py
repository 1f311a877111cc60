"""Augmentation of an image and its grasps as one, section IV-B."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no look-up over the network at import

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.grasp import angle_to_bin, bin_to_angle


@dataclass(frozen=True)
class GraspArrays:
    """G grasps of one image, on whole pixels.

    Attributes:
        row: (G,) int64, pixels.
        col: (G,) int64, pixels.
        angle_bin: (G,) int64, 0 ... K - 1.
        width: (G,) float32, metres.
        quality: (G,) float32 in (0, 1], target of the quality; None is 1 for all.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    angle_bin: NDArray[np.int64]
    width: NDArray[np.float32]
    quality: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class LabelledImage:
    """One image with its grasps.

    Attributes:
        rgb: (H, W, 3) uint8, or None.
        depth: (H, W) float32, metres, 0 = missing, or None.
        instance_mask: (H, W) uint8, 0 = background, or None.
        grasps: Its grasps.
    """

    rgb: NDArray[np.uint8] | None
    depth: NDArray[np.float32] | None
    instance_mask: NDArray[np.uint8] | None
    grasps: GraspArrays


@dataclass(frozen=True, kw_only=True)
class AugmentationSettings:
    """Section IV-B's augmentation.

    Attributes:
        crop: Side of the square centre crop, pixels.
        translate_px: Greatest shift in either direction, pixels.
        rotate_deg: Greatest rotation in either sense, degrees (albumentations counts in degrees).
        flip: Probability of a horizontal flip.
        jitter: Greatest relative change of RGB's brightness, contrast and saturation, in [0, 1]. The hue
            changes by up to a tenth of it, in turns of the colour circle. The paper has no jitter: 0.
    """

    crop: int = 320
    translate_px: int = 30
    rotate_deg: float = 30.0
    flip: float = 0.5
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Checks the jitter's range; raises InputError."""
        if not 0 <= self.jitter <= 1:
            raise InputError(f"jitter is {self.jitter}; give a share between 0 and 1")


class _RigidCrop(albumentations.DualTransform):  # type: ignore[misc]  # albumentations has no types
    """Shift, rotation, flip and centre crop as one warp, straight to the crop.

    One warp costs less than half of what one transform after another over the whole image does. Where nothing
    moves, the crop is a slice.

    Attributes:
        settings: Settings of crop and movement.
        matrix: Movement of the next image, see ``draw``.
    """

    def __init__(self, settings: AugmentationSettings) -> None:
        super().__init__(p=1.0)
        self.settings, self.matrix = settings, np.eye(2, 3)

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Returns the ``matrix`` that was drawn."""
        return {"matrix": self.matrix}

    def draw(self, shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
        """Returns a movement, (2, 3): it takes (col, row, 1) of the crop to (col, row) of an image of ``shape``."""
        s, draw = self.settings, random.Random(seed)
        shift = np.array([draw.randint(-s.translate_px, s.translate_px) for _ in "xy"], np.float64)
        angle = np.radians(draw.uniform(-s.rotate_deg, s.rotate_deg))
        mirror = -1.0 if draw.random() < s.flip else 1.0
        height, width = shape[:2]
        # CenterCrop's own middle: rows (H - crop) // 2 on.
        middle = np.array([(width - s.crop) // 2, (height - s.crop) // 2]) + (s.crop - 1) / 2
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = turn @ np.diag([mirror, 1.0])
        return np.column_stack([linear, middle - turn @ shift - linear @ np.full(2, (s.crop - 1) / 2)])

    def _warp(self, image: NDArray[Any], matrix: NDArray[np.float64], interpolation: int) -> NDArray[Any]:
        side = self.settings.crop
        if (matrix[:, :2] == np.eye(2)).all() and (matrix[:, 2] == np.round(matrix[:, 2])).all():
            left, top = matrix[:, 2].astype(int)
            still = image[max(top, 0) : top + side, max(left, 0) : left + side]
            if still.shape[:2] == (side, side):
                return still
        return cv2.warpAffine(image, matrix, (side, side), flags=interpolation | cv2.WARP_INVERSE_MAP)

    def apply(self, img: NDArray[Any], matrix: NDArray[np.float64], **params: Any) -> NDArray[Any]:
        """Returns the crop of an image, linearly interpolated."""
        return self._warp(img, matrix, cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: NDArray[Any], matrix: NDArray[np.float64], **params: Any) -> NDArray[Any]:
        """Returns the crop of a mask, each pixel its nearest's."""
        return self._warp(mask, matrix, cv2.INTER_NEAREST)

    def apply_to_keypoints(
        self, keypoints: NDArray[np.floating], matrix: NDArray[np.float64], **params: Any
    ) -> NDArray[np.floating]:
        """Returns keypoints (N, 5+), columns x, y, z, angle (radians, counter-clockwise as seen)."""
        if not len(keypoints):
            return keypoints
        out, back = keypoints.copy(), np.linalg.inv(matrix[:, :2])
        out[:, :2] = (keypoints[:, :2] - matrix[:, 2]) @ back.T
        seen = np.stack([np.cos(keypoints[:, 3]), -np.sin(keypoints[:, 3])], axis=1) @ back.T
        out[:, 3] = np.arctan2(-seen[:, 1], seen[:, 0]) % (2 * np.pi)
        return out


class Augmentation:
    """Crops, shifts, turns and flips an image together with its grasps, and varies its colours.

    The scale is never changed, so widths stay metres. Every draw comes from the seed of the call.
    """

    def __init__(self, settings: AugmentationSettings | None = None, bins: int = 18, train: bool = True) -> None:
        """Builds the pipeline.

        Args:
            settings: Settings of crop and movement; None is the paper's.
            bins: Number of angle bins, K.
            train: Whether images are moved at all; False only crops the centre.
        """
        self.settings, self.bins = settings or AugmentationSettings(), bins
        still = AugmentationSettings(crop=self.settings.crop, translate_px=0, rotate_deg=0.0, flip=0.0)
        self._crop = _RigidCrop(self.settings if train else still)
        self._pipeline = albumentations.Compose(
            [self._crop],
            keypoint_params=albumentations.KeypointParams("xya", label_fields=["number"], remove_invisible=True),
            additional_targets={"range": "image"},
        )
        j = self.settings.jitter if train else 0.0
        change = (1 - j, 1 + j)
        colours = albumentations.ColorJitter(change, change, change, hue=(-j / 10, j / 10), p=1.0)
        self._jitter = albumentations.Compose([colours]) if j else None

    def __call__(self, labelled: LabelledImage, seed: int) -> LabelledImage:
        """Returns the augmented image: (crop, crop) pixels, grasps that fell outside left out.

        Args:
            labelled: The whole image; RGB, depth or both.
            seed: Seed of the draw: the same seed gives the same image.

        Raises:
            InputError: The image is smaller than the crop.
        """
        given = next(image for image in (labelled.rgb, labelled.depth, labelled.instance_mask) if image is not None)
        size = (given.shape[0], given.shape[1])
        if min(size) < self.settings.crop:
            raise InputError(f"crop {self.settings.crop} is larger than the {size[0]}x{size[1]} image; make it smaller")
        matrix = self._crop.draw(size, seed)
        rows, cols = part = self._shown(size, matrix)
        images = _targets(labelled, part)
        grasps = labelled.grasps
        keypoints = np.stack(
            [grasps.col, grasps.row, np.degrees(bin_to_angle(grasps.angle_bin, self.bins))], axis=1
        ).astype(np.float32)
        keypoints[:, :2] -= (cols.start, rows.start)
        height, width = rows.stop - rows.start, cols.stop - cols.start
        number = np.flatnonzero(((keypoints[:, :2] >= 0) & (keypoints[:, :2] < (width, height))).all(axis=1))
        self._crop.matrix = matrix - [[0, 0, cols.start], [0, 0, rows.start]]
        out = self._pipeline(**images, keypoints=keypoints[number], number=number)
        rgb = out["image"] if labelled.rgb is not None else None
        if rgb is not None and self._jitter is not None:
            self._jitter.set_random_seed(seed)
            rgb = self._jitter(image=rgb)["image"]
        return LabelledImage(
            rgb,
            _merge(out["image" if labelled.rgb is None else "range"]) if labelled.depth is not None else None,
            out.get("mask"),
            self._grasps(np.asarray(out["keypoints"]).reshape(-1, 3), np.asarray(out["number"], np.int64), grasps),
        )

    def shown(self, size: tuple[int, int], seed: int) -> tuple[slice, slice]:
        """Returns the rows and columns of an image on which the crop of a seed depends; there is at least one of each.

        Args:
            size: (H, W) of the image.
            seed: Seed of the draw, as of the call.
        """
        return self._shown(size, self._crop.draw(size, seed))

    def _shown(self, size: tuple[int, int], matrix: NDArray[np.float64]) -> tuple[slice, slice]:
        """Returns the rows and columns on which the crop of a movement depends."""
        last = self.settings.crop - 1
        corners = np.array([[x, y, 1] for x in (0, last) for y in (0, last)]) @ matrix.T
        low, high = np.floor(corners.min(axis=0)).astype(int) - 1, np.ceil(corners.max(axis=0)).astype(int) + 2
        cols, rows = (
            slice(min(max(int(a), 0), n - 1), max(min(int(b), n), 1))
            for a, b, n in zip(low, high, size[::-1], strict=True)
        )
        return rows, cols

    def _grasps(self, keypoints: NDArray[np.floating], number: NDArray[np.int64], grasps: GraspArrays) -> GraspArrays:
        col, row = np.round(keypoints[:, :2].T).astype(np.int64)
        side = self.settings.crop
        inside = (row >= 0) & (col >= 0) & (row < side) & (col < side)
        angle_bin = angle_to_bin(np.radians(keypoints[inside, 2]) % np.pi, self.bins)
        kept = number[inside]
        quality = None if grasps.quality is None else grasps.quality[kept]
        return GraspArrays(row[inside], col[inside], angle_bin, grasps.width[kept], quality)


def _targets(labelled: LabelledImage, part: tuple[slice, slice]) -> dict[str, NDArray[np.generic]]:
    """Returns albumentations' targets: the part of each image that the crop shows.

    Depth travels as the pair (depth, whether it was seen), so that holes do not blur into their neighbours.
    """
    images: dict[str, NDArray[np.generic]] = {}
    if labelled.rgb is not None:
        images["image"] = np.ascontiguousarray(labelled.rgb[part])
    if labelled.depth is not None:
        depth = labelled.depth[part]
        pair = np.empty((*depth.shape, 2), np.float32)
        pair[..., 0], pair[..., 1] = depth, np.greater(depth, 0)
        images["range" if images else "image"] = pair
    if labelled.instance_mask is not None:
        images["mask"] = np.ascontiguousarray(labelled.instance_mask[part])
    return images


def _merge(pair: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the depth of an interpolated (depth, seen) pair; missing where less than half was seen."""
    seen = pair[..., 1]
    return np.where(seen > 0.5, pair[..., 0] / np.maximum(seen, 0.5), 0).astype(np.float32)
