"""What a network's world was: the camera, its noise, the gripper and the input that it was trained with.

It is read from the data set's ``dataset.json``, handed from the data module to the network's module, saved in every
checkpoint, and compared at every use. So what a network is fed and what it was trained on cannot differ unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from labeler.dataset.manifest import Manifest, parse
from plgp.data.input_format import InputFormat
from sim.camera import PinholeCamera
from sim.depth_image.main_plane import MainPlane
from sim.depth_image.overhead_view import OverheadView, overhead_views
from sim.depth_noise import DepthNoise
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.view import Observation

Matrix = tuple[tuple[float, ...], ...]

# Median depth over the trained height: beyond these, success in simulation falls (98 % at 0.6 m, 78 % at 0.9 m).
_NEAR, _FAR = 0.7, 1.3
# Same input but for the float32 that a configuration passes through.
_TOLERANCE = 1e-6
_LARGEST = 2  # times the trained image's sides up to which an image brought to the view may grow


@dataclass(frozen=True, kw_only=True)
class TrainedView:
    """The world of a network's training.

    Attributes:
        width: Width of the images, pixels.
        height: Height of the images, pixels.
        intrinsics: Matrix of eq. (1), 3x3, pixels.
        camera_height: Height of the camera over the tray's floor, metres.
        max_offset: Greatest shift of a view along the camera's x and y, metres; l of eq. (3).
        depth_noise: Settings of the depth images' noise; None where the images were clean or real.
        gripper: Gripper that the labels were made for; its L4 is the unit of the width maps.
        bins: Number of angle bins, K.
        input_format: What the network is fed: channels, factor on the depth, colours; its ``window`` is the crop.
        data_set: Name of the data set.
        recipe_hash: SHA-256 of the data set's recipe, hexadecimal; "" where it is not known.
    """

    width: int = 640
    height: int = 480
    intrinsics: Matrix = field(default_factory=lambda: _matrix(PinholeCamera.from_fov().intrinsics))
    camera_height: float = 0.6
    max_offset: float = 0.2
    depth_noise: Mapping[str, Any] | None = field(default_factory=lambda: asdict(DepthNoise()))
    gripper: GripperGeometry = field(default_factory=GripperGeometry)
    bins: int = 18
    input_format: InputFormat = field(default_factory=InputFormat)
    data_set: str = ""
    recipe_hash: str = ""

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        lengths = (self.width, self.height, self.camera_height, self.bins)
        matrix = np.array(self.intrinsics, np.float64)
        if not all(np.isfinite(v) and v > 0 for v in lengths) or not 0 <= self.max_offset < np.inf:
            raise InputError(
                f"trained view: width {self.width}, height {self.height}, camera_height {self.camera_height} and bins "
                f"{self.bins} must be positive, max_offset {self.max_offset} not negative"
            )
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0:
            raise InputError(f"trained view: intrinsics {self.intrinsics} are no 3x3 matrix of a camera")

    @property
    def pixels_per_metre(self) -> float:
        """Pixels that a metre on the tray's floor takes in the middle of the image: fx / height."""
        return self.intrinsics[0][0] / self.camera_height

    @property
    def max_tilt(self) -> float:
        """Greatest tilt of a view against the plumb line, radians: its camera looks at the tray's centre."""
        return float(np.arctan(np.sqrt(2) * self.max_offset / self.camera_height))

    @classmethod
    def of_data_set(
        cls, manifest: Manifest, input_format: InputFormat, *, depth_key: str = "depth_noisy"
    ) -> TrainedView:
        """Returns the view of training on a data set.

        Args:
            manifest: Manifest of the data set. What an imported one does not say keeps the paper's values.
            input_format: What the network is fed.
            depth_key: Name of the depth images: "depth_noisy", or "depth" for the clean ones.

        Raises:
            InputError: The recipe names values that are none; the message names the field.
        """
        recipe, where = manifest.recipe, f"dataset.json of '{manifest.name}': recipe"
        known: dict[str, Any] = {
            "input_format": input_format,
            "data_set": manifest.name,
            "recipe_hash": manifest.hash,
            "depth_noise": None,
        }
        camera = parse(dict, recipe.get("camera", {}), f"{where}.camera")
        for name in ("width", "height"):
            if name in camera:
                known[name] = parse(int, camera[name], f"{where}.camera.{name}")
        if "intrinsics" in camera:
            rows = parse(tuple[tuple[float, ...], ...], camera["intrinsics"], f"{where}.camera.intrinsics")
            known["intrinsics"] = rows
        for name in ("camera_height", "max_offset"):
            if name in recipe:
                known[name] = float(parse(float, recipe[name], f"{where}.{name}"))
        if depth_key == "depth_noisy" and recipe.get("depth_noise") is not None:
            known["depth_noise"] = parse(dict, recipe["depth_noise"], f"{where}.depth_noise")
        if "gripper" in recipe:
            known["gripper"] = manifest.gripper
        if "angles" in parse(dict, recipe.get("labels", {}), f"{where}.labels"):
            known["bins"] = manifest.angles
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, as a checkpoint holds them."""
        return {**asdict(self), "intrinsics": [list(row) for row in self.intrinsics]}

    @classmethod
    def from_dict(cls, values: Any, source: str) -> TrainedView:
        """Returns the view of a checkpoint's plain values.

        Args:
            values: What ``to_dict`` gave.
            source: Name of the checkpoint, for the message.

        Raises:
            InputError: A value is missing, unknown, or none of its kind.
        """
        try:
            known = dict(values)
            unknown = set(known) - {f.name for f in fields(cls)}
            if unknown:
                raise ValueError(f"unknown {', '.join(sorted(unknown))}")
            known["intrinsics"] = _matrix(known["intrinsics"])
            known["gripper"] = GripperGeometry(**known["gripper"])
            known["input_format"] = InputFormat(**known["input_format"])
            return cls(**known)
        except (InputError, TypeError, ValueError, KeyError) as error:
            raise InputError(f"checkpoint '{source}' holds no sound trained view ({error}); train it again") from None

    def to_view(
        self,
        seen: Observation,
        plane: MainPlane,
        *,
        largest: int = _LARGEST,
    ) -> OverheadView:
        """Returns an image as a camera of the training would have seen it: from above, at the trained height.

        Args:
            seen: The image, of any camera.
            plane: The plane that things stand on, in the camera's frame.
            largest: Times the trained image's sides up to which the view's may grow to hold what is seen.
        """
        return self.to_views(seen, plane, tilt=0.0, azimuths=[0.0], largest=largest)[0]

    def to_views(
        self,
        seen: Observation,
        plane: MainPlane,
        *,
        tilt: float,
        azimuths: Sequence[float],
        largest: int = _LARGEST,
    ) -> list[OverheadView]:
        """Returns an image as leaning cameras of the training would have seen it; see ``to_view``.

        Args:
            seen: The image, of any camera.
            plane: The plane that things stand on, in the camera's frame.
            tilt: Angle of the views' optical axes against the plane's normal, radians.
            azimuths: Sides to which the views' cameras then stand, radians; see ``overhead_pose``.
            largest: Times the trained image's sides up to which a view's may grow to hold what is seen.
        """
        most = (largest * self.height, largest * self.width)
        height, focal = self.camera_height, self.intrinsics[0][0]
        return overhead_views(seen, plane, height=height, focal=focal, most=most, tilt=tilt, azimuths=azimuths)

    def from_view(self, grasps: GraspPoses, view: OverheadView) -> GraspPoses:
        """Returns grasps of the trained view in the frame of the camera whose image ``to_view`` was given."""
        return grasps.transform(view.pose, "camera")

    def differences(self, other: TrainedView) -> list[str]:
        """Returns one clause for each thing that must not differ between training and use: input, bins, gripper."""
        pairs = [("bins", self.bins, other.bins)]
        pairs += [(f.name, *_both(self, other, "input_format", f.name)) for f in fields(InputFormat)]
        pairs += [
            (f"gripper.{f.name}", *_both(self, other, "gripper", f.name)) for f in fields(GripperGeometry) if f.compare
        ]
        return [f"{name} {ours} and {theirs}" for name, ours, theirs in pairs if not _same(ours, theirs)]

    def unlike(self, seen: Observation) -> str:
        """Returns a sentence about an image that lies outside the training's world, or "".

        The distance decides: the network knows an object by its size in pixels and by its height over the ground.

        Args:
            seen: The image.
        """
        middle = float(np.median(seen.depth[seen.depth > 0])) if (seen.depth > 0).any() else self.camera_height
        scale = float(seen.camera.intrinsics[0, 0]) / middle
        if _NEAR <= middle / self.camera_height <= _FAR or _NEAR <= scale / self.pixels_per_metre <= 1 / _NEAR:
            return ""
        return (
            f"the network was trained from {self.camera_height:.2g} m at {self.pixels_per_metre:.0f} pixels per metre, "
            f"this image was taken from {middle:.2g} m at {scale:.0f}: expect fewer good grasps"
        )


def _both(first: TrainedView, second: TrainedView, part: str, name: str) -> tuple[Any, Any]:
    return getattr(getattr(first, part), name), getattr(getattr(second, part), name)


def _same(first: Any, second: Any) -> bool:
    """Returns whether two settings are one: numbers within rounding."""
    if isinstance(first, int | float) and isinstance(second, int | float):
        return abs(first - second) <= _TOLERANCE * max(1.0, abs(first))
    return bool(first == second)


def _matrix(values: Any) -> Matrix:
    """Returns a (3, 3) matrix as tuples of floats; raises TypeError or ValueError."""
    return tuple(tuple(float(v) for v in row) for row in values)
