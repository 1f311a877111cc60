"""Networks as grasp policies, for the benchmark and for robots; and the control that knows nothing."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from plgp.data.input_format import InputFormat
from plgp.data.trained_view import TrainedView
from plgp.module import GraspModule, load_module
from plgp.networks.base import GraspNetwork
from plgp.networks.cost import measure_cost
from plgp.policy.candidates import Window, window_of
from plgp.policy.decoder import decode
from plgp.policy.failure_memory import FailureMemory
from plgp.policy.settings import DecoderSettings
from plgp.policy.workspace import Area, allowed_pixels
from plgp.targets import GraspMaps
from sim.errors import InputError
from sim.grasp import GraspPoses, PixelGrasps, angle_to_bin
from sim.gripper import GripperGeometry
from sim.view import Observation, check_depth_image

PRECISIONS = ("float32", "bfloat16")
PRETRAINED = Path(__file__).parents[1] / "pretrained"  # checkpoints that are installed with the package


def pretrained_checkpoint(name: str | None = None, folder: str | Path = PRETRAINED) -> Path:
    """Returns a checkpoint that is installed with the package.

    Args:
        name: Name of the file without ".ckpt"; None takes the only one, or of several the one called "default".
        folder: Folder of the checkpoints.

    Raises:
        InputError: There is none, none of that name, or several and no name.
    """
    found = {p.stem: p for p in sorted(Path(folder).glob("*.ckpt"))}
    if not found:
        raise InputError("this installation of plgp carries no trained network; give checkpoint=FILE, or train one")
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if (name or "default") in found:
        return found[name or "default"]
    wanted = f"no trained network '{name}' in" if name else "several trained networks are in"
    raise InputError(f"{wanted} this installation of plgp; choose one of {', '.join(found)}")


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
        """Keeps what decoding needs; see ``NetworkPolicy``."""
        self.gripper, self.decoder = gripper, decoder or DecoderSettings()
        self.workspace, self.name = workspace, name
        self.memory = FailureMemory() if memory else None

    def predict(self, rgb: NDArray[np.uint8] | None, depth: NDArray[np.floating]) -> GraspMaps:
        """Returns probability maps (1, 1, H, W), (1, K, H, W), (1, K, H, W) of one image."""
        raise NotImplementedError

    def _maps(self, observation: Observation, window: Window) -> tuple[GraspMaps, bool]:
        """Returns the maps of some rows and columns, and whether they are logits."""
        maps = self.predict(observation.rgb, observation.depth)
        return GraspMaps(*(m[..., *window] for m in maps)), False

    def pixel_grasps(self, observation: Observation, count: int) -> PixelGrasps:
        """Returns up to ``count`` grasps in the image, best first."""
        depth, camera = observation.depth, observation.camera
        allowed = allowed_pixels(self.workspace, depth, camera)
        window = window_of(depth > 0 if allowed is None else (depth > 0) & allowed)
        maps, logits = self._maps(observation, window)
        weight = None if self.memory is None else self.memory.weight(depth)
        grasps = decode(
            maps,
            depth,
            camera,
            gripper=self.gripper,
            count=count,
            settings=self.decoder,
            allowed=allowed,
            logits=logits,
            weight=weight,
            corner=(window[0].start, window[1].start),
        )
        if self.memory is not None and count == 1:  # a longer list is none that is executed in turn
            self.memory.keep(grasps, depth)
        return grasps

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first."""
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
    ) -> None:
        """Puts a network behind the decoder.

        Args:
            network: The network. It runs in evaluation mode and is handed back in its own mode.
            input_format: Format of the network's input.
            gripper: The gripper that the network's labels were made for.
            decoder: Settings by which maps become grasps; None is the default.
            workspace: Region where grasps may lie: a box, an (H, W) bool mask, or None for anywhere.
            device: Device that the network runs on.
            name: Name in tables.
            trained_view: The network's world in training, where it is known.
            memory: Whether the policy remembers where it has failed in the same tray; see ``FailureMemory``.
            precision: "float32", or "bfloat16": two to three times as fast on processors that compute in it. One grasp
                in five is another; how many of them lift was not measured.

        Raises:
            InputError: There is no such device or precision.
        """
        if precision not in PRECISIONS:
            raise InputError(f"policy.precision is '{precision}'; choose one of {', '.join(PRECISIONS)}")
        super().__init__(gripper, decoder=decoder, workspace=workspace, name=name, memory=memory)
        try:
            self.device = torch.device(device)
            self.network = network.to(self.device)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            first = str(error).splitlines()[0]
            raise InputError(f"device '{device}' cannot be used ({first}); give device=cpu") from error
        self.input_format, self.trained_view, self.precision = input_format, trained_view, precision

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
    ) -> NetworkPolicy:
        """Returns the policy of a module as it is now; ``device`` None stays where the module is."""
        place = module.device if device is None else device
        return cls(
            module.network,
            module.input_format,
            module.gripper,
            decoder=decoder,
            workspace=workspace,
            device=place,
            name=name,
            trained_view=module.trained_view,
            memory=memory,
            precision=precision,
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
        precision: str = "float32",
    ) -> NetworkPolicy:
        """Returns the policy of a checkpoint.

        Args:
            path: The checkpoint; "pretrained" is the one that is installed with the package.
            gripper: The gripper that will be used; None takes the checkpoint's.
            device: Device that the network runs on.
            decoder: Settings by which maps become grasps; None is the default.
            workspace: Region where grasps may lie: a box, an (H, W) bool mask, or None for anywhere.
            name: Name in tables.
            untrained: Whether the network keeps its random start instead of its weights: a control that goes
                through the same decoder.
            seed: Seed of that random start.
            memory: Whether the policy remembers where it has failed in the same tray; see ``FailureMemory``.
            precision: "float32", or "bfloat16": two to three times as fast on processors that compute in it. One grasp
                in five is another; how many of them lift was not measured.

        Raises:
            InputError: The checkpoint is missing, broken, or made for another gripper.
        """
        path = pretrained_checkpoint() if str(path) == "pretrained" else path
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = load_module(path, weights=not untrained)
        if gripper is not None:
            for f in fields(GripperGeometry):
                own, asked = getattr(module.gripper, f.name), getattr(gripper, f.name)
                if f.compare and abs(own - asked) > 1e-6:  # labels do not depend on its force
                    raise InputError(
                        f"checkpoint '{path}' was trained for another gripper: its {f.name} is {own} m, "
                        f"yours {asked} m; train on labels for your gripper"
                    )
        return cls.from_module(
            module, decoder=decoder, workspace=workspace, device=device, name=name, memory=memory, precision=precision
        )

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
        precision: str = "float32",
    ) -> NetworkPolicy:
        """Returns the policy of a checkpoint that is installed with the package.

        Args:
            weights: Name of the checkpoint; see ``pretrained_checkpoint``.
            gripper: The gripper that will be used; None takes the checkpoint's.
            device: Device that the network runs on.
            decoder: Settings by which maps become grasps; None is the default.
            workspace: Region where grasps may lie; None for anywhere.
            name: Name in tables.
            memory: Whether the policy remembers where it has failed in the same tray; see ``FailureMemory``.
            precision: "float32", or "bfloat16": two to three times as fast on processors that compute in it. One grasp
                in five is another; how many of them lift was not measured.
        """
        path = pretrained_checkpoint(weights)
        return cls.from_checkpoint(
            path, gripper, device, decoder=decoder, workspace=workspace, name=name, memory=memory, precision=precision
        )

    def describe(self) -> dict[str, Any]:
        """Returns what tables say of the network: its title, input, parameters and multiply-adds at 224x224."""
        known: dict[str, Any] = {"network": self.network.title, "modality": self.input_format.modality}
        if self.memory is not None:
            known["memory"] = True
        if self.precision != "float32":
            known["precision"] = self.precision
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
        # Padding lies below and to the right, and is 0, as missing pixels are.
        stride = self.network.stride
        image = F.pad(image, (0, -width % stride, 0, -height % stride))
        training = self.network.training
        self.network.eval()
        window = window or (slice(0, height), slice(0, width))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits = self.network.forward_window(image.contiguous(memory_format=torch.channels_last), window)
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

    def _maps(self, observation: Observation, window: Window) -> tuple[GraspMaps, bool]:
        return self.logits(observation.rgb, observation.depth, window), True
