"""Dex-Net's weights: the folders that its authors publish, the same numbers in one ``.npz``, trainings of our own."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from plgp.methods.dexnet.network import FCGQCNN, GQCNN
from plgp.methods.dexnet.tensorflow_checkpoint import read_checkpoint
from sim.errors import InputError
from sim.files import check_archive

Network = TypeVar("Network", bound=nn.Module)
Arrays = dict[str, NDArray[Any]]

GQCNN_CONSTANTS = ("im_mean", "im_std", "pose_mean", "pose_std")
FCGQCNN_CONSTANTS = ("im_depth_sub_mean", "im_depth_sub_std")
_REACH, _FILTERS = 17, 16  # of the map that the first fully connected layer reads


def load_gqcnn(weights_file: str | Path) -> GQCNN:
    """Returns GQ-CNN 4.0 for a parallel jaw in evaluation mode.

    Args:
        weights_file: The authors' folder (``GQCNN-4.0-PJ``), a ``.npz`` of the same arrays, or a checkpoint of
            ``python train.py experiment=gqcnn``.

    Raises:
        InputError: There are no such weights, they are broken, or they are those of another network.
    """
    arrays = _read(Path(weights_file).expanduser(), GQCNN_CONSTANTS)
    if "fc4.bias" in arrays:
        arrays["fc4_input_1.bias"] = arrays.pop("fc4.bias")
    return _fill(GQCNN(), arrays, "policy=gqcnn needs GQ-CNN", weights_file=weights_file)


def load_fc_gqcnn(weights_file: str | Path) -> FCGQCNN:
    """Returns FC-GQ-CNN 4.0 for a parallel jaw in evaluation mode, with as many angles as the weights have.

    Args:
        weights_file: The authors' folder (``FC-GQCNN-4.0-PJ``), a ``.npz`` of the same arrays, or a checkpoint of
            ``python train.py experiment=fc_gqcnn``.

    Raises:
        InputError: There are no such weights, they are broken, or they are those of another network.
    """
    arrays = _read(Path(weights_file).expanduser(), FCGQCNN_CONSTANTS)
    for name in ("fc4.weight", "fc5.weight"):
        if name in arrays and arrays[name].ndim == 2:
            arrays[name] = arrays[name][:, :, None, None]
    bins = max(1, len(np.atleast_1d(arrays.get("fc5.bias", ()))) // 2)
    return _fill(FCGQCNN(bins), arrays, "policy=fc_gqcnn needs FC-GQ-CNN", weights_file=weights_file)


def _fill(network: Network, arrays: Arrays, need: str, *, weights_file: str | Path) -> Network:
    """Returns the network with its weights, in evaluation mode; raises InputError where they do not fit."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: array.shape for name, array in arrays.items()}
    missing = sorted(name for name in shapes if name not in found)
    if missing and found == {name: shape for name, shape in shapes.items() if name in found} and "fc5.bias" in found:
        raise InputError(f"{weights_file} lacks {', '.join(missing)}; give the whole folder that the authors publish")
    if found != shapes:
        raise InputError(f"{need} 4.0 for a parallel jaw, and {weights_file} is {_what(arrays)}; give the other folder")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise InputError(f"{weights_file} holds NaN or infinite numbers; download the weights anew")
    if not all((array > 0).all() for name, array in arrays.items() if name.endswith("_std")):
        raise InputError(f"{weights_file} holds a standard deviation that is not positive; download the weights anew")
    network.load_state_dict({name: torch.tensor(array, dtype=torch.float32) for name, array in arrays.items()})
    return network.eval()


def _what(arrays: Arrays) -> str:
    """Returns what the weights seem to be."""
    dense, outputs = "fc4.weight" in arrays, arrays.get("fc5.bias", np.zeros(0)).size
    name = "FC-GQ-CNN" if dense else "GQ-CNN"
    if "fc4_input_1.weight" not in arrays and not dense:
        return "none of the two"
    if (dense and outputs == 2) or (not dense and arrays.get("pc1.weight", np.zeros((0, 1))).shape[1:] == (2,)):
        return f"{name} for a suction cup"
    first = arrays.get("conv1_1.weight", np.zeros((0, 0))).shape
    return f"{name} for a parallel jaw" if first[:2] == (16, 1) else f"{name} of another version"


