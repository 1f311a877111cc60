"""Numbers and poses in a URDF's elements."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.geometry import make_pose

FloatArray = NDArray[np.float64]


def read_pose(origin: ElementTree.Element | None) -> FloatArray:
    """Returns the (4, 4) pose of an <origin>, whose rpy turns about the fixed x, y, z; raises ValueError."""
    if origin is None:
        return np.eye(4)
    rotation = Rotation.from_euler("xyz", read_numbers(origin, "rpy", "0 0 0")).as_matrix()
    return make_pose(rotation, read_numbers(origin, "xyz", "0 0 0"))


def read_numbers(element: ElementTree.Element, attribute: str, default: str) -> FloatArray:
    """Returns an attribute's numbers, as many as the default has; raises ValueError.

    A scale may be a single number for all three axes, as Bullet takes it. A colour may lack its opacity.
    """
    text, count = element.get(attribute) or default, len(default.split())
    try:
        numbers = np.array([float(word) for word in text.split()])
    except ValueError:
        numbers = np.zeros(0)
    if not np.isfinite(numbers).all():
        raise ValueError(f'{attribute}="{text}" of <{element.tag}> is not finite')
    if attribute == "scale" and len(numbers) == 1:
        return np.repeat(numbers, count)
    if len(numbers) != count and not (attribute == "rgba" and len(numbers) == 3):
        raise ValueError(f'{attribute}="{text}" of <{element.tag}> is not {count} number{"s" if count > 1 else ""}')
    return numbers
