"""A trained network as one ONNX file that other programs run: ``python -m plgp.export``.

The file's graph:
- input ``image``: (batch, channels, height, width) float32, height and width multiples of the
  stride, normalised as the metadata say.
- outputs ``quality`` (batch, 1, height, width), ``angle`` and ``width`` (batch, bins, height, width),
  float32 in [0, 1]: probabilities, the sigmoid is in the graph.

A grasp at a pixel: k = argmax of ``angle`` there, score = quality * angle[k], turned by
k pi / bins counter-clockwise as the image is seen, opened by width[k] * max_opening metres.

The file's metadata (``session.get_modelmeta().custom_metadata_map`` in onnxruntime) are strings of
JSON, written and read by ``read_metadata``:

| key | value |
| --- | --- |
| ``format`` | version of this table: 1 |
| ``modality`` | "depth", "rgb" or "rgbd": channels depth; red, green, blue; or those four |
| ``bins`` | K |
| ``stride`` | height and width must be multiples of it; pad with 0 below and to the right |
| ``max_opening`` | L4, metres |
| ``depth`` | ``{"scale": s, "missing": 0}``: (depth in metres - mean over the valid pixels of the window) * s; missing pixels 0. null without depth |
| ``rgb`` | ``{"mean": [r, g, b], "deviation": [r, g, b]}``: (8-bit value / 255 - mean) / deviation; a mean of null is that of all three colours over the window. null without RGB |
| ``window`` | side of the centred square, pixels, over which means are taken |
| ``gripper`` | the labels' gripper, metres |
| ``network`` | ``_target_`` and arguments |
| ``trained_view`` | camera, noise, gripper and data set of the training: see ``plgp.policy.TrainedView`` |
"""  # noqa: E501  a table's rows cannot be folded

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from plgp.data.input_format import COLOURS, InputFormat
from plgp.module import GraspModule, load_module
from plgp.networks.base import GraspNetwork
from plgp.policy.installed import find_checkpoint
from sim.cli import run_command
from sim.errors import InputError

OPSET = 17
TOLERANCE = 1e-4  # of a probability: float32 sums in another order, through a hundred layers
OUTPUTS = ("quality", "angle", "width")
USAGE = """Writes a trained network as an ONNX file, with everything that another program must know in its metadata.

  python -m plgp.export checkpoint=best.ckpt out=model.onnx

  checkpoint=FILE  written by train.py, or an installed network: pretrained, ggcnn2_rgbd_any, ggcnn2_depth
  out=FILE         must end in .onnx; input image (batch, channels, height, width), outputs quality, angle,
                   width: probabilities. help(plgp.export) describes the metadata.

Needs onnx (pip install 'plgp[onnx]'). Where onnxruntime is installed, the file is run beside the network,
and a difference of more than 1e-4 is an error.
"""


