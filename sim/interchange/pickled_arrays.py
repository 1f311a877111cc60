"""NumPy archives that hold Python objects, read without running any code.

``numpy.savez`` pickles dictionaries, as Contact-GraspNet's results do, and unpickling a stranger's file can run
anything. The reader below allows arrays, numbers, text, lists and dictionaries, and refuses the rest.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that builds arrays and plain containers only."""

    def find_class(self, module: str, name: str) -> Any:
        """Returns one of the few names that arrays are pickled with; raises UnpicklingError for others."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def read_archive(path: str | Path) -> dict[str, Any]:
    """Returns what an npz file holds, each name's array, or its object where one was pickled.

    Args:
        path: The npz file.

    Raises:
        InputError: The file is missing, broken, or holds objects other than arrays and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file at '{path}'; give another path")
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _read_array(archive.read(name)) for name in archive.namelist()}
    except Exception as error:  # a broken zip, header or pickle raises whatever the damage leads to
        first = (str(error).splitlines() or [""])[0][:120]
        raise InputError(f"'{path}' cannot be read ({type(error).__name__}: {first}); give a sound npz file") from None


def read_pickle(path: str | Path) -> Any:
    """Returns what an npy file holds: its array, or the object that was pickled.

    Args:
        path: The npy file.

    Raises:
        InputError: The file is missing, broken, or holds objects other than arrays and plain containers.
    """
    try:
        return _read_array(Path(path).read_bytes())
    except Exception as error:  # a broken header or pickle raises whatever the damage leads to
        first = (str(error).splitlines() or [""])[0][:120]
        raise InputError(f"'{path}' cannot be read ({type(error).__name__}: {first}); give a sound npy file") from None


def _read_array(content: bytes) -> Any:
    """Returns the array of an npy file's bytes, or the object that a pickled scalar array holds."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if not dtype.hasobject:
        stream.seek(0)
        return np.load(stream, allow_pickle=False)
    array = _ArrayUnpickler(stream).load()
    return array.item() if isinstance(array, np.ndarray) and shape == () else array
