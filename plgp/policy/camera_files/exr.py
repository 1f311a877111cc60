"""Depth in OpenEXR files, as Blender and other renderers write it; read by the OpenEXR package, which is an extra."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

_INSTALL = "pip install OpenEXR, which reads it, or convert it to npy where that is installed"
_DEPTHS = ("z", "depth", "v", "y")  # names of the channel, without its layers; V and Y are single channels' own
# Channels beside which Z, V or Y, in one layer, is a part of a normal, a place or a colour.
_VECTORS: dict[str, tuple[set[str], ...]] = {"z": ({"x", "y"},), "v": ({"u"},), "y": ({"x"}, {"ry"})}
_NO_DEPTHS = re.compile(r"(?:.*[\W_])?(?:mist|normals?)")  # layers; Blender's mist is from 0 to 1, a Z too
_BACKGROUND = 6.5e4  # at and beyond it, in Blender's units: nothing was hit (65504 of a half, 1e10)


def read_exr(path: Path) -> NDArray[np.float32]:
    """Returns the depth channel of an OpenEXR file, (H, W) float32; 0 where the renderer hit nothing.

    Args:
        path: The file. Its channel is the only one, that of a layer called Depth, the one called Z, Depth, V or Y of
            any other layer that is no vector's (normals, places, UV), a Z without a layer whatever is beside it, or
            R, G and B that are the same.

    Raises:
        InputError: The OpenEXR package is not installed, the file is broken, or it has no channel of depth.
    """
    try:
        library: Any = import_module("OpenEXR")
    except ImportError as error:
        raise InputError(f"depth file '{path}' is OpenEXR; {_INSTALL}") from error
    try:
        with library.File(str(path), separate_channels=True) as file:
            channels = {str(name): np.array(channel.pixels) for name, channel in file.channels().items()}
    except Exception as error:  # whatever a broken file leads to
        raise InputError(f"depth file '{path}' cannot be read ({type(error).__name__}); write it again") from error
    image = _depth_channel(channels, path).astype(np.float32)
    image[~(np.abs(image) < _BACKGROUND)] = 0
    return image


def _depth_channel(channels: dict[str, NDArray[Any]], path: Path) -> NDArray[Any]:
    if len(channels) == 1:
        return next(iter(channels.values()))
    parts = {name: tuple(name.lower().rpartition(".")[::2]) for name in channels}  # layers, last
    alone: dict[str, tuple[str, str]] = {}
    for name, (layer, last) in parts.items():
        beside = {other for around, other in parts.values() if around == layer}
        if not any(others <= beside for others in _VECTORS.get(last, ())):
            alone[name] = layer.rpartition(".")[2], last
    ranks = [[name for name, (layer, last) in alone.items() if layer == "depth" and last in _DEPTHS]]
    for wanted in _DEPTHS:
        fitting = [name for name, (_, last) in alone.items() if last == wanted]
        ranks.append([name for name in fitting if not _NO_DEPTHS.fullmatch(alone[name][0])])
    ranks.insert(3, [name for name, part in parts.items() if part == ("", "z")])  # beside X and Y too: renderers' own
    found = next(filter(None, ranks), [])
    if len(found) > 1:
        raise InputError(f"depth file '{path}' has several channels of depth, {', '.join(found)}; write the one wanted")
    if found:
        return channels[found[0]]
    colours = [channels[name] for name, (_, last) in alone.items() if last in ("r", "g", "b")]
    if len(colours) == 3 and all(np.array_equal(colours[0], other) for other in colours[1:]):
        return colours[0]
    raise InputError(f"depth file '{path}' has the channels {', '.join(channels)}; write depth as one called Z")
