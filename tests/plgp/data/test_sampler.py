"""The order of images in an epoch."""

from plgp.data import EpochSampler


def test_sampler_lengths():
    assert len(list(EpochSampler(range(10), samples_per_epoch=4))) == 4
    longer = list(EpochSampler(range(3), samples_per_epoch=7))
    assert len(longer) == 7
    assert {i for _, i in longer} == {0, 1, 2}
    assert list(EpochSampler([5, 6], shuffle=False)) == [(0, 5), (0, 6)]
    assert list(EpochSampler([])) == []
