"""Content by which results are told apart: what counts, what does not, and the words for a difference."""

import dataclasses
import functools
import importlib
import itertools
import os
import subprocess
import sys
import threading
from importlib.metadata import PackageNotFoundError, packages_distributions

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.benchmark import BenchmarkSettings
from sim.benchmark.baselines import AntipodalPolicy, RandomPolicy
from sim.identity import code
from sim.identity.content import describe, differences, digest
from sim.identity.fresh_policy import generator_states, seeded

MODULE = """
import numpy as np
import helper

class Mine:
    name = "mine"

    def __init__(self, gain=1.0, table=None, file=None):
        self.gain, self.table, self.file = gain, table, file

    def __call__(self, observation, count):
        return helper.answer(self.gain)

def answer(observation, count):
    return None

double = lambda observation, count: 2
"""


@pytest.fixture
def mod(tmp_path, monkeypatch):
    """A user's module that imports another one of theirs, and how to change either."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(text=MODULE, helper="def answer(gain):\n    return gain\n"):
        (tmp_path / "mod.py").write_text(text)
        (tmp_path / "helper.py").write_text(helper)
        for name in ("mod", "helper"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("mod")

    yield load
    for name in ("mod", "helper"):
        sys.modules.pop(name, None)


def test_a_policy_counts_by_its_source_and_by_what_it_imports(mod):
    first = digest(mod().Mine())
    assert digest(mod().Mine()) == first
    assert digest(mod(MODULE + "\n\n# a remark\n").Mine()) == first
    assert digest(mod(MODULE.replace("answer(self.gain)", "answer(2 * self.gain)")).Mine()) != first
    assert digest(mod(helper="def answer(gain):\n    return -gain\n").Mine()) != first


def test_a_policy_counts_by_its_state(mod, tmp_path):
    kind = mod().Mine
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"one")
    several = [
        *(kind(gain) for gain in (1.0, 2.0, np.nextafter(1.0, 2))),
        *(kind(table=np.arange(n, dtype=t)) for n in (10, 1000) for t in (np.float32, np.float64)),
        kind(table={"a": [1, (2, 3)]}),
        kind(table={"a": [1, (2, 4)]}),
        kind(table=np.random.default_rng(0)),
        kind(table=np.random.default_rng(1)),
        kind(file=weights),
        functools.partial(kind.__call__, kind()),
        functools.partial(kind.__call__, kind(3.0)),
        kind().__call__,
        mod().answer,
        mod().double,
        mod(MODULE.replace("count: 2", "count: 3")).double,
    ]
    hashes = [digest(policy) for policy in several]
    weights.write_bytes(b"two")
    hashes.append(digest(kind(file=weights)))
    small = [i for i, policy in enumerate(several) if isinstance(getattr(policy, "table", None), np.ndarray)][:2]
    assert len(set(hashes)) == len(hashes) - 1  # ten small numbers are the same numbers in either type
    assert hashes[small[0]] == hashes[small[1]]


def test_a_closure_counts_by_what_it_holds():
    def make(gain):
        return lambda observation, count: gain

    assert digest(make(1)) == digest(make(1)) != digest(make(2))
    add, take = (lambda a: a + 1), (lambda a: a - 1)
    assert digest(add) != digest(take)


def test_shipped_policies_count_by_name_and_settings_wherever_they_live(monkeypatch):
    first = digest(AntipodalPolicy())
    monkeypatch.setattr(AntipodalPolicy, "__module__", "sim.elsewhere")
    assert digest(AntipodalPolicy()) == first != digest(AntipodalPolicy(seed=1))
    assert digest(RandomPolicy(seed=0)) != digest(RandomPolicy(seed=1))


def test_what_cannot_be_looked_into_counts_by_its_type(tmp_path):
    class Holder:
        def __init__(self, thing):
            self.thing, self.me = thing, self

    with open(os.devnull) as file:
        assert digest(Holder(threading.Lock())) == digest(Holder(threading.Lock())) != digest(Holder(file))


def test_networks_count_by_their_weights():
    torch = pytest.importorskip("torch")

    def net(seed, size=3):
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Conv2d(1, 8, size, padding=size // 2), torch.nn.BatchNorm2d(8))

    assert digest(net(0)) == digest(net(0)) != digest(net(1))
    assert digest(net(0)) != digest(net(0).eval())
    assert digest(net(0).to(torch.bfloat16)) != digest(net(1).to(torch.bfloat16))


def test_networks_of_the_users_count_by_their_plain_settings():
    import torch

    class Net(torch.nn.Module):
        def __init__(self, margin):
            super().__init__()
            self.margin, self.layer = margin, torch.nn.Linear(1, 1, bias=False)
            torch.nn.init.ones_(self.layer.weight)

    class Holder:
        def __init__(self, margin):
            self.network = Net(margin)

    for kind in (Net, Holder):
        assert digest(describe(kind(0.1))) == digest(describe(kind(0.1))) != digest(describe(kind(0.2)))


def test_a_networks_own_generator_is_seeded_too():
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.rng = torch.nn.Linear(1, 1), np.random.default_rng(0)

    policy = Net()
    start = generator_states(policy)
    drawn = []
    for seed in (1, 2, 1):
        with seeded(policy, start, [seed]):
            drawn.append(policy.rng.random())
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_package_without_a_version_counts_by_its_files(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "version", lambda name: (_ for _ in ()).throw(PackageNotFoundError(name)))
    said = []
    for text in ("a = 1\n", "a = 2\n"):
        (tmp_path / "lonely").mkdir(exist_ok=True)
        (tmp_path / "lonely" / "__init__.py").write_text(text)
        code._unversioned.cache_clear()
        said.append(code.package_version("lonely"))
    assert said[0] != said[1]
    assert all(text.startswith("of files ") for text in (*said, code.package_version("plgp")))
    assert code.package_version("pybullet").startswith("of files ")
    assert code.package_version("nowhere_at_all") == "unknown"
    code._unversioned.cache_clear()


def test_a_package_counts_by_the_distribution_that_python_names_for_it():
    known = packages_distributions()
    for package in ("numpy", "yaml", "cv2", "trimesh", "pybullet", "json", "no_such_package"):
        names = known.get(package)
        assert code._distribution_version(package) == (code.package_version(names[0]) if names else "python")


def test_it_is_the_same_in_another_process(tmp_path):
    (tmp_path / "mine.py").write_text(MODULE.replace("import helper\n", ""))
    text = (
        "import mine, numpy as np; from sim.identity.content import digest;"
        "print(digest([mine.Mine(table={'a', 'b', 'c'}), mine.double, np.random.default_rng(3)]))"
    )
    where = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}"}
    runs = [
        subprocess.run([sys.executable, "-c", text], env={**where, "PYTHONHASHSEED": seed}, capture_output=True)
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout != b"", runs[0].stderr


def test_differences_name_what_differs():
    rules = BenchmarkSettings()
    other = dataclasses.replace(rules, camera_height=0.9)
    assert list(differences(describe(rules), describe(other))) == ["camera_height: 0.6, there 0.9"]
    assert not list(differences(describe(rules), describe(BenchmarkSettings())))
    assert list(differences(describe(rules), describe(dataclasses.replace(rules, depth_noise=None)))) == ["depth_noise"]


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(_PLAIN, _PLAIN)
def test_contents_are_equal_where_values_are(one, other):
    assert (digest(one) == digest(other)) == (repr(_ordered(one)) == repr(_ordered(other)))


def _ordered(value):
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(v) for v in value] if isinstance(value, list) else value


class Node:
    def __init__(self):
        self.links, self.value = [], 0


def test_a_web_of_shared_objects_is_told_in_a_moment():
    def web():
        nodes = [Node() for _ in range(40)]
        for i, node in enumerate(nodes):
            node.links = [*nodes[i + 1 :], nodes[0]]
        return nodes

    changed = web()
    changed[-1].value = 1
    assert digest(web()[0]) == digest(web()[0]) != digest(changed[0])


def test_a_chain_too_long_to_follow_is_no_error():
    chain = [Node() for _ in range(3000)]
    for a, b in itertools.pairwise(chain):
        a.links = [b]
    assert digest(chain[0])


class Odd:
    """Raises whatever it is asked."""

    def __getstate__(self):
        raise KeyError("no")


def test_an_object_that_shows_nothing_counts_by_its_class():
    assert digest([Odd()]) == digest([Odd()]) != digest([Node()])
