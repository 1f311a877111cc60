"""What was trained, told apart from where, how fast and under which name: which trainings are seeds of one another."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Names, places, what is measured afterwards, and where a run was gone on with: its settings say what it has become.
_APART: tuple[str, ...] = ("seed", "output", "name", "group", "tags", "notes", "logger", "hydra", "workers", "resume")
_APART += ("checkpoint", "objective", "final_benchmark", "evaluation")
# Parts of which module, data, callbacks and decoder are made: they count where those hold them.
_APART += ("objects", "scene", "camera", "gripper", "labeler", "depth_noise", "appearance", "recipe", "dataset")
_APART += ("world", "benchmark", "network", "loss", "optimizer", "scheduler", "modality", "depth_scale", "crop", "bins")
_INSIDE = {  # of these parts what says where and how fast
    "data": ("seed", "workers", "generate_workers", "examples_folder"),
    "trainer": (
        *("accelerator", "devices", "num_nodes", "strategy", "plugins", "benchmark", "deterministic", "profiler"),
        *("logger", "log_every_n_steps", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"),
        *("default_root_dir", "num_sanity_val_steps", "use_distributed_sampler", "detect_anomaly", "inference_mode"),
    ),
}
_WATCHING: tuple[str, ...] = (
    "PictureCallback",
    "EpochReport",
    "LearningRateMonitor",
    "DeviceStatsMonitor",
    "ThroughputMonitor",
)
_WATCHING += ("ModelSummary", "RichModelSummary", "RunProgress", "RichProgressBar", "TQDMProgressBar")
_FILES: tuple[str, ...] = (
    "dirpath",
    "filename",
    "verbose",
    "enable_version_counter",
    "save_last",
    "save_on_exception",
    "folder",
)
_FILES += ("pictures", "workers", "auto_insert_metric_name", "save_weights_only")
# Parts that former configurations lack, as they are at their defaults.
_FORMERLY_UNSAID: dict[str, dict[str, Any]] = {
    "decoder": {"_target_": "plgp.policy.DecoderSettings"},
    "workspace": {
        "_target_": "plgp.policy.workspace.tray_workspace",
        "tray": {"_target_": "sim.physics.TraySettings"},
    },
}
_KNOWN = ("plgp.", "sim.", "labeler.", "lightning.", "torch.")  # targets whose defaults are looked up
_NETWORK_POLICY = "plgp.policy.NetworkPolicy.from_checkpoint"


def what_was_trained(config: DictConfig, *, ablated: bool = False) -> dict[str, Any]:
    """Returns what two trainings must share to be seeds of one another, as plain values.

    What is at its default is left out: runs that were trained before a setting was there are seeds of those with it.

    Args:
        config: A run's configuration.
        ablated: Whether to leave out what Table III varies: the enhancement and the two losses of one map that it has.
    """
    whole: Any = OmegaConf.to_container(config)
    parts = {key: value for key, value in whole.items() if key not in _APART}
    for name, left_out in _INSIDE.items():
        parts[name] = {k: v for k, v in (parts.get(name) or {}).items() if k not in left_out}
    parts["callbacks"] = _callbacks(parts.get("callbacks") or {})
    module = dict(parts.get("module") or {})
    loss = dict(module.get("loss") or {})
    element = loss.pop("element", None)
    if not (ablated and is_paper_loss(element)):
        loss["element"] = element
    if ablated:
        parts["data"].pop("enhance", None)
    policy = ((whole.get("final_benchmark") or {}).get("policies") or {}).get("network") or {}
    parts |= {"module": module | {"loss": loss}, "start": start_of(config), "policy": _policy(policy, parts)}
    parts["processes"] = _processes(whole.get("trainer") or {})
    found: dict[str, Any] = _said(parts)
    return {key: value for key, value in found.items() if value != _FORMERLY_UNSAID.get(key)}


def is_paper_loss(element: Mapping[str, Any] | None) -> bool:
    """Returns whether the loss of one map is one of Table III's two: eq. (15) as it is by default, cross-entropy."""
    if not element:
        return True
    name, rest = _class(element), {k: v for k, v in _said(element).items() if k != "_target_"}
    return name == "BinaryCrossEntropyLoss" or (name == "BinaryFocalLoss" and not rest)