def _read(path: Path, constants: Sequence[str]) -> Arrays:
    """Returns the parameters in torch's layout and those constants that are there; raises InputError."""
    if path.suffix == ".npz":
        return _read_arrays(path)
    if path.suffix == ".ckpt" and not path.with_name(f"{path.name}.index").is_file():  # TensorFlow's is a prefix
        return _read_training(path)
    prefix = _find_checkpoint(path)
    arrays: Arrays = {_own_name(name): _own_layout(name, value) for name, value in read_checkpoint(prefix).items()}
    arrays = {name: value for name, value in arrays.items() if "/" not in name}
    for name in constants:
        file = prefix.with_name(f"{name}.npy")
        if file.is_file():
            arrays[name] = _read_constant(file)
    return arrays


def _read_arrays(path: Path) -> Arrays:
    """Returns the arrays of a ``.npz``; raises InputError."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: np.asarray(stored[name], np.float64) for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no readable .npz of Dex-Net's weights; give the authors' folder") from error


def _read_training(path: Path) -> Arrays:
    """Returns the parameters of a checkpoint that ``plgp.methods.dexnet.training`` wrote; raises InputError."""
    if not path.is_file():
        raise InputError(f"no checkpoint at '{path}'; train one with experiment=gqcnn, or give the authors' folder")
    try:
        check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        named = {str(name): value for name, value in state.items() if str(name).startswith("network.")}
        return {name.removeprefix("network."): np.asarray(value, np.float64) for name, value in named.items()}
    except Exception as error:  # torch raises whatever the broken file makes it raise
        raise InputError(
            f"{path} is no checkpoint of GQ-CNN or FC-GQ-CNN; train one with experiment=gqcnn or fc_gqcnn"
        ) from error


def _read_constant(file: Path) -> NDArray[np.float64]:
    """Returns the only number of a ``.npy``, shape (); raises InputError."""
    try:
        return np.asarray(np.load(file, allow_pickle=False), np.float64).reshape(())
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{file} does not hold one number; download it anew") from error


def _find_checkpoint(path: Path) -> Path:
    """Returns the path of a checkpoint without its endings; raises InputError.

    Args:
        path: The folder, the index, or the path without endings.
    """
    if path.is_file() and path.suffix == ".index":
        return path.with_suffix("")
    if path.with_name(f"{path.name}.index").is_file():
        return path
    if path.suffix == ".zip":
        raise InputError(f"{path} is packed; unpack it, and give the folder that holds model.ckpt.index")
    if not path.is_dir():
        raise InputError(
            f"Dex-Net's weights {path} do not exist; give the folder that holds model.ckpt.index, or a .npz"
        )
    found = sorted(path.glob("*.index")) or sorted(path.glob("*/*.index"))
    named = [file for file in found if file.name == "model.ckpt.index"]
    if len(named) == 1 or len(found) == 1:
        return (named or found)[0].with_suffix("")
    many = f"{len(found)} checkpoints, none or several called model.ckpt" if found else "no TensorFlow checkpoint"
    raise InputError(f"{path} holds {many}; give the folder or the .index file of one network")


def _own_name(name: str) -> str:
    """Returns what a tensor of the checkpoint is called here; one of an optimizer keeps a slash."""
    match = re.fullmatch(r"(?:\w+_stream/)?(?:\w+/)?(\w+?)_(weights|bias)", name)
    return f"{match[1]}.{'weight' if match[2] == 'weights' else 'bias'}" if match else f"{name}/"


def _own_layout(name: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns a tensor in torch's layout: convolutions (out, in, h, w), fully connected ones (out, in)."""
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    if value.ndim != 2:
        return value
    if "fc3" in name and value.shape[0] == _REACH * _REACH * _FILTERS:
        return value.reshape(_REACH, _REACH, _FILTERS, -1).transpose(3, 2, 0, 1)
    return value.T
