"""What several configurations have in common, kept once: an ablation's runs differ in a few settings of hundreds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def common_part(configs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the settings that are the same in all configurations, nested ones too.

    Args:
        configs: Nested dicts of what JSON can hold, none or more.
    """
    if not configs:
        return {}
    first, *others = configs
    shared: dict[str, Any] = {}
    for key, value in first.items():
        if not all(key in other for other in others):
            continue
        values = [value, *(other[key] for other in others)]
        if all(_same(value, other) for other in values):
            shared[key] = value
        elif all(isinstance(v, dict) for v in values) and (part := common_part(values)):
            shared[key] = part
    return shared


def own_part(config: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Returns what a configuration has beside the shared settings, so that ``joined`` gives it back.

    Args:
        config: One of the configurations that ``common_part`` has seen.
        shared: What ``common_part`` returned.
    """
    own: dict[str, Any] = {}
    for key, value in config.items():
        if key not in shared:
            own[key] = value
        elif not _same(value, shared[key]):
            own[key] = own_part(value, shared[key])
    return own


def joined(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Returns the whole configuration: the shared settings and its own, nested ones joined alike."""
    whole = dict(shared)
    for key, value in own.items():
        whole[key] = joined(shared[key], value) if key in shared else value
    return whole


def _same(one: object, other: object) -> bool:
    """Returns whether two values are written alike: 1, 1.0 and true are three."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