class _Probabilities(nn.Module):
    """The graph that is exported: images to the three probability maps."""

    def __init__(self, network: GraspNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        bins = self.network.bins
        return torch.split(torch.sigmoid(self.network.features(image)), [1, bins, bins], dim=1)


def describe(module: GraspModule) -> dict[str, Any]:
    """Returns the metadata of a module's file; see the table above."""
    form = module.input_format
    return {
        "format": 1,
        "modality": form.modality,
        "bins": module.network.bins,
        "stride": module.network.stride,
        "max_opening": module.gripper.max_opening,
        "depth": None if form.modality == "rgb" else {"scale": form.depth_scale, "missing": 0},
        "rgb": None if form.modality == "depth" else _colours(form),
        "window": form.window,
        "gripper": asdict(module.gripper),
        "network": module.hparams["network"],
        "trained_view": None if module.trained_view is None else module.trained_view.to_dict(),
    }


def _colours(form: InputFormat) -> dict[str, Any]:
    if form.colours == "centred":
        return {"mean": None, "deviation": [1.0, 1.0, 1.0]}
    mean, deviation = COLOURS[form.colours]
    return {"mean": list(mean), "deviation": list(deviation)}


def export_onnx(module: GraspModule, path: str | Path) -> dict[str, Any]:
    """Writes a module's network with its metadata.

    Batch and image size stay free. The module itself is left as it is.

    Args:
        module: The module; its weights are written as they are now, float32.
        path: The file, replaced if it exists.

    Returns:
        The metadata.

    Raises:
        InputError: onnx is not installed, or ``path`` cannot be written there.
    """
    path = Path(path)
    if path.suffix != ".onnx" or not path.parent.is_dir():
        raise InputError(f"cannot export to '{path}'; give a file name that ends in .onnx in a folder that exists")
    try:
        import onnx
    except ImportError as error:
        raise InputError("export needs the package onnx; pip install 'plgp[onnx]'") from error
    network, metadata = module.network, describe(module)
    training, side = network.training, 2 * network.stride
    axes = {name: {0: "batch", 2: "height", 3: "width"} for name in ("image", *OUTPUTS)}
    try:
        with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # this exporter is marked old; its successor needs onnxscript
            torch.onnx.export(
                _Probabilities(network).eval(),
                (torch.zeros(2, network.channels, side, side + network.stride, device=module.device),),
                f"{folder}/bare.onnx",
                dynamo=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=list(OUTPUTS),
                dynamic_axes=axes,
            )
            model = onnx.load_model(f"{folder}/bare.onnx")
    finally:
        network.train(training)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return metadata


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Returns the metadata of an exported file.

    Raises:
        InputError: The file is missing or was not written by ``export_onnx``.
    """
    session = _session(path)
    found = session.get_modelmeta().custom_metadata_map
    if "format" not in found:
        raise InputError(f"'{path}' was not written by plgp.export: it has no metadata")
    return {key: json.loads(value) for key, value in found.items()}


def largest_difference(module: GraspModule, path: str | Path, shape: tuple[int, int, int], *, seed: int = 0) -> float:
    """Returns the largest difference of a probability between the file in onnxruntime and the module.

    Args:
        module: The module that was exported.
        path: The file.
        shape: Batch, height and width of the normally distributed noise that both are shown.
        seed: Seed of the noise.
    """
    noise = np.random.default_rng(seed).normal(size=(shape[0], module.network.channels, *shape[1:]))
    image = noise.astype(np.float32)
    theirs = _session(path).run(list(OUTPUTS), {"image": image})
    training = module.network.training
    module.network.eval()
    with torch.inference_mode():
        ours = module.network(torch.from_numpy(image).to(module.device))
    module.network.train(training)
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.abs(torch.sigmoid(a.float()).cpu().numpy() - b).max()) for a, b in pairs)


def _session(path: str | Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("reading an ONNX file needs the package onnxruntime; pip install 'plgp[onnx]'") from error
    if not Path(path).is_file():
        raise InputError(f"no file at '{path}'")
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base but this
        raise InputError(f"'{path}' is not an ONNX file that onnxruntime can run") from error


def export(*, checkpoint: str, out: Path) -> int:
    """Exports a checkpoint and runs the file beside it; the exit status is 1 where their maps differ."""
    module = load_module(find_checkpoint(checkpoint))
    metadata = export_onnx(module, out)
    size = out.stat().st_size / 1e6
    print(f"wrote {out}: {size:.1f} MB, {metadata['modality']}, {metadata['bins']} bins, opset {OPSET}")
    difference = _check(module, out)
    if difference is None:
        print("onnxruntime is not installed: the file was not run")
        return 0
    if difference > TOLERANCE:
        print(f"error: in onnxruntime its maps differ by up to {difference:.1e}; do not use it", file=sys.stderr)
        return 1
    print(f"in onnxruntime its maps differ by at most {difference:.1e}")
    return 0


def _check(module: GraspModule, path: Path) -> float | None:
    """Returns the largest difference on another batch and size than were traced; None without onnxruntime."""
    try:
        import onnxruntime as onnxruntime
    except ImportError:
        return None
    side = 4 * module.network.stride
    return largest_difference(module, path, (1, side, side))


def main() -> None:
    """Runs the command line."""
    run_command("python -m plgp.export", USAGE, export)


if __name__ == "__main__":
    main()
