"""Noise of several cameras: one of them is drawn for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.cli import conf_folder
from sim.depth_noise.model import Noise, noise_for_camera, noise_on_part
from sim.depth_noise.part import Part
from sim.errors import InputError

FloatImage = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class MixedNoise:
    """Draws one of several noises for each image, each as likely as the others.

    Attributes:
        noises: The noises by their names. The order of the names decides nothing.
    """

    noises: Mapping[str, Noise]

    def __post_init__(self) -> None:
        """Checks the noises; raises InputError."""
        if not isinstance(self.noises, Mapping) or not self.noises:
            raise InputError(f"depth_noise.noises is {self.noises!r}; give at least one noise by its name")
        for name, noise in self.noises.items():
            if not callable(noise):
                raise InputError(f"depth_noise.noises.{name} is {noise!r}; give a noise of conf/depth_noise")
        object.__setattr__(self, "noises", dict(sorted(self.noises.items())))

    def __call__(self, depth: FloatImage, rng: np.random.Generator) -> FloatImage:
        """Returns the image with the noise of one camera.

        Args:
            depth: (H, W) float32, metres, 0 = missing.
            rng: Source of all randomness, the choice of the camera included.

        Returns:
            (H, W) float32, metres, 0 = missing.

        Raises:
            InputError: The image holds NaN, negative depths or nothing.
        """
        chosen = list(self.noises.values())[int(rng.integers(len(self.noises)))]
        return chosen(depth, rng)

    def on_part(self, depth: FloatImage, rng: np.random.Generator, part: Part) -> FloatImage:
        """Returns a part of the image with the noise of one camera; see ``noise_on_part``."""
        chosen = list(self.noises.values())[int(rng.integers(len(self.noises)))]
        return noise_on_part(chosen, depth, rng, part=part)

    def with_focal(self, focal_px: float) -> MixedNoise:
        """Returns the noises for a camera of that focal length, pixels."""
        return MixedNoise(noises={name: noise_for_camera(noise, focal_px) for name, noise in self.noises.items()})


def mix_presets(names: str | Sequence[str]) -> Noise:
    """Returns the noise of one preset of ``conf/depth_noise``, or several mixed.

    Args:
        names: Name of a preset, ``d435`` for example, or several.

    Raises:
        InputError: No name is given, one is given twice, or there is no such preset.
    """
    chosen = [names] if isinstance(names, str) else list(names) if isinstance(names, Sequence) else []
    if not chosen or not all(isinstance(name, str) for name in chosen) or len(set(chosen)) != len(chosen):
        raise InputError(
            f"data.depth_noise is {names!r}; give a preset, mixed for example, or several, each once: [d435,phoxi]"
        )
    noises = {name: load_preset(name) for name in chosen}
    return next(iter(noises.values())) if len(noises) == 1 else MixedNoise(noises=noises)


def load_preset(name: str) -> Noise:
    """Returns a preset of ``conf/depth_noise`` by its name.

    Args:
        name: ``d435`` for example.

    Raises:
        InputError: There is no such preset.
    """
    from hydra.utils import instantiate
    from omegaconf import DictConfig, OmegaConf

    folder = conf_folder() / "depth_noise"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise InputError(f"unknown depth_noise '{name}'; choose one of {', '.join(known)}")
    content = OmegaConf.load(folder / f"{name}.yaml")
    if not isinstance(content, DictConfig):
        raise InputError(f"{folder / name}.yaml holds no settings; give a _target_ and its numbers")
    parts = {part.split("@")[0]: load_preset(part.split("@")[0]) for part in content.get("defaults", [])}
    if parts:
        return MixedNoise(noises=parts)
    noise: Noise = instantiate(content)
    return noise
