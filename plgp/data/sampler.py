"""The order in which images are visited; each epoch's order is a function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

Key = tuple[int, ...]  # (epoch, index of the image), and the round where an epoch visits it again: 1, 2, ...
REPEATED = -1  # in place of the epoch: the image is there to fill a round, and does not count


class EpochSampler(Sampler[Key]):
    """Yields (epoch, index), so that loader workers that outlive an epoch still learn which one it is.

    An epoch of more samples than there are images goes round again: (epoch, index, round) from the second round on, so
    that an image that is seen again is drawn anew.

    Under torch.distributed each rank takes its share; all shares have the same length. Where images are visited in
    fixed order, those that are visited again to fill the last round carry ``REPEATED`` in place of the epoch: a
    validation counts every image once.
    """

    def __init__(
        self, indices: Sequence[int], *, seed: int = 0, shuffle: bool = True, samples_per_epoch: int | None = None
    ) -> None:
        """Takes the images to visit.

        Args:
            indices: Indices of the images in the data set.
            seed: Seed of the order.
            shuffle: Whether every epoch has an order of its own; False keeps that of ``indices``.
            samples_per_epoch: Number of images in an epoch; a greater one than there are goes round again.
                None takes each image once.
        """
        self.indices, self.seed, self.shuffle = list(indices), seed, shuffle
        self.total = len(self.indices) if samples_per_epoch is None else samples_per_epoch
        self.epoch = 0
        self.skip = 0  # of this rank's samples, once: those that a resumed run has behind it

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch; Lightning calls this at the start of each."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Number of this rank's samples in an epoch."""
        return -(-self.total // _rank_and_ranks()[1]) if self.indices else 0

    def __iter__(self) -> Iterator[Key]:
        """Yields this rank's keys of the present epoch, but the first ``skip`` the first time."""
        behind, self.skip = self.skip, 0
        if not self.indices:
            return
        rank, ranks = _rank_and_ranks()
        rng = np.random.default_rng([self.seed, self.epoch])
        wanted = len(self) * ranks
        order: list[int] = []
        while len(order) < wanted:
            part = rng.permutation(self.indices).tolist() if self.shuffle else self.indices
            order.extend(part)
        for place in range(rank + behind * ranks, wanted, ranks):
            if not self.shuffle:
                yield (REPEATED if place >= self.total else 0, order[place])
                continue
            turn = place // len(self.indices)
            yield (self.epoch, order[place], *([turn] if turn else []))


def _rank_and_ranks() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