def loss_text(loss: Mapping[str, Any] | None) -> str:
    """Returns what a loss is called, "" of the paper's with the binary focal loss as it is by default."""
    chosen = loss or {}
    element = chosen.get("element")
    if chosen and _class(chosen) != "GraspLoss":
        return f"loss {_class(chosen)}"
    if not element or (_class(element) == "BinaryFocalLoss" and is_paper_loss(element)):
        return ""
    name = _class(element)
    if name == "BinaryFocalLoss":
        changed = ", ".join(f"{key} {value}" for key, value in _said(element).items() if key != "_target_")
        return f"focal loss with {changed}"
    return {"BinaryCrossEntropyLoss": "no focal loss", "MeanSquareErrorLoss": "mean square error"}.get(
        name, f"loss of a map {name}"
    )


def start_of(config: DictConfig) -> str | None:
    """Returns the weights that a training began with, in words; None of one that began anew."""
    return None if config.get("start_from") is None else f"from {config.start_from}"


def resumed_from(config: DictConfig) -> str | None:
    """Returns the run of another folder that a training went on from, in words; it tells no trainings apart."""
    resume = config.get("resume")
    if resume is None or str(resume) == "auto":
        return None
    start = Path(str(resume))
    folder = start.parent.parent if start.suffix == ".ckpt" else start
    own = Path(str(config.get("output", ""))).parts
    return None if folder.parts and own[-len(folder.parts) :] == folder.parts else f"resumed from {resume}"


def _processes(trainer: Mapping[str, Any]) -> int | None:
    """Returns how many processes a training had, each with batches of its own; None of one, or where it is unknown."""
    devices, nodes = trainer.get("devices"), trainer.get("num_nodes") or 1
    if isinstance(devices, str):  # "2", "0,1", "auto"
        indices = [index for index in devices.split(",") if index.strip()]
        devices = int(devices) if devices.strip().isdecimal() else indices if len(indices) > 1 else None
    number = len(devices) if isinstance(devices, list) else devices
    if not isinstance(number, int) or number < 1 or not isinstance(nodes, int):
        return None
    return number * nodes if number * nodes > 1 else None


def _callbacks(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the callbacks that a training's outcome depends on; what has no ``_target_`` is none."""
    kept: dict[str, dict[str, Any]] = {}
    for name, callback in chosen.items():
        if not isinstance(callback, Mapping) or "_target_" not in callback or _class(callback) in _WATCHING:
            continue
        if _class(callback) == "ModelCheckpoint" and callback.get("monitor") is None:
            continue
        kept[name] = {key: value for key, value in callback.items() if key not in _FILES}
    monitors = [str(callback.get("monitor", "")) for callback in kept.values()]
    judged = any(monitor.startswith("benchmark/") for monitor in monitors)
    return {name: c for name, c in kept.items() if judged or _class(c) != "BenchmarkCallback"}


def _policy(policy: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns how the final benchmark has the network grasp, where it differs from the configuration's own."""
    left_out = ("device", "path", "gripper", *(k for k in ("decoder", "workspace") if policy.get(k) == parts.get(k)))
    own: dict[str, Any] = _said({key: value for key, value in policy.items() if key not in left_out})
    return None if own in ({}, {"_target_": _NETWORK_POLICY}) else own


def _class(chosen: Mapping[str, Any]) -> str:
    return str(chosen.get("_target_", "")).rpartition(".")[2]


def _said(value: Any) -> Any:
    """Returns plain values without what is at its default, or null where no default is known."""
    if isinstance(value, Mapping):
        defaults = _defaults(str(value.get("_target_", "")))
        kept = {str(key): _said(inner) for key, inner in value.items() if not _is_default(key, inner, defaults)}
        return {key: inner for key, inner in kept.items() if inner != {}}
    return [_said(inner) for inner in value] if isinstance(value, list | tuple) else value


def _is_default(key: Any, value: Any, defaults: Mapping[str, Any]) -> bool:
    if key not in defaults:
        return value is None
    default = defaults[key]
    if isinstance(default, int | float) and isinstance(value, int | float) and not isinstance(value, bool):
        return not isinstance(default, bool) and math.isclose(default, value, rel_tol=1e-6)
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and list(default) == list(value)
    return type(default) is type(value) and bool(default == value)


@cache
def _defaults(target: str) -> Mapping[str, Any]:
    """Returns the defaults of a target's settings, none of a target that is not there or of a stranger's package."""
    if not target.startswith(_KNOWN):
        return {}
    from hydra.utils import get_object

    try:
        parameters = inspect.signature(get_object(target)).parameters.values()
    except Exception:  # a class of another version, or one that says nothing of its settings
        return {}
    return {p.name: p.default for p in parameters if p.default is not p.empty}
