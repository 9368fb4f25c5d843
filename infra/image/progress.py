"""The progress of a copy in words: for CI and for `pulumi up`."""

from __future__ import annotations

import time
from collections.abc import Callable

from infra.diagnostics.size import decimal_size
from infra.image.copy import CopiedImage, CopyPlan, Progress, size
from infra.image.layer import Protocol

LINE_SECONDS = 30.0
"""Between two lines, if no tenth of the image passes."""


class ProgressLines:
    """A line for each tenth of the image, and in between a line that is outdated soon.

    Args:
        write: called with a line that stays.
        write_ephemeral: called with a line that the next one replaces, where that is possible.
    """

    def __init__(self, write: Callable[[str], None], write_ephemeral: Callable[[str], None]) -> None:
        self._write = write
        self._write_ephemeral = write_ephemeral
        self._first: Progress | None = None
        self._began = self._last = time.monotonic()
        self._tenth = 0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = progress, now
            self._tenth = _tenth(progress)
        elif _tenth(progress) > self._tenth:
            self._tenth = _tenth(progress)
            self._write(self._line(progress, now))
        elif now - self._last >= LINE_SECONDS:
            self._write_ephemeral(self._line(progress, now))
        else:
            return
        self._last = now

    def _line(self, progress: Progress, now: float) -> str:
        assert self._first is not None
        rate = max(0.0, (progress.bytes_done - self._first.bytes_done) / max(now - self._began, 0.001))
        left = f", {duration((progress.bytes_total - progress.bytes_done) / rate)} left" if rate else ""
        percent = progress.bytes_done * 100 // max(progress.bytes_total, 1)
        return (
            f"image: {percent} % of {decimal_size(progress.bytes_total)}, {progress.layers_done} of {progress.layers} "
            f"layers, {rate / 1e6:.1f} MB/s{left}"
        )


def planned(plan: CopyPlan) -> str:
    """What a copy will do."""
    blobs = plan.image.manifest.blobs
    rewritten = "" if plan.image.original.body == plan.image.manifest.body else ", its manifest as Docker schema 2"
    image = f"{plan.image.reference} ({plan.image.platform}{rewritten})"
    if plan.is_done:
        return f"{plan.destination} names the image of {image} already: {plan.uri}"
    moved = f", and moves the tag from {plan.tagged}" if plan.tagged else ""
    return (
        f"{plan.destination} will name the image of {image}: copies {len(plan.missing)} of {len(blobs)} layers, "
        f"{decimal_size(size(plan.missing))} of {decimal_size(size(blobs))}{moved}"
    )


def copied(image: CopiedImage) -> str:
    """What a copy did, and by which protocols."""
    if not image.bytes_copied:
        return f"{image.source} is mirrored as {image.uri}; it existed already"
    by = " and ".join(f"{image.protocols[by]} layers through {by}" for by in Protocol if image.protocols[by])
    done = f"{decimal_size(image.bytes_copied)} of {decimal_size(image.bytes_total)} copied, {by}"
    return f"{image.source} is mirrored as {image.uri}; {done}"


def duration(seconds: float) -> str:
    """`1:02:03`, `2:03`"""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _tenth(progress: Progress) -> int:
    return progress.bytes_done * 10 // max(progress.bytes_total, 1)
