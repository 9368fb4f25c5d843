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

TOO_MANY = "x: [&a [1, 1, 1, 1, 1, 1, 1, 1], &b [*a, *a, *a, *a, *a, *a, *a, *a], &c [*b, *b, *b, *b, *b, *b, *b, *b],\
  &d [*c, *c, *c, *c, *c, *c, *c, *c], &e [*d, *d, *d, *d, *d, *d, *d, *d], &f [*e, *e, *e, *e, *e, *e, *e, *e]]\n"

EXAMPLES = [
    "config: [",
    "config:\n  aws:region: 'ap-northeast-1\n",
    "config:\n\taws:region: ap-northeast-1\n",
    "config:\n  aws:region ap-northeast-1\n  triton-sagemaker:environment: staging\n",
    "config:\n  aws:region: *anchor\n",
    'config:\n  aws:region: "\\hunter2"\n',
    "config:\n  aws:region: x\n---\nconfig:\n",
    "config:\n<<<<<<< HEAD\n  aws:region: ap-northeast-1\n",
    "- config\n",
    "config: 5\n",
    f"{SETTINGS}configg: {{}}\n",
    f"{SETTINGS}settings: 1\n",
    f"{SETTINGS}tags: {{}}\n",
    f"{SETTINGS}  region: us-east-1\n",
    f"{SETTINGS}  xyzzy: us-east-1\n",
    f"{SETTINGS}  aws:region: us-east-1\n",
    f"{SETTINGS}  triton-sagemaker:bucket: {{[1, 2]: 3}}\n",
    f"{SETTINGS}  triton-sagemaker:bucket: {{releasesKept:10}}\n",
    f"{SETTINGS}  triton-sagemaker:bucket: {{010: 10}}\n",
    f'{SETTINGS}  triton-sagemaker:bucket: {{name: "\\ud800"}}\n',
    f"{SETTINGS}  triton-sagemaker:bucket: &a {{name: *a}}\n",
    f"{TOO_MANY}{SETTINGS}  triton-sagemaker:bucket: [*f, *f, *f]\n",
    f"{SETTINGS}  triton-sagemaker:image: {{version: 2024-05-01}}\n",
    f"{SETTINGS}  triton-sagemaker:bucket: {{releasesKept: 010}}\n",
    f"{SETTINGS}  triton-sagemaker:bucket: {{releasesKept: .inf}}\n",
    f"{SETTINGS}  triton-sagemaker:bucket: {{releasesKept: 1{'0' * 308}}}\n",
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
