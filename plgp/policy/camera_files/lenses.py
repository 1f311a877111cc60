"""The lens in a file of intrinsics: its coefficients under whatever name, in OpenCV's order, and its model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

# Keys of other tools, whose capitals do not count, in the order in which they are believed.
_KEYS: tuple[str, ...] = ("distortion_coefficients", "distortion_coeffs", "dist_coeffs", "distcoeffs", "coeffs")
_KEYS += ("d", "distortion", "dist")
_COEFFICIENTS = r"(?:co?eff?s?|co?eff?icients?|param(?:eter)?s?|vec(?:tor)?|values?)?"
_ALIKE = rf"(?:lens)?dist(?:ortions?)?{_COEFFICIENTS}"  # what else they are called, without its underscores
_BEFORE = r"(?:intrinsics?|camera|cam)?"
_WITHIN = ("coefficients", "coeffs", "coeff", "parameters", "params", "values")  # within a mapping of that name
_PARTS = ("radial", "tangential")
_PRISM = ("s1", "s2", "s3", "s4")
_BROWN = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6", *_PRISM)
_BY_ANGLE = ("k1", "k2", "k3", "k4", "p1", "p2")  # the last two must be 0
# Keys that hold a lens if they hold numbers; a distance or what is undistorted is none.
_SUSPECT = re.compile(r"^k\d+$|(?<!un)distort(?!ed)|dist(?:co?eff?|param|vec)")
_HARMLESS = re.compile(
    r"model|type|cent(?:er|re)|error|rms|unit|version|enabl|appl|correct|rectif|valid|flag|count|^has|^is|^num"
)
_MODEL_KEYS: tuple[str, ...] = ("distortion_model", "model", "camera_model", "distortion_type", "lens_model")
_MODEL_KEYS += ("model_type",)
_KIND_KEYS = ("type", "camera_type")  # which may say something else

RADIAL: tuple[str, ...] = (
    "",
    "plumb_bob",
    "rational_polynomial",
    "radtan",
    "radial-tangential",
    "brown_conrady",
    "opencv",
    "pinhole",
)
RADIAL += ("modified_brown_conrady", "full_opencv", "thin_prism", "none", "simple_radial", "radial")
RADIAL += ("brown_conrady_k6",)  # Orbbec's name of OpenCV's rational model
FISHEYE: tuple[str, ...] = ("equidistant", "fisheye", "kannala_brandt4", "kannala_brandt", "opencv_fisheye", "equi")
FISHEYE += ("kannalabrandt8", "kannala_brandt8", "kannalabrandt", "radial_fisheye", "simple_radial_fisheye")
_NOT_UNDONE = ("inverse_brown_conrady", "ftheta", "fov", "thin_prism_fisheye")
_ENUM = re.compile(r"^(?:\w+\.)*(?:(?:ob|rs2)_distortion_)?")  # "distortion.", "OB_DISTORTION_" before a model's name


@dataclass(frozen=True, kw_only=True)
class Lens:
    """What a mapping says of a lens.

    Attributes:
        coefficients: As the file gives them, or in OpenCV's order where it names each; none where it has none.
        model: Name of the model as the file spells it, or "".
        unread: Key of what seem to be coefficients, and are not understood, or "".
    """

    coefficients: Any = ()
    model: str = ""
    unread: str = ""


def plain_names(found: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns a mapping with "Camera.Fx", "_fx" called "fx"; comments of MATLAB are left out.

    Of several cameras whose keys differ in nothing else, such as ORB-SLAM's Camera1 and Camera2, the first counts.
    """
    names: dict[str, Any] = {}
    for key, value in found.items():
        if not str(key).startswith("__"):
            names.setdefault(re.sub(r"^(camera\d*\.|rgbd\.|_)", "", str(key).lower()), value)
    return names


