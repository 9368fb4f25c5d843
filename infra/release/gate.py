"""What a release must pass before SageMaker is asked for anything."""

from __future__ import annotations

from collections.abc import Sequence


class ReleaseRefused(Exception):
    """A gate kept a release or a deletion from beginning. The message has every problem with its way out."""

    def __init__(self, endpoint: str, problems: Sequence[str], what: str = "the release was not begun") -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"endpoint {endpoint}: {what}; nothing live was changed.\n{lines}")
        self.reason = problems[0]
