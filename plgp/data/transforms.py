"""Augmentation of an image and its grasps as one, and the network's input, section IV-B."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no look-up over the network at import

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.grasp import angle_to_bin, bin_to_angle

FloatImage = NDArray[np.float32]
CHANNELS = {"depth": 1, "rgb": 3, "rgbd": 4}
# Fixed normalisations of RGB in [0, 1], (value - mean) / deviation, that pre-trained encoders expect.
COLOURS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "lite": ((127 / 255,) * 3, (128 / 255,) * 3),  # EfficientNet-Lite: (x - 127) / 128 of 8-bit values
}


@dataclass(frozen=True)
class InputFormat:
    """What a network is fed, and how it is normalised; stored in every checkpoint.

    Attributes:
        modality: "depth" (1 channel), "rgb" (3) or "rgbd" (4: red, green, blue, depth).
        depth_scale: Factor on the depth after its mean was subtracted; the paper's is 1.
        window: Means are taken over a centred square of this side, pixels: the training crop's,
            so that a whole image is centred as its crop was.
        colours: "centred" (the paper's: minus the image's mean), or what a pre-trained encoder
            expects, a key of ``COLOURS``.
    """

    modality: str = "depth"
    depth_scale: float = 1.0
    window: int = 320
    colours: str = "centred"

    def __post_init__(self) -> None:
        """Checks; raises InputError."""
        if self.colours != "centred" and self.colours not in COLOURS:
            raise InputError(f"unknown colours '{self.colours}'; choose one of centred, {', '.join(COLOURS)}")
        if self.modality not in CHANNELS:
            raise InputError(f"unknown modality '{self.modality}'; choose one of {', '.join(CHANNELS)}")
        if not (self.depth_scale > 0 and self.window > 0):
            raise InputError(f"depth_scale {self.depth_scale} and window {self.window} must be positive")

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return CHANNELS[self.modality]

    def __call__(self, rgb: NDArray[np.uint8] | None, depth: FloatImage | None) -> FloatImage:
        """Returns the network's input.

        Depth: the mean over valid pixels is subtracted, missing pixels become 0. RGB: scaled to
        [0, 1], minus the image's mean, or as ``colours`` says.

        Args:
            rgb: (H, W, 3) uint8; None if the modality does without.
            depth: (H, W) float32, metres, 0 = missing; None if the modality does without.

        Returns:
            (C, H, W) float32.

        Raises:
            InputError: An image that the modality needs is None.
        """
        given = rgb if self.modality != "depth" else depth
        if rgb is None and self.modality != "depth":
            raise InputError(f"modality '{self.modality}' needs an RGB image")
        if depth is None and self.modality != "rgb":
            raise InputError(f"modality '{self.modality}' needs a depth image")
        assert given is not None
        image = np.empty((self.channels, *given.shape[:2]), np.float32)
        if rgb is not None and self.modality != "depth":
            colours = rgb.transpose(2, 0, 1)
            np.multiply(colours, np.float32(1 / 255), out=image[:3])
            if self.colours == "centred":
                image[:3] -= np.float32(self._centre(colours).mean() / 255)
            else:
                mean, deviation = (np.array(v, np.float32)[:, None, None] for v in COLOURS[self.colours])
                image[:3] = (image[:3] - mean) / deviation
        if depth is not None and self.modality != "rgb":
            seen = depth > 0
            middle = self._centre(depth)
            middle = middle[middle > 0] if (middle > 0).any() else depth[seen]
            np.subtract(depth, middle.mean() if len(middle) else np.float32(0), out=image[-1])
            image[-1] *= np.float32(self.depth_scale)
            image[-1][~seen] = 0
        return image

    def _centre(self, image: NDArray[Any]) -> NDArray[Any]:
        """Returns the centred window of an image (..., H, W)."""
        top, left = (max(0, (size - self.window) // 2) for size in image.shape[-2:])
        return image[..., top : top + self.window, left : left + self.window]


@dataclass(frozen=True)
class GraspArrays:
    """G grasps of one image, on whole pixels.

    Attributes:
        row: (G,) int64, pixels.
        col: (G,) int64, pixels.
        angle_bin: (G,) int64, 0 ... K - 1.
        width: (G,) float32, metres.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    angle_bin: NDArray[np.int64]
    width: NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """One image with its grasps.

    Attributes:
        rgb: (H, W, 3) uint8, or None.
        depth: (H, W) float32, metres, 0 = missing, or None.
        instance_mask: (H, W) uint8, 0 = background, or None.
        grasps: Its grasps.
    """

    rgb: NDArray[np.uint8] | None
    depth: FloatImage | None
    instance_mask: NDArray[np.uint8] | None
    grasps: GraspArrays


