"""GQ-CNN and FC-GQ-CNN as grasp policies."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from plgp.methods.dexnet.cross_entropy import CrossEntropySettings, improve
from plgp.methods.dexnet.grasps import CentreGrasps, DexNetSettings
from plgp.methods.dexnet.image import TRAINED_TABLE, DexNetImage, aligned_crops, see
from plgp.methods.dexnet.network import CROP, FCGQCNN, GQCNN, STRIDE
from plgp.methods.dexnet.sampling import SamplingSettings, sample_antipodal
from plgp.methods.dexnet.weights import load_fc_gqcnn, load_gqcnn
from plgp.policy.candidates import window_of
from plgp.policy.device import device_of
from sim.errors import COUNT, POSITIVE, WHOLE, check_numbers
from sim.grasp import GraspPoses
from sim.view import Observation

_BEYOND = 0.3  # metres of depth behind a leaning camera's table in which things may stand
_AT_ONCE = 32  # crops whose activations a processor's cache holds: 128 take 1.8 times as long a crop


@dataclass(frozen=True, kw_only=True)
class GQCNNPolicy(DexNetSettings):
    """GQ-CNN behind antipodal sampling and the cross-entropy method, as a ``sim.benchmark.GraspPolicy``.

    Where the published policy takes the best grasp of its last round, this one ranks every grasp that it has rated: the
    benchmark asks for 50. The same image gives the same grasps.

    Attributes:
        weights_file: The authors' folder (``GQCNN-4.0-PJ``), a ``.npz`` of the same arrays, or a checkpoint of a
            training here.
        table: Camera's z of the table in the training, metres: the image is shifted so that the table lies there.
        sampling: How the seeds are found.
        cross_entropy: How they are improved.
        seed: Seed of all draws.
        device: Device that the network runs on.
        name: Name of the policy in tables.
    """

    weights_file: str | Path
    table: float = TRAINED_TABLE
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    cross_entropy: CrossEntropySettings = field(default_factory=CrossEntropySettings)
    seed: int = 0
    device: str = "cpu"
    name: str = "gqcnn"
    network: GQCNN = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Checks ranges and loads the network; raises InputError."""
        self.check("policies.gqcnn")
        check_numbers("policies.gqcnn", self, {"table": POSITIVE, "seed": WHOLE})
        object.__setattr__(self, "device", str(device_of(self.device)))
        object.__setattr__(self, "network", load_gqcnn(self.weights_file).to(self.device))

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first."""
        seen = see(observation, self.workspace, min_height=self.min_height)
        if seen is None:
            return GraspPoses.empty()
        rng = np.random.default_rng([self.seed, zlib.crc32(observation.depth.tobytes())])
        seeds = sample_antipodal(seen, self.sampling, rng)
        rated = improve(seeds, seen, lambda g: self.rate(g, seen), settings=self.cross_entropy, rng=rng)
        return self.answer(rated, seen, count)

    @torch.inference_mode()
    def rate(self, grasps: CentreGrasps, seen: DexNetImage) -> CentreGrasps:
        """Returns the grasps with the network's probabilities of success.

        Grasps that differ in depth alone share a crop: three of a seed do.
        """
        shift = self.table - seen.floor
        places, same = np.unique(np.column_stack([grasps.row, grasps.col, grasps.angle]), axis=0, return_inverse=True)
        crops = aligned_crops(seen.depth, places[:, :2], places[:, 2]) + np.float32(shift)
        depth = torch.from_numpy((grasps.depth + shift).astype(np.float32)).to(self.device)
        shown = torch.from_numpy(crops).to(self.device)
        image = torch.cat([self.network.look(part) for part in torch.split(shown, _AT_ONCE)])
        logits = self.network.judge(image[torch.from_numpy(same.reshape(-1)).to(self.device)], depth)
        return replace(grasps, quality=logits.softmax(dim=1)[:, 1].double().cpu().numpy())


@dataclass(frozen=True, kw_only=True)
class FCGQCNNPolicy(DexNetSettings):
    """FC-GQ-CNN over the tray, at several depths, as a ``sim.benchmark.GraspPolicy``; the published one, sorted.

    Attributes:
        weights_file: The authors' folder (``FC-GQCNN-4.0-PJ``), a ``.npz`` of the same arrays, or a checkpoint of a
            training here.
        planes: Number of depths between the highest point and the table; see ``rate``.
        pool: Number of the best answers from which grasps are chosen.
        device: Device that the network runs on.
        name: Name of the policy in tables.
    """

    weights_file: str | Path
    planes: int = 16
    pool: int = 4000
    device: str = "cpu"
    name: str = "fc_gqcnn"
    network: FCGQCNN = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Checks ranges and loads the network; raises InputError."""
        self.check("policies.fc_gqcnn")
        check_numbers("policies.fc_gqcnn", self, dict.fromkeys(("planes", "pool"), COUNT))
        object.__setattr__(self, "device", str(device_of(self.device)))
        object.__setattr__(self, "network", load_fc_gqcnn(self.weights_file).to(self.device))

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first."""
        seen = see(observation, self.workspace, min_height=self.min_height)
        return GraspPoses.empty() if seen is None else self.answer(self.rate(seen), seen, count)

    @torch.inference_mode()
    def rate(self, seen: DexNetImage) -> CentreGrasps:
        """Returns the best grasps of all places, angles and depths, best first; at most ``pool``.

        Planes are the middles of equal steps from the nearest point of the mask to the table. Where a leaning camera
        sees the mask farther away than its table, they end at the farthest point, 0.3 m beyond the table at most: what
        lies behind is the background.
        """
        rows, cols = window_of(seen.allowed)
        first = np.array([rows.start, cols.start])
        size = [-(-(part.stop - part.start) // STRIDE) * STRIDE for part in (rows, cols)]
        half = CROP // 2
        padded = cv2.copyMakeBorder(seen.depth, *(half, half + STRIDE) * 2, cv2.BORDER_REPLICATE)
        image = padded[first[0] : first[0] + size[0] + CROP, first[1] : first[1] + size[1] + CROP]
        nearest, farthest = float(seen.depth[seen.allowed].min()), float(seen.depth[seen.allowed].max())
        end = max(seen.floor, min(farthest, seen.floor + _BEYOND))
        depths = nearest + (np.arange(self.planes) + 0.5) * (end - nearest) / self.planes
        shown = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
        planes = torch.from_numpy(depths.astype(np.float32)).to(self.device)
        quality = torch.cat([self.network(shown, plane[None]) for plane in planes]).cpu().numpy()
        mask = np.pad(seen.allowed, ((0, 2 * STRIDE), (0, 2 * STRIDE)))
        places = [at + STRIDE * np.arange(n) for at, n in zip(first, quality.shape[1:3], strict=True)]
        quality[:, ~mask[np.ix_(*places)]] = 0
        best = _greatest(quality, self.pool)
        plane, i, j, k = np.unravel_index(best, quality.shape)
        angle = ((k + 0.5) * np.pi / quality.shape[3] - np.pi / 2) % np.pi
        row, col = (at[index].astype(np.float64) for at, index in zip(places, (i, j), strict=True))
        return CentreGrasps(row, col, angle, depths[plane], quality.ravel()[best].astype(np.float64))


def _greatest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Returns the flat indices of the greatest positive values, greatest first; the lowest index among equals."""
    flat = values.ravel()
    chosen = np.argpartition(-flat, min(count, flat.size) - 1)[:count]
    chosen = np.sort(chosen[flat[chosen] > 0])
    return chosen[np.argsort(-flat[chosen], kind="stable")]
