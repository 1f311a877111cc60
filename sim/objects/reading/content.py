"""What a mesh file holds, whatever its name says: files that cannot be meshes are named as what they are."""

from __future__ import annotations

from sim.errors import InputError

_COMPRESSED = {
    b"\x1f\x8b": "is compressed by gzip; unpack it first: gunzip FILE",
    b"BZh": "is compressed by bzip2; unpack it first: bunzip2 FILE",
    b"\xfd7zXZ": "is compressed by xz; unpack it first: unxz FILE",
    b"7z\xbc\xaf": "is a 7z archive; unpack it first",
    b"Rar!": "is a RAR archive; unpack it first",
}
_OTHER = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the mesh; fetch the mesh: git lfs pull",
    b"<!doctype html": "is a web page, not a mesh; download the mesh again",
    b"<html": "is a web page, not a mesh; download the mesh again",
    b"kaydara fbx": "is an FBX file; export it as GLB or OBJ",
    b"blender": "is a Blender file; export it as GLB or OBJ",
    b"iso-10303-21": "is a STEP file of a CAD program; export it as STL",
}
_MAGIC = {b"glTF": ".glb", b"ply\n": ".ply", b"ply\r": ".ply", b"PK\x03\x04": ".3mf"}


def check_content(data: bytes, suffix: str) -> None:
    """Checks that a file can be a mesh of its format.

    Args:
        data: Content of the file.
        suffix: Ending of its name, in small letters, with the dot.

    Raises:
        InputError: It is empty or something else; the sentence lacks the file's name, which the caller knows.
    """
    if not data.strip():
        raise InputError("is empty; export or download it again")
    start = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, reason in _COMPRESSED.items():
        if data.startswith(magic):
            raise InputError(reason)
    for magic, reason in _OTHER.items():
        if start.startswith(magic):
            raise InputError(reason)
    for magic, real in _MAGIC.items():
        if data.startswith(magic) and suffix != real:
            zipped = real == ".3mf"
            raise InputError("is a zip archive; unpack it first: unzip FILE" if zipped else _renamed(suffix, real))
    if suffix == ".obj" and start.startswith(b"solid ") and b"facet" in data[:2000].lower():
        raise InputError(_renamed(suffix, ".stl"))
    if suffix != ".off" and start.startswith((b"off\n", b"off\r", b"coff\n", b"coff\r")):
        raise InputError(_renamed(suffix, ".off"))


def _renamed(suffix: str, real: str) -> str:
    return f"holds {real[1:].upper()}, not {suffix[1:].upper()}; rename it to end in {real}"


def check_commas(words: list[str]) -> None:
    """Raises InputError where a coordinate is written with a decimal comma.

    Args:
        words: Coordinates as a text file has them.
    """
    for word in words:
        before, comma, after = word.partition(",")
        if comma and before.lstrip("+-").isdigit() and after[:1].isdigit():
            raise InputError(f"has decimal commas ({word}); export it with decimal points")
