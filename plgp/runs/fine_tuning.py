"""A training that starts with a checkpoint's weights."""

from __future__ import annotations

from pathlib import Path

from plgp.module import GraspModule, load_module
from plgp.policy.installed import find_checkpoint
from plgp.runs.parts import network_differences, same_sizes
from sim.errors import InputError


def start_from(module: GraspModule, checkpoint: str | Path) -> None:
    """Gives a module the weights of a checkpoint, before its training: fine-tuning.

    Args:
        module: The module; its network changes.
        checkpoint: File of the checkpoint, or the name of an installed network.

    Raises:
        InputError: There is none, or it is of another network or input.
    """
    path = find_checkpoint(checkpoint)
    other = load_module(path)
    before, now = other.input_format, module.input_format
    known = {"modality": before.modality, "depth_scale": before.depth_scale, "bins": other.network.bins}
    wanted = {"modality": now.modality, "depth_scale": now.depth_scale, "bins": module.network.bins}
    known["network.colours"], wanted["network.colours"] = before.colours, now.colours
    known |= {"gripper.max_opening": other.gripper.max_opening}  # widths are shares of it
    wanted |= {"gripper.max_opening": module.gripper.max_opening}
    wrong = [f"{name} {known[name]}, this run {wanted[name]}" for name in known if known[name] != wanted[name]]
    theirs, ours = (network.state_dict() for network in (other.network, module.network))
    if type(other.network) is not type(module.network) or not same_sizes(theirs, ours):
        wrong += network_differences(other.hparams["network"], module.hparams["network"]) or ["weights of other sizes"]
    if wrong:
        raise InputError(
            f"start_from={checkpoint} has {'; '.join(wrong)}; give what it had (its weights mean nothing otherwise)"
        )
    module.network.load_state_dict(theirs)
