"""`python -m tests.messages`: rewrite the golden file of messages."""

from __future__ import annotations

from tests.messages import archives, commands, deployments, golden, images, release, settings, stack_yaml, triton

SOURCES: tuple[golden.Source, ...] = (
    settings,
    stack_yaml,
    triton,
    archives,
    release,
    deployments,
    images,
    *commands.SECTIONS,
)

if __name__ == "__main__":
    golden.GOLDEN.write_text(golden.text(SOURCES), encoding="utf-8")
