"""A policy for one job alone: a copy of its own, whose random numbers are a function of the scene and the attempt.

So rows do not depend on the number of workers, on the order of the scenes, or on what the policy did before.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import sys
import types
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sim.benchmark.protocol import GraspPolicy

_PLAIN = (str, int, float, np.ndarray, type, types.ModuleType, types.FunctionType)  # hold none of its own


def copy_policy(policy: GraspPolicy) -> GraspPolicy:
    """Returns a copy of a policy; the policy itself where it cannot be copied (it holds a session or a file)."""
    try:
        return copy.deepcopy(policy)
    except Exception:  # anyone's code runs here, and a policy may refuse in any way
        return policy


@contextlib.contextmanager
def seeded(policy: GraspPolicy, start: Mapping[int, Any], seed: Sequence[int]) -> Iterator[None]:
    """Seeds a policy's own generators, and for the block those of NumPy, Python and PyTorch that all share.

    Args:
        policy: The policy. Its attributes of the types ``numpy.random.Generator``, ``RandomState`` and
            ``random.Random`` are seeded, however deep they lie in attributes, lists and dictionaries.
        start: States of these generators at the start, from ``generator_states``: the policy's own seed counts.
        seed: Numbers that tell one question from the others.
    """
    for number, generator in enumerate(_generators(policy)):
        entropy = [*seed, zlib.crc32(json.dumps(start.get(number), default=str).encode()), number]
        _seed(generator, entropy)
    shared = int(np.random.SeedSequence([*seed]).generate_state(1)[0])
    kept = np.random.get_state(), random.getstate()  # noqa: NPY002 - what policies in the wild draw from
    torch = sys.modules.get("torch")
    kept_torch = torch.get_rng_state() if torch is not None else None
    np.random.seed(shared)  # noqa: NPY002
    random.seed(shared)
    if torch is not None:
        torch.default_generator.manual_seed(shared)
    try:
        yield
    finally:
        np.random.set_state(kept[0])  # noqa: NPY002
        random.setstate(kept[1])
        if torch is not None:
            torch.set_rng_state(kept_torch)


def generator_states(policy: GraspPolicy) -> dict[int, Any]:
    """Returns the state of each of a policy's own generators, by its place among them."""
    return {number: _state(generator) for number, generator in enumerate(_generators(policy))}


def _generators(policy: Any) -> Iterator[Any]:
    """Yields the generators within a policy, each once, in one order."""
    seen, waiting = set[int](), [policy]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, _PLAIN):
            continue
        seen.add(id(value))
        if isinstance(value, (np.random.Generator, np.random.RandomState, random.Random)):
            yield value
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
        else:  # of a network only what is its own: its parts draw from PyTorch's
            own = getattr(value, "__dict__", {})
            network = hasattr(value, "state_dict")
            waiting.extend(v for name, v in own.items() if not (network and name.startswith("_")))


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return str(generator.get_state() if isinstance(generator, np.random.RandomState) else generator.getstate())


def _seed(generator: Any, entropy: list[int]) -> None:
    """Gives a generator the state that these numbers alone decide."""
    sequence = np.random.SeedSequence(entropy)
    if isinstance(generator, np.random.Generator):
        kind: Any = type(generator.bit_generator)
        generator.bit_generator.state = kind(sequence).state
    elif isinstance(generator, np.random.RandomState):
        generator.seed(sequence.generate_state(8))
    else:
        generator.seed(int(sequence.generate_state(1, np.uint64)[0]))
