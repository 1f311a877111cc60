"""Masks drawn as polygons: labelme's, COCO's and VIA's JSON files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

_KINDS = "labelme's shapes, COCO's annotations or run lengths, or VIA's regions"


def read_polygons(path: Path, size: tuple[int, int], frame: str = "") -> NDArray[np.bool_]:
    """Returns the pixels inside the polygons of an image, (H, W) bool.

    Args:
        path: A JSON file: labelme's ``shapes``, COCO's ``annotations`` (polygons or run lengths), a list of
            masks with a ``segmentation`` each as SAM writes them, run lengths alone, or VIA's ``regions``.
        size: Height and width of the image, pixels.
        frame: Name of the depth image, which chooses in a file of several images: by name, then by its last number.

    Raises:
        InputError: The file cannot be read, is for another size, or does not say which of its images is meant.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"workspace mask '{path}' is no JSON that can be read; give {_KINDS}") from error
    try:
        own, parts = _parts(document, frame)
        if own is not None and own != size:
            raise InputError(
                f"workspace mask '{path}' is for {own[1]}x{own[0]} pixels, the depth image is {size[1]}x{size[0]}; "
                "draw it over the depth image, or over colours registered to it"
            )
        mask = np.zeros(size, dtype=bool)
        for part in parts:
            mask |= _filled(part, size)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        if isinstance(error, InputError):
            raise InputError(str(error).replace("THE FILE", f"workspace mask '{path}'")) from error
        raise InputError(f"workspace mask '{path}' holds no polygons that can be read; give {_KINDS}") from error
    return mask


def _parts(document: Any, frame: str) -> tuple[tuple[int, int] | None, list[Any]]:
    """Returns the height and width that a file states, or None, and the polygons of the image."""
    if isinstance(document, Mapping) and "shapes" in document:
        sizes = document.get("imageHeight"), document.get("imageWidth")
        return _size(*sizes), [_of_labelme(shape) for shape in document["shapes"]]
    if isinstance(document, Mapping) and "annotations" in document:
        images = {str(image["id"]): image for image in document.get("images", [])}
        chosen = _chosen({key: str(image.get("file_name", key)) for key, image in images.items()}, frame)
        own = images[chosen] if chosen is not None else {}
        found = [a for a in document["annotations"] if chosen is None or str(a.get("image_id", chosen)) == chosen]
        return _size(own.get("height"), own.get("width")), [p for a in found for p in _of_coco(a["segmentation"])]
    if isinstance(document, Mapping) and document:
        images = document.get("_via_img_metadata", document)
        if all(isinstance(image, Mapping) and "regions" in image for image in images.values()):
            chosen = _chosen({key: str(image.get("filename", key)) for key, image in images.items()}, frame)
            regions = images[chosen]["regions"]
            regions = list(regions.values()) if isinstance(regions, Mapping) else regions
            return None, [_of_via(region["shape_attributes"]) for region in regions]
    if isinstance(document, Mapping) and {"counts", "size"} <= set(document):
        return None, list(_of_coco(document))
    if (
        isinstance(document, list)
        and document
        and all(isinstance(m, Mapping) and "segmentation" in m for m in document)
    ):
        return None, [part for mask in document for part in _of_coco(mask["segmentation"])]
    raise InputError(f"THE FILE holds no polygons; give {_KINDS}")


def _size(height: Any, width: Any) -> tuple[int, int] | None:
    return None if height is None or width is None else (int(height), int(width))


def _chosen(names: Mapping[str, str], frame: str) -> str | None:
    """Returns the key of the image that belongs to a frame; None of a file without images."""
    if len(names) < 2:
        return next(iter(names), None)
    stem = Path(frame).stem
    same = [key for key, name in names.items() if Path(name).stem == stem]
    numbers = [_number(Path(name).stem) for name in names.values()]
    own = _number(stem)
    by_number = [key for key, number in zip(names, numbers, strict=True) if own is not None and number == own]
    for found in (same, by_number):
        if len(found) == 1:
            return found[0]
    some = ", ".join(list(names.values())[:4])
    raise InputError(f"THE FILE holds {len(names)} images ({some}), none of them alone '{frame}'; give that image's")


def _number(stem: str) -> int | None:
    digits = "".join(c if c.isdecimal() else " " for c in stem).split()
    return int(digits[-1]) if digits else None


def _of_labelme(shape: Mapping[str, Any]) -> Any:
    kind, points = shape.get("shape_type") or "polygon", np.array(shape["points"], np.float64).reshape(-1, 2)
    if kind == "rectangle":
        return _box(*points.min(axis=0), *points.max(axis=0))
    if kind == "circle":
        return _ellipse(points[0], np.repeat(np.hypot(*(points[1] - points[0])), 2))
    if kind != "polygon":
        raise InputError(f"THE FILE has a {kind}; draw polygons, rectangles or circles")
    return points


def _of_coco(found: Any) -> Iterator[Any]:
    if isinstance(found, Mapping):
        counts = found["counts"]
        yield {**found, "counts": counts if isinstance(counts, list) else _decompressed(str(counts))}
        return
    yield from (np.array(polygon, np.float64).reshape(-1, 2) for polygon in found)


def _decompressed(text: str) -> list[int]:
    """Returns COCO's compressed run lengths: 5 bits a character, from the fourth on differences to the last but one."""
    counts: list[int] = []
    value = place = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << place
        place += 5
        if not bits & 0x20:
            value -= (1 << place) if bits & 0x10 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = place = 0
    return counts


def _of_via(region: Mapping[str, Any]) -> Any:
    kind = region["name"]
    if kind in ("polygon", "polyline"):
        return np.array([region["all_points_x"], region["all_points_y"]], np.float64).T
    if kind == "rect":
        return _box(region["x"], region["y"], region["x"] + region["width"], region["y"] + region["height"])
    if kind in ("circle", "ellipse"):
        radii = [region.get(name, region.get("r")) for name in ("rx", "ry")]
        return _ellipse(np.array([region["cx"], region["cy"]], np.float64), np.array(radii, np.float64))
    raise InputError(f"THE FILE has a {kind}; draw polygons, rectangles or circles")


def _box(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)


def _ellipse(middle: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return np.asarray(middle + np.stack([np.cos(turn), np.sin(turn)], axis=1) * radii, np.float64)


def _filled(part: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Returns the pixels of a polygon, (N, 2) columns and rows, or of COCO's run lengths, column by column."""
    if isinstance(part, Mapping):
        if tuple(int(n) for n in part["size"]) != size:
            raise InputError(f"THE FILE has run lengths for {part['size']} pixels, the depth image is {list(size)}")
        counts = np.array(part["counts"], np.int64)
        if counts.ndim != 1 or (counts < 0).any() or counts.sum() != size[0] * size[1]:
            raise InputError("THE FILE has run lengths that do not add up to the image; write them again")
        return np.asarray(np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(size, order="F"))
    from PIL import Image, ImageDraw

    if len(part) < 3 or not np.isfinite(part).all() or np.abs(part).max() > 1e6:
        raise InputError("THE FILE has a polygon of fewer than 3 points, or of numbers far off; correct it")
    image = Image.new("1", size[::-1])
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in part], fill=1)
    return np.asarray(image)
