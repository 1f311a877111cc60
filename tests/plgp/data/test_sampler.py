"""The order of images in an epoch."""

import pytest
import torch

from plgp.data import EpochSampler
from plgp.data.sampler import REPEATED


def test_sampler_lengths():
    assert len(list(EpochSampler(range(10), samples_per_epoch=4))) == 4
    longer = list(EpochSampler(range(3), samples_per_epoch=7))
    assert len(longer) == 7
    assert {key[1] for key in longer} == {0, 1, 2}
    assert len(set(longer)) == 7  # an image that is seen again is drawn anew
    assert [key[2:] for key in longer] == [()] * 3 + [(1,)] * 3 + [(2,)]
    assert list(EpochSampler([5, 6], shuffle=False)) == [(0, 5), (0, 6)]
    assert list(EpochSampler([])) == []


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_an_epoch_goes_on_behind_what_was_seen_once(ranks, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: ranks)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: ranks - 1)
    sampler = EpochSampler(range(9), samples_per_epoch=14)
    whole = list(sampler)
    sampler.skip = 3
    assert list(sampler) == whole[3:]
    assert list(sampler) == whole


@pytest.mark.parametrize("images", range(1, 8))
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_a_validation_on_several_ranks_counts_every_image_once(images, ranks, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: ranks)
    shares = []
    for rank in range(ranks):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        shares.append(list(EpochSampler(range(images), shuffle=False)))
    assert len({len(share) for share in shares}) == 1  # ranks wait for each other
    counted = [index for share in shares for epoch, index in share if epoch != REPEATED]
    assert sorted(counted) == list(range(images))
