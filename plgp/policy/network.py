"""Networks as grasp policies, for the benchmark and for robots."""

from __future__ import annotations

import warnings
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plgp.data.input_format import InputFormat
from plgp.data.trained_view import TrainedView
from plgp.module import GraspModule, load_module
from plgp.networks.base import GraspNetwork
from plgp.networks.cost import measure_cost
from plgp.policy.candidates import Window
from plgp.policy.device import device_of
from plgp.policy.installed import find_checkpoint, pretrained_checkpoint
from plgp.policy.map_policy import MapPolicy
from plgp.policy.settings import DecoderSettings, ViewSettings, VirtualViews
from plgp.policy.turned import averaged_logits, check_turns
from plgp.policy.views.measured import measured_grasps, narrow_side_first
from plgp.policy.views.middles import nearer_the_middle
from plgp.policy.views.viewed import PlaneExtent, ViewedGrasps, bring_back, choose_view, doubt_beside, graspable
from plgp.policy.views.virtual_views import leaning_grasps, leaning_views, merged
from plgp.policy.workspace import Area, allowed_pixels
from plgp.targets import GraspMaps
from sim.depth_image.known_floor import KnownFloor, known_floor
from sim.depth_image.main_plane import main_plane
from sim.depth_image.overhead_view import OverheadView
from sim.errors import InputError
from sim.grasp import GraspPoses, PixelGrasps
from sim.gripper import GripperGeometry
from sim.view import Observation, check_depth_image

_NO_PLANE = "no main plane is seen for views to lean against"
# A leaning view's grasps: half of those wanted, since others have the rest, and more, since a hand cannot reach all.
_REFUSED = 10
PRECISIONS = ("float32", "bfloat16")


