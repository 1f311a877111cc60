"""The progress of a generation: images per second, time left, failures."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sim.cli.progress import format_seconds

_LINE_SECONDS = 30  # seconds between progress lines where there is no terminal


class SceneProgress:
    """A bar with images per second and time left; plain lines now and then where there is no terminal."""

    def __init__(self, name: str, scenes: int, done: int, *, console: Console) -> None:
        """Sets the bar up.

        Args:
            name: Name of the data set.
            scenes: Number of its scenes.
            done: Number of scenes that are there already.
            console: Where the progress is shown.
        """
        self.console, self.scenes, self.found = console, scenes, done
        self.made, self.images, self.labels = 0, 0, 0
        self.start = self.last_line = time.monotonic()
        self.bar = Progress(
            TextColumn(f"[bold]{name}[/] {{task.completed:.0f}}/{{task.total:.0f}} scenes"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=scenes, completed=done, rate="")

    def __enter__(self) -> SceneProgress:
        """Starts the bar."""
        if self.found:
            self.console.print(f"{self.found} of {self.scenes} scenes are already there")
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves a last line if anything was made."""
        self.bar.stop()
        if self.made:
            self.console.print(self._line())

    def show(self, images: int, labels: int, failure: str = "") -> None:
        """Counts one more scene; ``failure`` is printed as it is."""
        self.made, self.images, self.labels = self.made + 1, self.images + images, self.labels + labels
        self.bar.update(self.task, completed=self.found + self.made, rate=self._rate())
        if failure:
            self.console.print(failure, style="yellow", markup=False, highlight=False)
        if not self.console.is_terminal and time.monotonic() - self.last_line > _LINE_SECONDS:
            self.last_line = time.monotonic()
            self.console.print(self._line())

    def _line(self) -> str:
        return f"{self.found + self.made}/{self.scenes} scenes, {self._rate()}"

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self.start, 1e-9)
        parts = [f"{self.images / seconds:.2f} images/s"]
        if self.images:
            parts.append(f"{self.labels / self.images:.0f} labels an image")
        left = self.scenes - self.found - self.made
        if self.made and left:
            parts.append(f"{format_seconds(seconds * left / self.made)} left")
        return ", ".join(parts)
