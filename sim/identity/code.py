"""What a class or a function does, as content: its own source, and that of the user's modules it stands in or imports.

Packages that ship here, and everything installed, count by name and version: what moves within them keeps its identity.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import sysconfig
import types
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SHIPPED = ("sim", "labeler", "plgp", "robot")  # top packages whose code counts by plgp's version
_INSTALLED = tuple(
    {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_KEPT = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def package_version(package: str) -> str:
    """Returns the version of an installed distribution.

    Of one that is only on the path it is the hash of its files, plgp's with all packages that ship here; of one that
    is not there "unknown".
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return _unversioned(package)


@cache
def _unversioned(package: str) -> str:
    content = hashlib.sha256()
    for name in SHIPPED if package in SHIPPED else (package,):
        spec = find_spec(name)
        if spec is None or (spec.origin is None and not spec.submodule_search_locations):
            return "unknown"
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        for path in sorted(p for f in folders for p in f.rglob("*.py")) or [Path(str(spec.origin))]:
            content.update(path.read_bytes())
    return f"of files {content.hexdigest()[:12]}"


def is_shipped(code: Any) -> bool:
    """Returns whether a class, a function or a module belongs to the packages that ship here."""
    return _module_name(code).partition(".")[0] in SHIPPED


def describe_code(code: Any) -> dict[str, str]:
    """Returns what a class or a function is: its name, and the hash of each source file of the user's that it needs.

    A shipped or installed one is its bare name and its distribution's version. One without any source, as in a console,
    is its bytecode. Layout and comments do not count.

    Args:
        code: Class or function.
    """
    module = _module_name(code)
    name = str(getattr(code, "__qualname__", type(code).__qualname__))
    if is_shipped(code):
        return {"name": name}
    if is_installed(sys.modules.get(module)):
        return {"name": f"{module}.{name}", "version": _distribution_version(module.partition(".")[0])}
    found = {"name": name} | {f"source of {m}": _tree_hash(m) for m in sorted(set(_local_modules(module, set())))}
    if len(found) == 1 or name.endswith("<lambda>"):
        found["code"] = hashlib.sha256(repr(list(_bytecode(code))).encode()).hexdigest()[:16]
    return found


def _module_name(code: Any) -> str:
    return str(code.__name__ if isinstance(code, types.ModuleType) else getattr(code, "__module__", None) or "builtins")


def _file(module: types.ModuleType | None) -> Path | None:
    """Returns the Python file of a module, or None for one that has none."""
    name = getattr(module, "__file__", None)
    path = Path(name).resolve() if name else None
    return path if path is not None and path.suffix == ".py" and path.is_file() else None


def is_installed(module: types.ModuleType | None) -> bool:
    """Returns whether a module belongs to Python or to an installed package."""
    if module is None:
        return False
    if getattr(module, "__file__", None) is None:
        return module.__name__ != "__main__"  # built in, or a folder of modules
    return any(folder in Path(str(module.__file__)).resolve().parents for folder in _INSTALLED)


@lru_cache
def _distribution_version(package: str) -> str:
    """Returns the version of the first distribution that brings a package; of Python's own "python".

    ``importlib.metadata.packages_distributions`` would take apart every distribution's list of files, which takes a
    second.
    """
    for found in distributions():
        if _brings(found, package):
            return package_version(found.metadata["Name"])
    return "python"


def _brings(found: Distribution, package: str) -> bool:
    declared = (found.read_text("top_level.txt") or "").split()
    if declared:
        return package in declared
    listed = found.read_text("RECORD")
    if listed is not None and package not in listed:
        return False
    return any(f.suffix == ".py" and package == (f.parts[0] if f.parts[1:] else f.stem) for f in found.files or ())


def _local_modules(name: str, seen: set[str]) -> Iterator[str]:
    """Yields the user's own modules that a module imports, itself first."""
    module = sys.modules.get(name)
    path = _file(module)
    if name in seen or path is None or name.partition(".")[0] in SHIPPED or is_installed(module):
        return
    seen.add(name)
    yield name
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            wanted = [start, *(f"{start}.{alias.name}" for alias in node.names)]
        else:
            continue
        for other in wanted:
            yield from _local_modules(other, seen)


def _tree(path: Path) -> ast.Module:
    """Returns a file's syntax; an empty one where it is no Python any more."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


def _tree_hash(name: str) -> str:
    """Returns the hash of a module's code without layout and comments; of a script only what it defines."""
    path = _file(sys.modules[name])
    tree = _tree(path) if path else ast.Module([], [])
    if name == "__main__":  # what a script does with its policy is no part of the policy
        tree.body = [node for node in tree.body if isinstance(node, _KEPT)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def _bytecode(code: Any) -> Iterator[str]:
    """Yields the instructions, names and constants of a function, or of a class's methods, in a fixed order."""
    if inspect.isclass(code):
        for key, member in sorted(vars(code).items()):
            inner = getattr(member, "__func__", getattr(member, "fget", member))
            if inspect.isfunction(inner):
                yield key
                yield from _bytecode(inner)
        return
    body = code if inspect.iscode(code) else getattr(code, "__code__", None)
    if body is None:
        return
    yield body.co_code.hex()
    yield repr(body.co_names)
    for constant in body.co_consts:
        yield from _bytecode(constant) if inspect.iscode(constant) else [repr(constant)]
