"""From a network's maps to ranked 6-DOF grasps: a GraspPolicy for the benchmark and for robots."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plgp.module import GraspModule, load_module
from plgp.networks.base import GraspNetwork
from plgp.targets import GraspMaps
from plgp.transforms import InputFormat
from sim import InputError
from sim.benchmark import Observation
from sim.camera import PinholeCamera
from sim.grasp import GraspPoses, PixelGrasps, bin_to_angle, deepest_free_depth
from sim.gripper import GripperGeometry
from sim.view import check_depth_image


@dataclass(frozen=True)
class DecoderSettings:
    """How maps become grasps; lengths in metres unless they end in _px.

    Attributes:
        smoothing_px: Standard deviation of a Gaussian over the quality map; 0 leaves it alone.
        suppression_px: A grasp is kept where no better one lies within this distance (square
            window). Only where too few remain is it halved, and given up at last.
        extra_opening: Added to the predicted width, up to the gripper's L4. Only where too few
            grasps remain even so are wider openings tried.
        min_depth: Grasps that can go less deep are dropped.
        margin: Kept free on every side of a finger; the labels' own is 2.5 mm.
        pool: At most as many candidates are tried for each distance, best first.
    """

    smoothing_px: float = 0.0
    suppression_px: int = 4
    extra_opening: float = 0.010
    min_depth: float = 0.005
    margin: float = 0.0025
    pool: int = 10_000

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        for f in fields(self):
            if not getattr(self, f.name) >= 0:
                raise InputError(f"decoder.{f.name} is {getattr(self, f.name)}; give a number that is not negative")


@dataclass(frozen=True)
class Workspace:
    """A box outside of which no grasp's surface point may lie: tray walls attract grasps.

    Attributes:
        minimum: Least x, y, z, metres.
        maximum: Greatest x, y, z, metres.
        frame: "world" (through the observation's camera pose) or "camera".
    """

    minimum: tuple[float, float, float]
    maximum: tuple[float, float, float]
    frame: str = "world"

    def mask(self, depth: NDArray[np.floating], camera: PinholeCamera) -> NDArray[np.bool_]:
        """Returns (H, W) bool: pixels with a depth whose surface point lies in the box."""
        if self.frame not in ("world", "camera"):
            raise InputError(f"workspace.frame is '{self.frame}'; choose world or camera")
        m = camera.intrinsics
        y = (np.arange(depth.shape[0])[:, None] - m[1, 2]) / m[1, 1]
        x = (np.arange(depth.shape[1])[None] - m[0, 2] - m[0, 1] * y) / m[0, 0]
        pose = camera.pose if self.frame == "world" else np.eye(4)
        result = depth > 0
        for axis in range(3):
            ray = (pose[axis, 0] * x + pose[axis, 1] * y + pose[axis, 2]).astype(np.float32)
            place = ray * depth + np.float32(pose[axis, 3])
            result &= (place >= self.minimum[axis]) & (place <= self.maximum[axis])
        return result


def decode(
    maps: GraspMaps,
    depth: NDArray[np.floating],
    camera: PinholeCamera,
    gripper: GripperGeometry,
    count: int,
    settings: DecoderSettings | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> PixelGrasps:
    """Returns up to ``count`` executable grasps, best first.

    A pixel's score is its quality times its best angle's; its width is that angle's. Candidates
    are local maxima of the score; the shared depth rule says how deep each can go, and those for
    which it knows no depth, or too little, are dropped.

    Args:
        maps: Probabilities of one image: (1, 1, H, W), (1, K, H, W), (1, K, H, W).
        depth: (H, W) floating, metres, 0 = missing.
        camera: Its camera.
        gripper: Its L4 is the unit of the width map.
        count: How many.
        settings: How to decode.
        allowed: (H, W) bool, where grasps may lie; None is everywhere.
    """
    rules = settings or DecoderSettings()
    quality = _smooth(maps.quality.float(), rules.smoothing_px)
    best, angle_bin = maps.angle[0].float().max(dim=0)
    usable = torch.from_numpy(depth > 0 if allowed is None else (depth > 0) & allowed).to(best.device)
    # A score of 0 would not be told from a forbidden pixel's.
    score = torch.where(usable, (quality[0, 0] * best).clamp(min=1e-12), torch.zeros_like(best))
    columns = best.shape[1]
    chosen: list[PixelGrasps] = []
    taken = np.zeros(depth.shape, dtype=bool)
    for radius, widening in _stages(rules, gripper.max_opening):
        values, pixels = _peaks(score, radius, rules.pool)
        row, col = (pixels // columns).cpu().numpy(), (pixels % columns).cpu().numpy()
        fresh = ~taken[row, col]
        row, col, value = row[fresh], col[fresh], values.cpu().numpy()[fresh]
        extra = rules.extra_opening + widening
        start, step = 0, 4 * count
        while start < len(row) and sum(map(len, chosen)) < count:
            part = slice(start, start + step)
            some = _executable(maps, angle_bin, row[part], col[part], value[part], depth, camera, gripper, rules, extra)
            some = some[: count - sum(map(len, chosen))]
            taken[some.row, some.col] = True
            chosen.append(some)
            start, step = start + step, 2 * step
        if sum(map(len, chosen)) >= count:
            break
    if not chosen:
        return PixelGrasps(**{f.name: np.zeros(0) for f in fields(PixelGrasps)})  # type: ignore[arg-type]
    merged = {f.name: np.concatenate([getattr(c, f.name) for c in chosen]) for f in fields(PixelGrasps)}
    grasps = PixelGrasps(**merged)
    return grasps[np.argsort(-grasps.quality, kind="stable")]


def _stages(rules: DecoderSettings, max_opening: float) -> list[tuple[int, float]]:
    """Returns (suppression radius in pixels, metres more than the usual opening), in the order of trying."""
    radii = [rules.suppression_px]
    while radii[-1]:
        radii.append(radii[-1] // 2)
    wider = [w for w in (0.02, 0.04, 0.06, 0.08) if w < max_opening]
    return [(r, 0.0) for r in radii] + [(rules.suppression_px, w) for w in wider]


def _executable(
    maps: GraspMaps,
    angle_bin: Tensor,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    value: NDArray[np.float32],
    depth: NDArray[np.floating],
    camera: PinholeCamera,
    gripper: GripperGeometry,
    rules: DecoderSettings,
    extra: float,
) -> PixelGrasps:
    """Returns the grasps at some pixels that can go at least ``min_depth`` deep, in their order.

    ``extra`` metres are added to the predicted widths.
    """
    k = angle_bin[row, col].cpu().numpy()
    share = maps.width[0][k, row, col].float().cpu().numpy().astype(np.float64)
    width = np.clip(share * gripper.max_opening + extra, 0, gripper.max_opening)
    angle = bin_to_angle(k, maps.angle.shape[1])
    free = deepest_free_depth(depth, camera, gripper, row, col, angle, width, margin=rules.margin)
    score = value.astype(np.float64)
    return PixelGrasps(row, col, free, angle, width, score)[np.nan_to_num(free, nan=-1.0) >= rules.min_depth]


def _smooth(quality: Tensor, sigma: float) -> Tensor:
    """Returns a (1, 1, H, W) map after a Gaussian of ``sigma`` pixels."""
    if sigma <= 0:
        return quality
    reach = int(np.ceil(3 * sigma))
    steps = torch.arange(-reach, reach + 1, device=quality.device, dtype=quality.dtype)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = F.pad(quality, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def _peaks(score: Tensor, radius: int, limit: int) -> tuple[Tensor, Tensor]:
    """Returns values and flat pixels of the best ``limit`` local maxima above 0, best first."""
    if radius:
        window = 2 * radius + 1
        rows = F.max_pool2d(score[None], (1, window), stride=1, padding=(0, radius))
        highest = F.max_pool2d(rows, (window, 1), stride=1, padding=(radius, 0))[0]
        score = torch.where(score == highest, score, torch.zeros_like(score))
    values, pixels = score.flatten().topk(min(limit, score.numel()))
    keep = values > 0
    return values[keep], pixels[keep]


class NetworkPolicy:
    """A trained (or untrained) network as a sim.benchmark.GraspPolicy."""

    def __init__(
        self,
        network: GraspNetwork,
        input_format: InputFormat,
        gripper: GripperGeometry,
        decoder: DecoderSettings | None = None,
        workspace: Workspace | NDArray[np.bool_] | None = None,
        device: str | torch.device = "cpu",
        name: str = "network",
    ) -> None:
        """Puts a network behind the decoder.

        Args:
            network: Its own training mode is kept; it runs in evaluation mode.
            input_format: What it is fed.
            gripper: The gripper that its labels were made for.
            decoder: How maps become grasps.
            workspace: Where grasps may lie: a box, an (H, W) bool mask, or None for anywhere.
            device: Where it runs.
            name: What tables call it.
        """
        self.network = network.to(device)
        self.input_format, self.gripper = input_format, gripper
        self.decoder, self.workspace = decoder or DecoderSettings(), workspace
        self.device, self.name = torch.device(device), name

    @classmethod
    def from_module(
        cls,
        module: GraspModule,
        decoder: DecoderSettings | None = None,
        workspace: Workspace | NDArray[np.bool_] | None = None,
        device: str | torch.device | None = None,
        name: str = "network",
    ) -> NetworkPolicy:
        """Returns the policy of a module as it is now; ``device`` None stays where the module is."""
        place = module.device if device is None else device
        return cls(module.network, module.input_format, module.gripper, decoder, workspace, place, name)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        gripper: GripperGeometry | None = None,
        device: str | torch.device = "cpu",
        decoder: DecoderSettings | None = None,
        workspace: Workspace | NDArray[np.bool_] | None = None,
        name: str = "network",
        untrained: bool = False,
        seed: int = 0,
    ) -> NetworkPolicy:
        """Returns the policy of a checkpoint.

        Args:
            path: The checkpoint.
            gripper: The gripper that will be used; None takes the checkpoint's.
            device: Where the network runs.
            decoder: How maps become grasps.
            workspace: Where grasps may lie.
            name: What tables call it.
            untrained: Keep the network's random start instead of its weights: a control that goes
                through the same decoder.
            seed: Of that random start.

        Raises:
            InputError: The checkpoint is missing, broken, or made for another gripper.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = load_module(path, weights=not untrained)
        if gripper is not None:
            for f in fields(GripperGeometry):
                own, asked = getattr(module.gripper, f.name), getattr(gripper, f.name)
                if abs(own - asked) > 1e-6:
                    raise InputError(
                        f"checkpoint '{path}' was trained for another gripper: its {f.name} is {own} m, "
                        f"yours {asked} m; train on labels for your gripper"
                    )
        return cls.from_module(module, decoder, workspace, device, name)

    @torch.inference_mode()
    def predict(self, rgb: NDArray[np.uint8] | None, depth: NDArray[np.floating]) -> GraspMaps:
        """Returns the probability maps of one image of any size.

        Args:
            rgb: (H, W, 3) uint8, or None for a depth network.
            depth: (H, W) floating, metres, 0 = missing.

        Returns:
            float32 maps (1, 1, H, W), (1, K, H, W), (1, K, H, W) in [0, 1] on the policy's device.
        """
        check_depth_image(depth)
        height, width = depth.shape
        array = self.input_format(rgb, np.asarray(depth, np.float32))
        image = torch.from_numpy(array)[None].to(self.device)
        stride = self.network.stride
        # Below and to the right, 0: as missing pixels are.
        image = F.pad(image, (0, -width % stride, 0, -height % stride))
        training = self.network.training
        self.network.eval()
        logits = self.network(image.contiguous(memory_format=torch.channels_last))
        self.network.train(training)
        return GraspMaps(*(torch.sigmoid(m.float())[..., :height, :width] for m in logits))

    def pixel_grasps(self, observation: Observation, count: int) -> PixelGrasps:
        """Returns up to ``count`` grasps in the image, best first."""
        maps = self.predict(observation.rgb, observation.depth)
        allowed = self.workspace
        if isinstance(allowed, Workspace):
            allowed = allowed.mask(observation.depth, observation.camera)
        elif allowed is not None and allowed.shape != observation.depth.shape:
            raise InputError(f"workspace mask is {allowed.shape}, the image {observation.depth.shape}")
        return decode(maps, observation.depth, observation.camera, self.gripper, count, self.decoder, allowed)

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first."""
        grasps = self.pixel_grasps(observation, count)
        return grasps.to_poses(observation.depth, observation.camera)
