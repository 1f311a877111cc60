"""How far long work is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")
_LINE_SECONDS = 30  # seconds between lines where there is no terminal


def followed(items: Iterable[T], what: str, total: int, *, quiet: bool = False) -> Iterator[T]:
    """Yields items, and shows on standard error how many are done, at which rate, and how long the rest takes.

    Args:
        items: The items.
        what: What they are, in the plural.
        total: Number of items.
        quiet: Whether to show nothing.
    """
    console = Console(stderr=True, quiet=quiet)
    if console.is_terminal:
        yield from track(items, what, total=total, console=console, transient=True)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last > _LINE_SECONDS:
            last, rate = now, done / (now - start)
            left = f", {format_seconds((total - done) / rate)} left" if done < total else ""
            console.print(f"{done}/{total} {what}, {60 * rate:.3g} a minute{left}", markup=False, highlight=False)


def format_seconds(seconds: float) -> str:
    """Returns a duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
