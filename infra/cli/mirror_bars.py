"""The progress of a copy on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from infra.image.copy import Progress


class LayerBars(AbstractContextManager[Callable[[Progress], None]]):
    """A bar for each layer in progress, and one for the image.

    Args:
        total: bytes of the image.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Bars(*columns, console=console or Console(stderr=True), transient=True)
        self._image = self._bars.add_task("image", total=total)
        self._started = False
        self._layers: dict[str, TaskID] = {}

    def __enter__(self) -> Callable[[Progress], None]:
        self._bars.start()
        return self.show

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, progress: Progress) -> None:
        """Show the bytes of a layer, and of the image."""
        if not self._started:  # the rate counts only what this copy sends
            self._bars.reset(self._image, completed=progress.bytes_done, total=progress.bytes_total)
            self._started = True
        layer = progress.layer
        if layer.digest not in self._layers:
            name = layer.digest.removeprefix("sha256:")[:12]
            self._layers[layer.digest] = self._bars.add_task(name, total=layer.size, completed=progress.layer_bytes)
        bar = self._layers[layer.digest]
        done = progress.layer_bytes >= layer.size
        self._bars.update(bar, completed=progress.layer_bytes, visible=not done)
        layers = f"{progress.layers_done} of {progress.layers} layers"
        self._bars.update(self._image, completed=progress.bytes_done, description=layers)
