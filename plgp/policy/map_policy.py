"""Policies that make grasp maps and decode them; and the control that knows nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from plgp.policy.candidates import Window, window_of
from plgp.policy.decoder import decode
from plgp.policy.failure_memory import FailureMemory
from plgp.policy.settings import DecoderSettings
from plgp.policy.workspace import Area, allowed_pixels
from plgp.targets import GraspMaps
from sim.depth_image.known_floor import floor_lowered
from sim.errors import InputError
from sim.grasp import GraspPoses, PixelGrasps, angle_to_bin
from sim.gripper import GripperGeometry
from sim.view import Observation, check_depth_image


class ShownMaps(NamedTuple):
    """The maps of some rows and columns of an image.

    Attributes:
        maps: The maps, (1, 1, h, w), (1, K, h, w), (1, K, h, w).
        logits: Whether they are a network's logits.
        corner: Row and column of their first pixel in the image.
    """

    maps: GraspMaps
    logits: bool
    corner: tuple[int, int]


class MapPolicy:
    """A ``sim.benchmark.GraspPolicy`` that makes grasp maps (``predict``) and decodes them."""

    def __init__(
        self,
        gripper: GripperGeometry,
        *,
        decoder: DecoderSettings | None = None,
        workspace: Area = None,
        name: str,
        memory: bool = False,
    ) -> None:
        """Keeps what decoding needs.

        Args:
            gripper: The gripper that the maps are for; its greatest opening is the unit of the width maps.
            decoder: Settings by which maps become grasps; None is the default.
            workspace: Region where grasps may lie: a box, an (H, W) bool mask, or None for anywhere.
            name: Name in tables.
            memory: Whether the policy remembers where it has failed in the same tray; see ``FailureMemory``.
        """
        self.gripper, self.decoder = gripper, decoder or DecoderSettings()
        self.width_unit = gripper.max_opening
        self.workspace, self.name = workspace, name
        self.memory = FailureMemory() if memory else None

    def predict(self, rgb: NDArray[np.uint8] | None, depth: NDArray[np.floating]) -> GraspMaps:
        """Returns the maps of one image: quality and angle as probabilities, width in units of the greatest opening.

        Args:
            rgb: (H, W, 3) uint8, or None without colours.
            depth: (H, W) floating, metres, 0 = missing.

        Returns:
            Floating (1, 1, H, W), (1, K, H, W) and (1, K, H, W), all in [0, 1].
        """
        raise NotImplementedError

    def _maps(self, observation: Observation, window: Window) -> tuple[GraspMaps, bool]:
        """Returns the maps of some rows and columns, and whether they are logits."""
        maps = self.predict(observation.rgb, observation.depth)
        return GraspMaps(*(m[..., *window] for m in maps)), False

    def pixel_grasps(self, observation: Observation, count: int) -> PixelGrasps:
        """Returns grasps in the image.

        Args:
            observation: The image.
            count: Number of grasps wanted.

        Returns:
            Up to ``count`` grasps, best first.
        """
        allowed = allowed_pixels(self.workspace, observation.depth, observation.camera)
        grasps = self.decoded(observation, count, allowed, weight=self.weight(observation))
        self.remember(grasps, observation, count)
        return grasps

    def decoded(
        self,
        observation: Observation,
        count: int,
        allowed: NDArray[np.bool_] | None,
        *,
        weight: NDArray[np.float32] | None = None,
        relief: NDArray[np.float32] | None = None,
        shown: ShownMaps | None = None,
    ) -> PixelGrasps:
        """Returns up to ``count`` grasps in the image at allowed pixels, best first; see ``decode``.

        Args:
            observation: The image that the maps are made of.
            count: Number of grasps wanted.
            allowed: (H, W) bool, where grasps may lie; None is everywhere.
            weight: (H, W) float32 in [0, 1], factor on the pixels' scores; None is 1.
            relief: (H, W) float32, metres: the surface that the hand must stay above; None is the image's own depth,
                with the floor that is known at the allowed pixels as ``decoder.floor_margin`` says.
            shown: The image's maps at the allowed pixels; None makes them.
        """
        shown = shown or self.shown_maps(observation, allowed)
        if relief is None:
            relief = floor_lowered(observation, allowed, self.decoder.depth_margins)
        return decode(
            shown.maps,
            relief,
            observation.camera,
            gripper=self.gripper,
            count=count,
            settings=self.decoder,
            allowed=allowed,
            logits=shown.logits,
            weight=weight,
            corner=shown.corner,
            width_unit=self.width_unit,
        )

    def shown_maps(self, observation: Observation, allowed: NDArray[np.bool_] | None) -> ShownMaps:
        """Returns the maps of the rows and columns that hold an image's allowed pixels.

        Args:
            observation: The image.
            allowed: (H, W) bool, where grasps may lie; None is everywhere.
        """
        depth = observation.depth
        window = window_of(depth > 0 if allowed is None else (depth > 0) & allowed)
        maps, logits = self._maps(observation, window)
        return ShownMaps(maps, logits, (window[0].start, window[1].start))

    def weight(self, observation: Observation) -> NDArray[np.float32] | None:
        """Returns the memory's factors on the pixels' scores, (H, W) float32; None without a memory."""
        return None if self.memory is None else self.memory.weight(observation.depth)

    def remember(self, grasps: PixelGrasps, observation: Observation, count: int) -> None:
        """Keeps in memory a grasp that is going to be executed; a list of more than one is none that is."""
        if self.memory is not None and count == 1:
            self.memory.keep(grasps, observation.depth)

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns grasps in the camera frame.

        Args:
            observation: The image.
            count: Number of grasps wanted.

        Returns:
            Up to ``count`` grasps, best first.
        """
        grasps = self.pixel_grasps(observation, count)
        return grasps.to_poses(observation.depth, observation.camera)


