"""Text of stack files: each example is a file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from infra.cli.validate import check
from tests.messages.golden import ROOT, Example

TITLE = "Stack files"

SETTINGS = """\
config:
  aws:region: ap-northeast-1
  triton-sagemaker:environment: staging
  triton-sagemaker:tags: {CostEnv: staging, CostService: ranking}
  triton-sagemaker:endpoints:
    ranking: {model: {artifact: artifacts/model_7.tar.gz}}
"""

EXAMPLES = [
    "config: [",
    "config:\n  aws:region: 'ap-northeast-1\n",
    "config:\n\taws:region: ap-northeast-1\n",
    "- config\n",
    "config: 5\n",
    f"{SETTINGS}configg: {{}}\n",
    f"{SETTINGS}  region: us-east-1\n",
    f"{SETTINGS}  aws:region: us-east-1\n",
    f"{SETTINGS}  triton-sagemaker:image: {{version: 2024-05-01}}\n",
    f"{SETTINGS}  triton-sagemaker:bucket: {{releasesKept: 010}}\n",
    f"{SETTINGS}  triton-sagemaker:bucket: {{releasesKept: {{secure: v1:abc}}}}\n",
    f"{SETTINGS}  triton-sagemaker:secretEnvironment: {{ranking: {{KEY: {{secure: hunter2}}}}}}\n",
    f"environment: [aws/staging]\n{SETTINGS}",
]
"""Each a file's text with a problem."""


def examples() -> Iterator[Example]:
    """Every example with its problems."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "Pulumi.dev.yaml"
        shutil.copy(ROOT / "Pulumi.yaml", directory)
        for text in EXAMPLES:
            file.write_text(text, encoding="utf-8")
            problems = (replace(problem, file=file.name) for problem in check(file))
            yield Example(text.replace(SETTINGS, "config:\n  …\n").replace("\t", "→"), tuple(problems))
