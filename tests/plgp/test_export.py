"""Exported networks against torch: parity, free sizes, metadata that suffice, errors."""

import json
import sys

import numpy as np
import pytest
import torch

from plgp.data.input_format import InputFormat
from plgp.export import TOLERANCE, export_onnx, largest_difference, main, read_metadata
from plgp.module import GraspModule
from plgp.policy import NetworkPolicy
from sim.errors import InputError
from sim.gripper import GripperGeometry

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra plgp[onnx]")
pytest.importorskip("onnx", reason="needs the extra plgp[onnx]")

LITE0 = {"encoder": "timm-tf_efficientnet_lite0", "colours": "lite"}
NETWORKS = {
    "GGCNN2": {},
    "GRCNN": {},
    "SMPNetwork": LITE0,
    "STDC": {},
    "UNet": {},
    "SegNet": {},
    "DeepLabV3Plus": {},
    "DANet": {},
    "AFFGANet": {},
}
QUICK = ("GGCNN2",)


def make(name="GGCNN2", modality="depth", **options):
    """A module whose batch norms have seen something, so that no map is constant."""
    torch.manual_seed(0)
    network = {"_target_": f"plgp.networks.{name}", **options}
    module = GraspModule(network, GripperGeometry(max_opening=0.08), modality=modality, depth_scale=10.0, window=96)
    module.network.train()
    with torch.no_grad():
        for _ in range(3):
            module.network(torch.randn(2, module.network.channels, 64, 64))
    return module.eval()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in NETWORKS])
def test_parity_at_other_batches_and_sizes(name, tmp_path):
    module = make(name, "rgbd", **NETWORKS[name])
    path = tmp_path / "model.onnx"
    export_onnx(module, path)
    assert not module.network.training
    with torch.no_grad():
        spread = torch.sigmoid(module(torch.randn(1, 4, 64, 64)).quality).std().item()
    for shape in ((1, 96, 64), (3, 64, 128)):
        # Untrained maps hardly vary: a graph that forgot the image must not pass either.
        assert largest_difference(module, path, shape) < min(TOLERANCE, 0.05 * spread)


def prepared(path, rgb, depth):
    """What a stranger does who has only the file: its metadata, numpy and onnxruntime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    about = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    side, channels = about["window"], []
    top, left = ((n - side) // 2 for n in depth.shape)
    window = slice(top, top + side), slice(left, left + side)
    if about["rgb"]:
        colours = rgb.astype(np.float64) / 255
        mean = colours[window].mean() if about["rgb"]["mean"] is None else about["rgb"]["mean"]
        channels += list(((colours - mean) / about["rgb"]["deviation"]).transpose(2, 0, 1))
    if about["depth"]:
        seen = depth > 0
        shifted = (depth - depth[window][seen[window]].mean()) * about["depth"]["scale"]
        channels.append(np.where(seen, shifted, about["depth"]["missing"]))
    pad = [(0, 0), *((0, -n % about["stride"]) for n in depth.shape)]
    image = np.pad(np.stack(channels), pad)[None].astype(np.float32)
    maps = session.run(["quality", "angle", "width"], {"image": image})
    return [m[..., : depth.shape[0], : depth.shape[1]] for m in maps], about


@pytest.mark.parametrize(("modality", "colours"), [("depth", "centred"), ("rgb", "lite"), ("rgbd", "centred")])
def test_metadata_suffice_for_a_stranger(modality, colours, tmp_path):
    options = {"encoder": "resnet18", "colours": colours}
    module = make("SMPNetwork", modality, **options) if modality == "rgb" else make("GGCNN2", modality)
    path = tmp_path / "model.onnx"
    export_onnx(module, path)
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (101, 123, 3), dtype=np.uint8)
    depth = rng.uniform(0.5, 0.7, (101, 123)).astype(np.float32)
    depth[40:50, 40:50] = 0
    theirs, about = prepared(path, rgb, depth)
    ours = NetworkPolicy.from_module(module).predict(rgb, depth)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b, atol=TOLERANCE)
    assert about["bins"] == 18
    assert about["max_opening"] == about["gripper"]["max_opening"] == 0.08
    assert about["network"]["_target_"] == module.hparams["network"]["_target_"]
    assert read_metadata(path) == about


def test_a_difference_would_be_seen(tmp_path):
    module = make()
    export_onnx(module, tmp_path / "model.onnx")
    with torch.no_grad():
        module.network.heads.bias += 0.01
    assert largest_difference(module, tmp_path / "model.onnx", (1, 64, 64)) > TOLERANCE


def test_training_mode_is_kept_and_not_exported(tmp_path):
    module = make("GRCNN")
    export_onnx(module, tmp_path / "eval.onnx")
    module.train()
    export_onnx(module, tmp_path / "train.onnx")
    assert module.network.training
    assert (tmp_path / "train.onnx").read_bytes() == (tmp_path / "eval.onnx").read_bytes()


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
    main()


def test_command(tmp_path, monkeypatch, capsys):
    module, checkpoint, out = make(), tmp_path / "best.ckpt", tmp_path / "model.onnx"
    torch.save({"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}, checkpoint)
    run(monkeypatch, f"checkpoint={checkpoint}", f"out={out}")
    said = capsys.readouterr().out
    assert "depth, 18 bins" in said
    assert "differ by at most" in said
    assert largest_difference(module, out, (2, 64, 64)) < TOLERANCE
    run(monkeypatch, "--help")
    assert "checkpoint=FILE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=none.ckpt", "out=model.onnx"], "no checkpoint"),
        (["checkpoint=none.ckpt"], "out= is missing"),
        (["checkpoint=none.ckpt", "oot=model.onnx"], "does not know 'oot=model.onnx'"),
    ],
)
def test_command_says_what_is_wrong(arguments, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as raised:
        run(monkeypatch, *arguments)
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


def test_bad_files_and_missing_packages_are_clear(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        export_onnx(make(), tmp_path / "model.pt")
    with pytest.raises(InputError, match="no file"):
        read_metadata(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(InputError, match="not an ONNX file"):
        read_metadata(tmp_path / "broken.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'plgp\[onnx\]'"):
        export_onnx(make(), tmp_path / "model.onnx")


def test_unknown_colours_are_clear():
    with pytest.raises(InputError, match="unknown colours 'bright'"):
        InputFormat(colours="bright")