class ConstantPolicy(MapPolicy):
    """Constant maps through the decoder: what the decoder does by itself, a control beside an untrained network."""

    def __init__(
        self,
        gripper: GripperGeometry | None = None,
        *,
        quality: float = 0.5,
        angle: float = 0.0,
        width: float = 0.05,
        bins: int = 18,
        decoder: DecoderSettings | None = None,
        workspace: Area = None,
        name: str = "constant",
        memory: bool = False,
    ) -> None:
        """Sets up.

        Args:
            gripper: The gripper; None is the default one.
            quality: Quality of every pixel, in (0, 1].
            angle: Best angle of every pixel, radians.
            width: Predicted width of every pixel, metres; the decoder adds its ``extra_opening``.
            bins: Number of angle bins, K.
            decoder: Settings by which maps become grasps; None is the default.
            workspace: Region where grasps may lie: a box, an (H, W) bool mask, or None for anywhere.
            name: Name in tables.
            memory: Whether the policy remembers where it has failed in the same tray; see ``FailureMemory``.

        Raises:
            InputError: A constant is out of range.
        """
        super().__init__(gripper or GripperGeometry(), decoder=decoder, workspace=workspace, name=name, memory=memory)
        if not (0 < quality <= 1 and np.isfinite(angle) and 0 <= width <= self.gripper.max_opening):
            raise InputError(
                f"constant policy: quality {quality}, angle {angle} rad, width {width} m; give a quality in (0, 1], "
                f"a finite angle and a width up to {self.gripper.max_opening} m"
            )
        self.quality, self.width, self.bins = float(quality), float(width), bins
        self.angle_bin = int(angle_to_bin(np.array([angle % np.pi]), bins)[0])

    def predict(self, rgb: NDArray[np.uint8] | None, depth: NDArray[np.floating]) -> GraspMaps:
        """Returns constant float32 maps (1, 1, H, W), (1, K, H, W), (1, K, H, W) of the depth image's size."""
        check_depth_image(depth)
        angle = torch.zeros(self.bins)
        angle[self.angle_bin] = 1.0
        width = torch.full((self.bins,), self.width / self.gripper.max_opening)
        parts = torch.tensor([self.quality]), angle, width
        return GraspMaps(*(p.view(1, -1, 1, 1).expand(1, len(p), *depth.shape) for p in parts))