class NetworkPolicy(MapPolicy):
    """A trained (or untrained) network as a sim.benchmark.GraspPolicy."""

    def __init__(
        self,
        network: GraspNetwork,
        input_format: InputFormat,
        gripper: GripperGeometry,
        *,
        decoder: DecoderSettings | None = None,
        workspace: Area = None,
        device: str | torch.device = "cpu",
        name: str = "network",
        trained_view: TrainedView | None = None,
        memory: bool = False,
        precision: str = "float32",
        turns: int = 1,
        view: ViewSettings | None = None,
        views: VirtualViews | None = None,
    ) -> None:
        """Puts a network behind the decoder.

        Args:
            network: The network. It runs in evaluation mode and is handed back in its own mode.
            input_format: Format of the network's input.
            gripper: The gripper that the network's labels were made for.
            decoder: Settings by which maps become grasps; None is the default.
            workspace: Region where grasps may lie: a box, an (H, W) bool mask, or None for anywhere.
            device: Device that the network runs on: "cpu", "cuda" ..., or "auto", the GPU if there is one.
            name: Name in tables.
            trained_view: The network's world in training, where it is known.
            memory: Whether the policy remembers where it has failed in the same tray; see ``FailureMemory``.
            precision: "float32", or "bfloat16": two to three times as fast on processors that compute in it. One grasp
                in five is another; how many of them lift was not measured.
            turns: Number of sides, 1, 2, 4 or 8, from which the network is shown the image; see ``averaged_logits``.
            view: Which view of an image the network is shown; None is the default.
            views: Further views that it is shown; None is that view alone.

        Raises:
            InputError: There is no such device, precision or number of turns.
        """
        if precision not in PRECISIONS:
            raise InputError(f"policy.precision is '{precision}'; choose one of {', '.join(PRECISIONS)}")
        check_turns(turns, network.bins)
        super().__init__(gripper, decoder=decoder, workspace=workspace, name=name, memory=memory)
        self.device = device_of(device)
        self.network = network.to(self.device)
        self.input_format, self.trained_view = input_format, trained_view
        self.precision, self.turns = precision, turns
        self.view, self.views = view or ViewSettings(), views

    @classmethod
    def from_module(
        cls,
        module: GraspModule,
        *,
        decoder: DecoderSettings | None = None,
        workspace: Area = None,
        device: str | torch.device | None = None,
        name: str = "network",
        memory: bool = False,
        precision: str = "float32",
        turns: int = 1,
        view: ViewSettings | None = None,
        views: VirtualViews | None = None,
    ) -> NetworkPolicy:
        """Returns the policy of a module as it is now; ``device`` None stays where the module is."""
        return cls(
            module.network,
            module.input_format,
            module.gripper,
            decoder=decoder,
            workspace=workspace,
            device=module.device if device is None else device,
            name=name,
            trained_view=module.trained_view,
            memory=memory,
            precision=precision,
            turns=turns,
            view=view,
            views=views,
        )

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        gripper: GripperGeometry | None = None,
        device: str | torch.device = "cpu",
        *,
        decoder: DecoderSettings | None = None,
        workspace: Area = None,
        name: str = "network",
        untrained: bool = False,
        seed: int = 0,
        memory: bool = False,
        other_gripper: bool = False,
        precision: str = "float32",
        turns: int = 1,
        view: ViewSettings | None = None,
        views: VirtualViews | None = None,
    ) -> NetworkPolicy:
        """Returns the policy of a checkpoint.

        Args:
            path: The checkpoint, or an installed network's name; see ``find_checkpoint``.
            gripper: The gripper that will be used; None takes the checkpoint's.
            device: Device that the network runs on: "cpu", "cuda" ..., or "auto", the GPU if there is one.
            decoder: Settings by which maps become grasps; None is the default.
            workspace: Region where grasps may lie: a box, an (H, W) bool mask, or None for anywhere.
            name: Name in tables.
            untrained: Whether the network keeps its random start instead of its weights: a control that goes
                through the same decoder.
            seed: Seed of that random start.
            memory: Whether the policy remembers where it has failed in the same tray; see ``FailureMemory``.
            other_gripper: Whether a gripper of other lengths than the checkpoint's is taken, which is warned of.
            precision: "float32", or "bfloat16": two to three times as fast on processors that compute in it. One grasp
                in five is another; how many of them lift was not measured.
            turns: Number of sides, 1, 2, 4 or 8, from which the network is shown the image; see ``averaged_logits``.
            view: Which view of an image the network is shown; None is the default.
            views: Further views that it is shown; None is that view alone.

        Raises:
            InputError: The checkpoint is missing, broken, or made for another gripper.
        """
        path = find_checkpoint(path)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = load_module(path, weights=not untrained)
        kept: Any = {"name": name, "memory": memory, "precision": precision, "turns": turns, "view": view}
        policy = cls.from_module(module, decoder=decoder, workspace=workspace, device=device, views=views, **kept)
        if gripper is not None:
            _check_gripper(gripper, module.gripper, path, allowed=other_gripper)
            policy.gripper = gripper  # its force and frames too; the unit of the width maps stays the checkpoint's
        return policy

    @classmethod
    def pretrained(
        cls,
        weights: str | None = None,
        gripper: GripperGeometry | None = None,
        device: str | torch.device = "cpu",
        *,
        decoder: DecoderSettings | None = None,
        workspace: Area = None,
        name: str = "pretrained",
        memory: bool = False,
        other_gripper: bool = False,
        precision: str = "float32",
        turns: int = 1,
        view: ViewSettings | None = None,
        views: VirtualViews | None = None,
    ) -> NetworkPolicy:
        """Returns the policy of a checkpoint that is installed with the package.

        Args:
            weights: Name of the checkpoint; see ``pretrained_checkpoint``.
            gripper: The gripper that will be used; None takes the checkpoint's.
            device: Device that the network runs on: "cpu", "cuda" ..., or "auto", the GPU if there is one.
            decoder: Settings by which maps become grasps; None is the default.
            workspace: Region where grasps may lie; None for anywhere.
            name: Name in tables.
            memory: Whether the policy remembers where it has failed in the same tray; see ``FailureMemory``.
            other_gripper: Whether a gripper of other lengths than the checkpoint's is taken, which is warned of.
            precision: "float32", or "bfloat16": two to three times as fast on processors that compute in it. One grasp
                in five is another; how many of them lift was not measured.
            turns: Number of sides, 1, 2, 4 or 8, from which the network is shown the image; see ``averaged_logits``.
            view: Which view of an image the network is shown; None is the default.
            views: Further views that it is shown; None is that view alone.
        """
        path = pretrained_checkpoint(weights)
        kept: Any = {"name": name, "memory": memory, "precision": precision, "turns": turns, "view": view}
        kept |= {"views": views, "other_gripper": other_gripper}
        return cls.from_checkpoint(path, gripper, device, decoder=decoder, workspace=workspace, **kept)

    def describe(self) -> dict[str, Any]:
        """Returns what tables say of the network: its title, input, parameters and multiply-adds at 224x224."""
        known: dict[str, Any] = {"network": self.network.title, "modality": self.input_format.modality}
        if self.memory is not None:
            known["memory"] = True
        if self.precision != "float32":
            known["precision"] = self.precision
        if self.turns > 1:
            known["turns"] = self.turns
        if self.views is not None:
            known["views"] = self.views.count
        return known | asdict(measure_cost(self.network))

    @torch.inference_mode()
    def logits(
        self, rgb: NDArray[np.uint8] | None, depth: NDArray[np.floating], window: Window | None = None
    ) -> GraspMaps:
        """Returns the network's logit maps of one image of any size, on the policy's device; see ``predict``.

        Args:
            rgb: (H, W, 3) uint8, or None for a depth network.
            depth: (H, W) floating, metres, 0 = missing.
            window: Rows and columns that are wanted; None is all of them.
        """
        check_depth_image(depth)
        height, width = depth.shape
        array = self.input_format(rgb, np.asarray(depth, np.float32))
        image = torch.from_numpy(array)[None].to(self.device)
        training = self.network.training
        self.network.eval()
        window = window or (slice(0, height), slice(0, width))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits = averaged_logits(self.network, image, window, turns=self.turns)
        self.network.train(training)
        return logits

    @torch.inference_mode()
    def predict(self, rgb: NDArray[np.uint8] | None, depth: NDArray[np.floating]) -> GraspMaps:
        """Returns the probability maps of one image of any size.

        Args:
            rgb: (H, W, 3) uint8, or None for a depth network.
            depth: (H, W) floating, metres, 0 = missing.

        Returns:
            float32 maps (1, 1, H, W), (1, K, H, W), (1, K, H, W) in [0, 1] on the policy's device.
        """
        return GraspMaps(*(torch.sigmoid(m.float()) for m in self.logits(rgb, depth)))

    def find(self, observation: Observation, count: int) -> ViewedGrasps:
        """Returns up to ``count`` grasps, best first, found in the view or the views that are asked for.

        Args:
            observation: The image, of any camera; the pose of its camera, where known, says where up is.
            count: Number of grasps wanted.
        """
        area = allowed_pixels(self.workspace, observation.depth, observation.camera)
        floor = known_floor(observation, area, self.decoder.depth_margins)
        if self.views is None or self.views.count == 1:
            found = self._in_one_view(observation, count, self.view, area=area, floor=floor)[:count]
        else:
            found = self._in_views(observation, count, self.views, area=area, floor=floor)
        self.remember(found.pixels, observation, count)
        return found

    def _in_one_view(
        self,
        observation: Observation,
        count: int,
        settings: ViewSettings,
        *,
        area: NDArray[np.bool_] | None,
        floor: KnownFloor | None,
    ) -> ViewedGrasps:
        """Returns the grasps of one view, perhaps a few more than ``count``; ``area`` (H, W) is where they may lie."""
        view, note = choose_view(observation, self.trained_view, settings)
        weight = self.weight(observation)
        if view is None or self.trained_view is None:
            relief = observation.depth if floor is None else floor.under(observation.depth, observation.camera)
            pixels = self.decoded(observation, count, area, weight=weight, relief=relief)
            poses = pixels.to_poses(observation.depth, observation.camera)
            return ViewedGrasps(pixels, poses, None, pixels, note=note)
        view = view if floor is None else floor.under_view(view)
        allowed = graspable(view, area, settings)
        shown = self._shown_in(view, 2 * count, allowed, weight, middles=True)
        found = bring_back(
            shown, view, observation, gripper=self.gripper, decoder=self.decoder, approach=settings.approach
        )
        return replace(found, allowed=allowed, note=note or doubt_beside(observation, view, area))

    def _in_views(
        self,
        observation: Observation,
        count: int,
        views: VirtualViews,
        *,
        area: NDArray[np.bool_] | None,
        floor: KnownFloor | None,
    ) -> ViewedGrasps:
        """Returns the best grasps of several views; where there is no plane to lean against, those of one."""
        middle = replace(self.view, tilt=min(self.view.tilt, views.tilt / 2))  # the ring stands around straight down
        found = self._in_one_view(observation, count, middle, area=area, floor=floor)
        plane = main_plane(observation, self.view.least_share)
        lost = plane is None or plane.share < self.view.least_share or plane.tilt > self.view.steepest
        if self.trained_view is None or plane is None or lost:
            known = "the network does not know its trained view" if self.trained_view is None else _NO_PLANE
            return replace(found[:count], note=found.note or f"{known}: one view is taken")
        weight = self.weight(observation)
        extent = PlaneExtent.of(found.view or self.trained_view.to_view(observation, plane))
        leaning = leaning_views(observation, plane, self.trained_view, settings=views)
        ring = [
            leaning_grasps(
                observation,
                view,
                area,
                decode=lambda shown, places: self._shown_in(shown, count // 2 + _REFUSED, places, weight),
                extent=extent,
                gripper=self.gripper,
                decoder=self.decoder,
                settings=self.view,
                views=views,
            )
            for view in (leaning if floor is None else map(floor.under_view, leaning))
        ]
        return merged(found, ring, count, settings=views, decoder=self.decoder)

    def _shown_in(
        self,
        view: OverheadView,
        count: int,
        allowed: NDArray[np.bool_],
        weight: NDArray[np.float32] | None,
        *,
        middles: bool = False,
    ) -> PixelGrasps:
        """Returns up to ``count`` grasps of a view's image at allowed pixels; ``weight`` is the first image's.

        With ``middles``, they are nearer to their things' middles.
        """
        weight = None if weight is None else weight.ravel()[view.source]
        maps = self.shown_maps(view.seen, allowed)
        settings: Any = {"gripper": self.gripper, "decoder": self.decoder}
        grasps = self.decoded(view.seen, count, allowed, weight=weight, relief=view.ceiling, shown=maps)
        if middles and weight is None:  # a memory of failures tells places apart
            grasps = nearer_the_middle(grasps, view, maps, allowed=allowed, **settings)
        grasps = measured_grasps(grasps, view, allowed=allowed, **settings)
        return narrow_side_first(grasps, view, decoder=self.decoder)

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns grasps in the camera frame; warns where a view that was wanted could not be had. See ``find``.

        Args:
            observation: The image.
            count: Number of grasps wanted.

        Returns:
            Up to ``count`` grasps, best first.
        """
        found = self.find(observation, count)
        if found.note:
            warnings.warn(found.note, stacklevel=2)
        return found.poses

    def _maps(self, observation: Observation, window: Window) -> tuple[GraspMaps, bool]:
        return self.logits(observation.rgb, observation.depth, window), True


def _check_gripper(gripper: GripperGeometry, trained: GripperGeometry, path: str | Path, *, allowed: bool) -> None:
    """Warns of a gripper whose lengths are not the checkpoint's, or raises InputError where that is not allowed."""
    for f in fields(GripperGeometry):
        own, asked = getattr(trained, f.name), getattr(gripper, f.name)
        if f.compare and abs(own - asked) > 1e-6:  # labels do not depend on its force
            differs = f"checkpoint '{path}' was trained for another gripper: its {f.name} is {own} m, yours {asked} m"
            if not allowed:
                raise InputError(
                    f"{differs}; train on labels for your gripper, or say other_gripper=true: it then goes as deep and "
                    "opens as wide as yours can, and how well it grasps has to be measured"
                )
            warnings.warn(f"{differs}; measure how well it grasps", stacklevel=3)
            return
