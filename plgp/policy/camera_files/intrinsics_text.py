"""Intrinsics in text files: what YAML, key and value lines, tables and printed cameras say."""

from __future__ import annotations

import json
import re
from typing import Any

# A camera's line in COLMAP's cameras.txt: where fx, fy, cx, cy and the lens stand among the parameters of a model. The
# coefficients of the last two are no lens's that is undone, and their models are refused by name.
_COLMAP: dict[str, tuple[tuple[int, int, int, int], int]] = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), 3),
    "PINHOLE": ((0, 1, 2, 3), 4),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), 3),
    "RADIAL": ((0, 0, 1, 2), 3),
    "OPENCV": ((0, 1, 2, 3), 4),
    "FULL_OPENCV": ((0, 1, 2, 3), 4),
    "OPENCV_FISHEYE": ((0, 1, 2, 3), 4),
    "SIMPLE_RADIAL_FISHEYE": ((0, 0, 1, 2), 3),
    "RADIAL_FISHEYE": ((0, 0, 1, 2), 3),
    "FOV": ((0, 1, 2, 3), 4),
    "THIN_PRISM_FISHEYE": ((0, 1, 2, 3), 4),
}
# Width and height of a ZED's modes, which are part of its sections' names; the left camera is the depth's.
_ZED = {"2K": (2208, 1242), "FHD1200": (1920, 1200), "FHD": (1920, 1080), "HD": (1280, 720), "SVGA": (960, 600)}
_ZED |= {"VGA": (672, 376)}
# Heads of sections: [LEFT_CAM_HD], and what rs-enumerate-devices prints for each stream.
_HEAD = r"^\s*(?:\[([\w. -]+)\]\s*$|Intrinsic of \"([^\"]+)\" / (\d+x\d+).*$)"
_LINE = r"^\s*([\w.]+)\s*[:=\t]\s*(\S.*?)\s*$"
_NUMBER = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"


def parse_text(text: str) -> Any:
    """Returns the numbers of a text, or its keys and values; raises ValueError or YAMLError where it is none of these.

    Several documents in a row, as ``rostopic echo`` prints them, are taken for the first one.
    """
    import yaml

    for read in (_json, _numbers, _xml, _printed, _colmap, _ost, _sections, _table):
        found = read(text)
        if found is not None:
            return found
    try:
        # OpenCV's own tags and head line are no plain YAML.
        plain = re.sub(r"\A%YAML:?[ \d.]*", "", text).replace("!!opencv-matrix", "")
        documents = [document for document in yaml.safe_load_all(plain) if document is not None]
        found = documents[0] if documents else None
    except yaml.YAMLError:
        found = None
    if isinstance(found, (dict, list)):
        return found
    lines = _keys_and_values(text)
    if len(lines) < 4:
        raise ValueError("neither numbers nor keys and values")
    return lines


def _keys_and_values(text: str) -> dict[str, Any]:
    return {key: _split(value) for key, value in re.findall(_LINE, text, re.MULTILINE)}


def _table(text: str) -> dict[str, Any] | None:
    """Returns the cameras of a CSV table with a column for each number, by their rows' first words."""
    head, *lines = [re.split(r"\s*[,;\t]\s*", line.strip()) for line in text.splitlines() if line.strip()] or [[]]
    whole = all(len(line) == len(head) for line in lines)
    if not lines or not whole or not {"fx", "fy"} <= set(map(str.lower, head)):
        return None
    rows = [dict(zip(head, line, strict=True)) for line in lines]
    return rows[0] if len(rows) == 1 else {f"{number} {row[head[0]]}": row for number, row in enumerate(rows)}


