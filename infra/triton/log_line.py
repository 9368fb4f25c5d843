"""A line of a container's log: its severity, and the message without the time that CloudWatch keeps too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Level = Literal["", "info", "warning", "error"]

TRITON_LINE = re.compile(r"^(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d(\.\d+ +\d+)? ?")
"""Triton's lines begin with a severity letter, month and day, the time and the process
(https://github.com/triton-inference-server/common, src/logging.cc)."""

_LEVELS: dict[str, Level] = {"I": "info", "W": "warning", "E": "error", "F": "error"}

OTHER_ERRORS = ("ERROR", "error:", "exec ", "Traceback (")
"""How the errors of the image's `serve` script, of Triton's exit, of the kernel and of Python begin."""

EXCERPT_LINES = 12
"""Lines of a log that an error shows."""


def is_table(line: str) -> bool:
    """Whether a line belongs to one of the tables of models and options that Triton logs at its start."""
    return line.startswith(("|", "+-"))


@dataclass(frozen=True)
class LogLine:
    """
    Attributes:
        level: empty for a line without one, such as a line of a traceback or of a table.
    """

    level: Level
    message: str

    @classmethod
    def of(cls, line: str) -> LogLine:
        """Read a line."""
        if match := TRITON_LINE.match(line):
            return cls(_LEVELS[match["level"]], line[match.end() :])
        return cls("error" if line.startswith(OTHER_ERRORS) else "", line)
