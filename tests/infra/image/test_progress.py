"""The progress of a copy in words."""

from __future__ import annotations

import pytest

from infra.image.copy import Progress
from infra.image.manifest import DOCKER_LAYER, Descriptor
from infra.image.progress import ProgressLines, duration

LAYER = Descriptor(DOCKER_LAYER, "sha256:" + "a" * 64, 1000)


def test_tenths_stay_and_what_is_between_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    lines: list[str] = []
    ephemeral: list[str] = []
    report = ProgressLines(lines.append, ephemeral.append)
    for second, done in [(0, 0), (30, 60_000_000), (49, 70_000_000), (50, 200_000_000), (51, 210_000_000)]:
        now[0] = second
        report(Progress(LAYER, 1, done, 1_000_000_000, 3, 12))
    assert ephemeral == ["image: 6 % of 1.0 GB, 3 of 12 layers, 2.0 MB/s, 7:50 left"]
    assert lines == ["image: 20 % of 1.0 GB, 3 of 12 layers, 4.0 MB/s, 3:20 left"]


def test_the_rate_is_of_this_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    lines: list[str] = []
    report = ProgressLines(lines.append, lambda _: None)
    report(Progress(LAYER, 1, 500, 1000, 3, 12))
    now[0] = 100.0
    report(Progress(LAYER, 1, 500, 1000, 3, 12))
    report(Progress(LAYER, 1, 600, 1000, 3, 12))
    assert lines == ["image: 60 % of 1.0 kB, 3 of 12 layers, 0.0 MB/s, 6:40 left"]


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (3599.6, "1:00:00"), (3723, "1:02:03")])
def test_a_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
