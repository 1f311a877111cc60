"""Rasterised targets against a slow twin."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plgp.targets import LabelBatch, rasterise


def slow_twin(labels, shape, bins, max_opening, enhance, mask):
    """One label and one neighbour at a time, in numpy."""
    batch, height, width = shape
    q, a, w = (
        np.zeros((batch, 1, height, width)),
        np.zeros((batch, bins, height, width)),
        np.zeros((batch, bins, height, width)),
    )
    values = [v.tolist() for v in labels if v is not None]
    rows = [tuple(v) if len(v) == 6 else (*v, 1.0) for v in zip(*values, strict=True)]
    labelled = {(b, r, c, k) for b, r, c, k, *_ in rows}
    pixels = {place[:3] for place in labelled}
    for b, r, c, k, opening, quality in rows:
        for i in (r - 1, r, r + 1) if enhance else (r,):
            for j in (c - 1, c, c + 1) if enhance else (c,):
                if not (0 <= i < height and 0 <= j < width) or (mask is not None and mask[b, i, j] != mask[b, r, c]):
                    continue
                own = (i, j) == (r, c)
                value = quality if own else 0.9 * quality
                if own or (b, i, j) not in pixels:
                    q[b, 0, i, j] = max(q[b, 0, i, j], value)
                if own or (b, i, j, k) not in labelled:
                    a[b, k, i, j] = max(a[b, k, i, j], value)
                    w[b, k, i, j] = max(w[b, k, i, j], min(opening / max_opening, 1))
    return q, a, w


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 40),
    enhance=st.booleans(),
    guard=st.booleans(),
    graded=st.booleans(),
)
def test_rasterise_equals_slow_twin(seed, count, enhance, guard, graded):
    rng = np.random.default_rng(seed)
    shape, bins = (3, 7, 9), 4
    mask = rng.integers(0, 3, shape) if guard else None
    labels = LabelBatch(
        *(torch.from_numpy(rng.integers(0, n, count)) for n in (*shape, bins)),
        torch.from_numpy(rng.uniform(0.001, 0.12, count).astype(np.float32)),
        torch.from_numpy(rng.uniform(0.1, 1, count).astype(np.float32)) if graded else None,
    )
    ours = rasterise(
        labels,
        shape,
        bins,
        0.1,
        enhance,
        instance_mask=None if mask is None else torch.from_numpy(mask.astype(np.uint8)),
    )
    for mine, truth in zip(ours, slow_twin(labels, shape, bins, 0.1, enhance, mask), strict=True):
        np.testing.assert_allclose(mine.numpy(), truth, rtol=1e-6)


def test_example_of_colliding_neighbours():
    """Two labels two pixels apart: the pixel between takes the larger width, the labels keep theirs."""
    labels = LabelBatch(
        torch.tensor([0, 0]),
        torch.tensor([2, 2]),
        torch.tensor([1, 3]),
        torch.tensor([1, 1]),
        torch.tensor([0.02, 0.06]),
    )
    maps = rasterise(labels, (1, 5, 5), bins=2)
    np.testing.assert_allclose(maps.width[0, 1, 2].numpy(), [0.2, 0.2, 0.6, 0.6, 0.6])
    np.testing.assert_allclose(maps.quality[0, 0, 2].numpy(), [0.9, 1, 0.9, 1, 0.9], rtol=1e-6)
    assert maps.angle[0, 0].max() == 0