def first_of(found: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """Returns the value of the first key that there is, the numbers of OpenCV's matrices; None where there is none."""
    for key in keys:
        if key in found and found[key] is not None:
            value = found[key]
            return value["data"] if isinstance(value, Mapping) and "data" in value else value
    return None


def is_lens_of(camera: str, key: str) -> bool:
    """Returns whether a key names the lens of the camera of another key, as depthDistortion that of depthIntrinsic."""
    return re.fullmatch(re.escape(_bare(camera.partition("intrinsic")[0])) + _ALIKE, _bare(key)) is not None


def stream_of(key: str, value: Any) -> str:
    """Returns the camera that a key of a lens names, as "color" of Color_Distortion; "" where it names none."""
    bare = _bare(key)
    if not _is_suspect(key, value) or re.fullmatch(_BEFORE + _ALIKE, bare):
        return ""
    found = re.fullmatch(rf"(.+?){_ALIKE}|{_ALIKE}(.+)", bare)
    return "" if found is None or found[1] in _PARTS else found[1] or found[2]


def read_lens(names: Mapping[str, Any], *, within: bool = False) -> Lens:
    """Returns the lens that a mapping of plain names holds.

    Args:
        names: The mapping; see ``plain_names``.
        within: Whether it is the value of a key such as "distortion", so that shorter names are clear.

    Raises:
        TypeError: A coefficient is no number.
        ValueError: A coefficient is no number.
    """
    model = _model(names, within=within)
    for key in _vector_keys(names, within=within):
        value = first_of(names, (key,))
        if isinstance(value, Mapping):
            inner = read_lens(plain_names(value), within=True)
            unread = key if inner.unread or (not np.size(inner.coefficients) and _holds_numbers(value)) else ""
            return replace(inner, model=model or inner.model, unread=unread)
        if not _words(value):
            return Lens(coefficients=value, model=model)
    fisheye = known_model(model) in FISHEYE
    if _is_single(names.get("k1")) and not _is_text(names["k1"]):  # without it, "p1" may be a picture's path
        single = [key for key in _BROWN if _is_single(names.get(key)) and not (key in _PRISM and _is_text(names[key]))]
        named = {key: float(np.asarray(names[key], np.float64).item()) for key in single}
        return Lens(coefficients=_by_name(named, fisheye=fisheye), model=model)
    radial, tangential = (_part(names, part, within=within) for part in _PARTS)
    if radial:
        return Lens(coefficients=_by_parts(radial, tangential, fisheye=fisheye), model=model)
    return Lens(model=model, unread=next((key for key, value in names.items() if _is_suspect(key, value)), ""))


def known_model(model: str) -> str:
    """Returns a model's name as ``RADIAL`` and ``FISHEYE`` spell it."""
    name = _ENUM.sub("", model.lower().strip())
    return next((known for known in (*RADIAL, *FISHEYE, *_NOT_UNDONE) if _bare(known) == _bare(name)), name)


def _model(names: Mapping[str, Any], *, within: bool) -> str:
    # A lens's own number of its model counts differently in every SDK; its name may be a camera's.
    worded = {key: value for key, value in names.items() if not (within and is_number(value))}
    model = first_of(worded, (*_MODEL_KEYS, *(("type",) if within else ())))
    name = str(names.get("name") or "") if within and model is None else ""
    if name and known_model(name) in (*RADIAL, *FISHEYE, *_NOT_UNDONE):
        return name
    kind = str(first_of(names, _KIND_KEYS) or "")
    told = [_words(names[key]) for key in _vector_keys(names, within=within)]
    if model is None and any(told):  # "Distortion: Inverse Brown Conrady", beside "Coeffs"
        return next(filter(None, told))
    if model is None and str(names.get("is_fisheye", "")).lower() in ("true", "1"):
        return "fisheye"
    if model is None and kind and known_model(kind) in (*RADIAL, *FISHEYE):
        return kind
    return "" if model is None else str(model)


def _vector_keys(names: Mapping[str, Any], *, within: bool) -> Iterator[str]:
    """Yields the keys, as far as there are, of all coefficients together."""
    alike = [key for key in names if re.fullmatch(_BEFORE + _ALIKE, _bare(key))]
    alike = [key for key in alike if not is_number(names[key]) and np.size(names[key])]  # "camera_dist" may be metres
    return (key for key in (*_KEYS, *alike, *(_WITHIN if within else ())) if names.get(key) is not None)


def _by_name(named: Mapping[str, float], *, fisheye: bool) -> list[float]:
    order = _BY_ANGLE if fisheye else _BROWN if any(named.get(key) for key in _BROWN[8:]) else _BROWN[:8]
    lens = [named.get(key, 0.0) for key in order]
    return lens[:4] if fisheye and not any(lens[4:]) else lens


def _by_parts(radial: list[float], tangential: list[float], *, fisheye: bool) -> list[float]:
    if fisheye:
        return [*radial, *(tangential if any(tangential) else [])]
    radial = [*radial, *[0.0] * ((2 if len(radial) < 4 else 6) - len(radial))]
    return [*radial[:2], *tangential, *[0.0] * (2 - len(tangential)), *radial[2:]]


def _part(names: Mapping[str, Any], part: str, *, within: bool) -> list[float]:
    """Returns the radial or the tangential coefficients of a lens in two parts."""
    known = rf"{part}(?:{_ALIKE})" + ("?" if within else "")
    key = next((key for key in names if re.fullmatch(known, _bare(key)) and names[key] is not None), None)
    if key is None or _is_text(names[key]):
        return []
    return np.asarray(first_of(names, (key,)), np.float64).ravel().tolist()


def _is_suspect(key: str, value: Any) -> bool:
    """Returns whether a key that was not read holds a lens that counts."""
    if not _SUSPECT.search(_bare(key)) or _HARMLESS.search(_bare(key)):
        return False
    return _holds_numbers(value) and (_is_single(value) or not re.fullmatch(r"k\d+", key))  # K1 may be a matrix


def _holds_numbers(value: Any) -> bool:
    """Returns whether there are numbers other than 0."""
    if isinstance(value, Mapping):
        return any(_holds_numbers(inner) for inner in ([value["data"]] if "data" in value else value.values()))
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, bool) and bool((np.isfinite(numbers) & (numbers != 0)).any())


def _is_single(value: Any) -> bool:
    """Returns whether a value is one number, or meant to be one."""
    return value is not None and not isinstance(value, Mapping) and np.ndim(value) < 3 and np.size(value) == 1


def is_number(value: Any) -> bool:
    """Returns whether a value is one number, alone in a list or as a text too."""
    try:
        float(np.asarray(value).item())
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _is_text(value: Any) -> bool:
    """Returns whether a value is words or an empty text, and no number, right or wrong."""
    return not is_number(value) and (bool(_words(value)) or (isinstance(value, str) and not value.strip()))


def _words(value: Any) -> str:
    """Returns a text that is no number, or a list of such, with underscores between; "" of anything else."""
    words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    if not all(isinstance(word, str) and not re.fullmatch(r"[-+\d.,;eE]*", word) for word in words):
        return ""
    return "_".join(words).lower()


def _bare(key: str) -> str:
    return re.sub(r"[_\-. ]", "", key.lower())
