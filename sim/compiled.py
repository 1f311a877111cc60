"""Numba as every kernel of this project uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compiles a kernel: cached on disk, free of the interpreter's lock, indices unchecked.

    A kernel never uses numba's own threads. Python threads run kernels side by side instead: they need
    no barriers, and they leave nothing behind that a fork could trip over.
    """
    return cast(Kernel, njit(cache=True, nogil=True, boundscheck=False)(function))


def uncounted(function: Kernel) -> Kernel:
    """Compiles a kernel that makes no array and counts no references, into each kernel that calls it.

    Numba counts each array that a function is handed or cuts out of another, with atomic operations: in short functions
    they take longer than the work. Who calls such a kernel holds its arrays meanwhile.
    """
    options: dict[str, Any] = {"_nrt": False}  # numba's own tests set it, its documentation is silent about it
    return cast(Kernel, njit(cache=True, nogil=True, boundscheck=False, forceinline=True, **options)(function))