def _sections(text: str) -> dict[str, Any] | None:
    """Returns the cameras of a text with sections by their names, or None where fewer than two have a focal length."""
    heads = list(re.finditer(_HEAD, text, re.MULTILINE))
    if len(heads) < 2:
        return None
    ends = [head.start() for head in heads[1:]] + [len(text)]
    cameras: dict[str, Any] = {}
    for head, end in zip(heads, ends, strict=True):
        found = _keys_and_values(text[head.end() : end])
        if "fx" not in map(str.lower, found):
            continue
        side, _, mode = (head[1] or "").rpartition("_CAM_")
        if side == "LEFT" and mode in _ZED:
            found |= dict(zip(("width", "height"), _ZED[mode], strict=True))
        cameras[head[1] or f"{head[2]} {head[3]}"] = found
    return cameras if len(cameras) > 1 else None


def _split(value: str) -> Any:
    words = value.strip("[]()").replace(",", " ").split()
    return words[0] if len(words) == 1 else words


def _numbers(text: str) -> list[float] | None:
    """Returns the numbers of a text of nothing else, or None."""
    words = re.split(r"[\s,;]+", re.sub(r"#.*", "", text).strip().replace("[", " ").replace("]", " ").strip())
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except ValueError:
        return None


def _xml(text: str) -> dict[str, Any] | None:
    """Returns the numbers and matrices of OpenCV's FileStorage."""
    if not text.lstrip().startswith("<"):
        return None
    matrices = re.findall(r"<(\w+)[^>]*opencv-matrix[^>]*>.*?<data>(.*?)</data>", text, re.DOTALL)
    found: dict[str, Any] = {name: [float(word) for word in data.split()] for name, data in matrices}
    return dict(re.findall(r"<(\w+)>\s*([^<>\s]+)\s*</\1>", text)) | found


def _printed(text: str) -> dict[str, Any] | None:
    """Returns what librealsense prints: "[ 640x480  p[322 241]  f[600 610]  Brown Conrady [0 0 0 0 0] ]"."""
    head = rf"(\d+)x(\d+)\s+p\[({_NUMBER}) ({_NUMBER})\]\s+f\[({_NUMBER}) ({_NUMBER})\]"
    found = re.search(rf"{head}\s*([\w ]*?)\s*(?:\[([^\]]*)\]|\]|$)", text)
    if found is None:
        return None
    width, height, cx, cy, fx, fy, model, lens = found.groups()
    about = {"width": width, "height": height, "fx": fx, "fy": fy, "cx": cx, "cy": cy}
    return {**about, "model": "_".join(model.lower().split()), "coeffs": (lens or "").split()}


def _colmap(text: str) -> dict[str, Any] | None:
    """Returns the cameras of COLMAP's cameras.txt, whose pixel centres are at halves, by their numbers."""
    cameras = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 7 or words[1] not in _COLMAP or not re.fullmatch(r"\d+", words[0]):
            continue
        (fx, fy, cx, cy), rest = _COLMAP[words[1]]
        values = [float(word) for word in words[4:]]
        known = {"fx": values[fx], "fy": values[fy], "cx": values[cx] - 0.5, "cy": values[cy] - 0.5}
        lens = [*values[rest:], *[0.0] * max(0, 4 - len(values[rest:]))] if values[rest:] else []
        cameras[words[0]] = {"width": int(words[2]), "height": int(words[3]), **known, "coeffs": lens}
        cameras[words[0]]["model"] = words[1] if lens else ""
    return cameras or None


def _ost(text: str) -> dict[str, Any] | None:
    """Returns what the older file of ROS's camera_calibration says, a name and its numbers in lines of their own."""

    def after(name: str, count: int) -> list[float] | None:
        found = re.search(rf"^{name}\s+((?:{_NUMBER}\s*){{{count},}})", text, re.MULTILINE)
        return [float(word) for word in found[1].split()] if found else None

    matrix = after("camera matrix", 9)
    if matrix is None:
        return None
    width, height = (after(name, 1) or [0.0] for name in ("width", "height"))
    return {"width": width[0], "height": height[0], "K": matrix[:9], "D": after("distortion", 4) or []}