@dataclass(frozen=True)
class AugmentationSettings:
    """Section IV-B's augmentation.

    Attributes:
        crop: Side of the square centre crop, pixels.
        translate_px: Greatest shift in either direction, pixels.
        rotate_deg: Greatest rotation in either sense, degrees (albumentations counts in degrees).
        flip: Probability of a horizontal flip.
        jitter: Greatest relative change of RGB's brightness, contrast and saturation, in [0, 1]; of the
            hue a tenth of it, in turns of the colour circle. The paper has none: 0.
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


class _RigidCrop(albumentations.DualTransform):
    """Shift, rotation, flip and centre crop as one warp, straight to the crop.

    It costs less than half of one by one over the whole image.

    A crop of the middle, if nothing moves, is a slice.
    """

    def __init__(self, settings: AugmentationSettings) -> None:
        super().__init__(p=1.0)
        self.settings = settings

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draws; ``matrix`` (2, 3) takes (col, row, 1) of the crop to that of the image."""
        s, draw = self.settings, self.py_random
        shift = np.array([draw.randint(-s.translate_px, s.translate_px) for _ in "xy"], np.float64)
        angle = np.radians(draw.uniform(-s.rotate_deg, s.rotate_deg))
        mirror = -1.0 if draw.random() < s.flip else 1.0
        height, width = params["shape"][:2]
        # CenterCrop's own middle: rows (H - crop) // 2 on.
        middle = np.array([(width - s.crop) // 2, (height - s.crop) // 2]) + (s.crop - 1) / 2
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = turn @ np.diag([mirror, 1.0])
        return {"matrix": np.c_[linear, middle - turn @ shift - linear @ np.full(2, (s.crop - 1) / 2)]}

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
        """Builds the pipeline; with ``train`` false it only crops the centre."""
        self.settings, self.bins = settings or AugmentationSettings(), bins
        still = AugmentationSettings(self.settings.crop, 0, 0.0, 0.0)
        self._pipeline = albumentations.Compose(
            [_RigidCrop(self.settings if train else still)],
            keypoint_params=albumentations.KeypointParams("xya", label_fields=["number"], remove_invisible=True),
            additional_targets={"range": "image"},
        )
        j = self.settings.jitter if train else 0.0
        change = (1 - j, 1 + j)
        colours = albumentations.ColorJitter(change, change, change, hue=(-j / 10, j / 10), p=1.0)
        self._jitter = albumentations.Compose([colours]) if j else None

    def __call__(self, frame: Frame, seed: int) -> Frame:
        """Returns the augmented frame: (crop, crop) pixels, grasps that fell outside left out.

        Args:
            frame: The whole image; RGB, depth or both.
            seed: Of the draw: the same seed gives the same frame.

        Raises:
            InputError: The image is smaller than the crop.
        """
        images, (top, left) = self._images(frame)
        grasps = frame.grasps
        keypoints = np.stack(
            [grasps.col, grasps.row, np.degrees(bin_to_angle(grasps.angle_bin, self.bins))], axis=1
        ).astype(np.float32)
        keypoints[:, :2] -= (left, top)
        height, width = next(iter(images.values())).shape[:2]
        number = np.flatnonzero(((keypoints[:, :2] >= 0) & (keypoints[:, :2] < (width, height))).all(axis=1))
        self._pipeline.set_random_seed(seed)
        out = self._pipeline(**images, keypoints=keypoints[number], number=number)
        rgb = out["image"] if frame.rgb is not None else None
        if rgb is not None and self._jitter is not None:
            self._jitter.set_random_seed(seed)
            rgb = self._jitter(image=rgb)["image"]
        return Frame(
            rgb,
            _merge(out["image" if frame.rgb is None else "range"]) if frame.depth is not None else None,
            out.get("mask"),
            self._grasps(np.asarray(out["keypoints"]).reshape(-1, 3), np.asarray(out["number"], np.int64), grasps),
        )

    def _images(self, frame: Frame) -> tuple[dict[str, NDArray[np.generic]], tuple[int, int]]:
        """Returns albumentations' targets, and how many rows and columns they lack on either side.

        Depth travels as (depth, seen), so that holes do not blur in.
        """
        given = next(image for image in (frame.rgb, frame.depth, frame.instance_mask) if image is not None)
        height, width = given.shape[:2]
        if min(height, width) < self.settings.crop:
            raise InputError(f"crop {self.settings.crop} is larger than the {height}x{width} image; make it smaller")
        # A turned and shifted crop reaches no farther: what lies outside need not be looked at.
        top, left = self._margins((height, width))
        images: dict[str, NDArray[np.generic]] = {}
        if frame.rgb is not None:
            images["image"] = np.ascontiguousarray(_inner(frame.rgb, top, left))
        if frame.depth is not None:
            depth = _inner(frame.depth, top, left)
            pair = np.empty((*depth.shape, 2), np.float32)
            pair[..., 0], pair[..., 1] = depth, np.greater(depth, 0)
            images["range" if images else "image"] = pair
        if frame.instance_mask is not None:
            images["mask"] = np.ascontiguousarray(_inner(frame.instance_mask, top, left))
        return images, (top, left)

    def _margins(self, size: tuple[int, ...]) -> tuple[int, int]:
        """Returns rows and columns, the same on both sides, that no augmented crop can show."""
        s = self.settings
        reach = s.crop * np.sqrt(2) + 2 * s.translate_px + 4
        top, left = (max(0, int((length - reach) // 2)) for length in size)
        return top, left

    def _grasps(self, keypoints: NDArray[np.floating], number: NDArray[np.int64], grasps: GraspArrays) -> GraspArrays:
        col, row = np.round(keypoints[:, :2].T).astype(np.int64)
        side = self.settings.crop
        inside = (row >= 0) & (col >= 0) & (row < side) & (col < side)
        angle_bin = angle_to_bin(np.radians(keypoints[inside, 2]) % np.pi, self.bins)
        return GraspArrays(row[inside], col[inside], angle_bin, grasps.width[number[inside]])


def _merge(pair: FloatImage) -> FloatImage:
    """Returns the depth of an interpolated (depth, seen) pair; missing where less than half was seen."""
    seen = pair[..., 1]
    return np.where(seen > 0.5, pair[..., 0] / np.maximum(seen, 0.5), 0).astype(np.float32)


def _inner(image: NDArray[np.generic], top: int, left: int) -> NDArray[np.generic]:
    return image[top : image.shape[0] - top, left : image.shape[1] - left]
