"""`python -m tests.messages`: rewrite the golden file of messages."""

from __future__ import annotations

from tests.messages import archives, golden, release, settings, stack_yaml, triton

SOURCES = (settings, stack_yaml, triton, archives, release)

if __name__ == "__main__":
    golden.GOLDEN.write_text(golden.text(SOURCES), encoding="utf-8")
