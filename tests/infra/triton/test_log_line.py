"""The severity of a log line, and its message without the time."""

from __future__ import annotations

import pytest

from infra.triton.log_line import LogLine


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ('I1128 09:00:00.123456 7 server.cc:12] "started"', "info", 'server.cc:12] "started"'),
        ("W1128 09:00:00.123456 7 a.cc:1] slow", "warning", "a.cc:1] slow"),
        ("E1128 09:00:00.123456 7 model.cc:3] failed", "error", "model.cc:3] failed"),
        ("ERROR: SAGEMAKER_TRITON_DEFAULT_MODEL_NAME", "error", "ERROR: SAGEMAKER_TRITON_DEFAULT_MODEL_NAME"),
        ("Traceback (most recent call last):", "error", "Traceback (most recent call last):"),
        ("+---+", "", "+---+"),
        ("INFO of a model", "", "INFO of a model"),
    ],
)
def test_triton_begins_a_line_with_its_severity(line: str, level: str, message: str) -> None:
    assert LogLine.of(line) == LogLine(level, message)  # type: ignore[arg-type]
