"""XML of mesh files, without its namespaces."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError


def parse_xml(data: bytes, what: str) -> ElementTree.Element:
    """Returns the root of an XML text whose names have lost their namespaces.

    Args:
        data: The text.
        what: Name of the format for messages.

    Raises:
        InputError: It is no XML; the sentence lacks the file's name.
    """
    if b"<!ENTITY" in data:  # entities that name each other grow without bounds
        raise InputError(f"defines entities, which no {what} needs; export it again")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"is no {what}: its XML is broken ({error}); export it again") from error
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
        for name in [name for name in element.attrib if name.startswith("{")]:
            element.attrib.setdefault(name.rpartition("}")[2], element.attrib[name])
    return root


def numbers(text: str | None) -> NDArray[np.float64]:
    """Returns the numbers of a text, (N,) float64; raises ValueError."""
    return np.array((text or "").split(), np.float64)


def indices(text: str | None) -> NDArray[np.int64]:
    """Returns the whole numbers of a text, (N,) int64; raises ValueError."""
    return np.array((text or "").split(), np.int64)
