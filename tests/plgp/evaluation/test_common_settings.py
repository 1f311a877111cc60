"""Settings that runs share are kept once, and each run's come back whole."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plgp.evaluation.common_settings import common_part, joined, own_part

LEAVES = st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([0.0, 1.0, 0.5, "a", ""])
KEYS = st.sampled_from("abcd")
CONFIGS = st.dictionaries(
    KEYS, st.recursive(LEAVES | st.lists(LEAVES, max_size=2), lambda inner: st.dictionaries(KEYS, inner, max_size=3))
)


def text(config):
    return json.dumps(config, sort_keys=True)


@given(st.lists(CONFIGS, max_size=4))
def test_every_configuration_comes_back(configs):
    shared = common_part(configs)
    for config in configs:
        own = own_part(config, shared)
        assert text(joined(shared, own)) == text(config)


def leaves(config, path=()):
    """Every setting by its path, an empty dict as a setting."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), json.dumps(value)


@given(st.lists(CONFIGS, min_size=1, max_size=4))
def test_what_is_shared_is_what_all_have(configs):
    everywhere = set.intersection(*(set(leaves(config)) for config in configs))
    assert set(leaves(common_part(configs))) == everywhere


def test_one_that_differs_in_a_setting_keeps_that_setting_alone():
    first = {"network": {"name": "ggcnn2", "prior": 0.01}, "seed": 0, "tags": []}
    second = {"network": {"name": "ggcnn2", "prior": 0.01}, "seed": 1, "tags": []}
    assert common_part([first, second]) == {"network": {"name": "ggcnn2", "prior": 0.01}, "tags": []}
    assert own_part(second, common_part([first, second])) == {"seed": 1}


@pytest.mark.parametrize(("one", "other"), [(1, True), (1, 1.0), (0, False), (None, {})])
def test_values_that_are_written_otherwise_are_not_the_same(one, other):
    assert common_part([{"a": one}, {"a": other}]) == {}
