"""Model repositories: for each rule the first repository of the corpus that it finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.triton.check import check_repository
from tests.infra.triton.corpus import BASES, CASES, PLAIN, STEP_MODELS, Case, Files, listing, python
from tests.messages.golden import Example

TITLE = "Model repositories"

ARGUMENTS = {"environment": {"SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--load-model=helper"}}
SMALL_SHM: dict[str, Any] = {"environment": {"SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE": "2097152"}}
OTHERS: tuple[tuple[str, Files, dict[str, Any]], ...] = (
    ("backend-not-in-image", {"m/config.pbtxt": 'backend: "vllm"', "m/1/model.json": ""}, {"image": "24.09-py3"}),
    (
        "batch-strategy",
        python(f'{PLAIN} sequence_batching {{ }} parameters {{ key: "TRITON_BATCH_STRATEGY_PATH" value {{ }} }}'),
        {},
    ),
    ("config-at-top", {"config.pbtxt": "", "1/model.py": ""}, {}),
    (
        "growable-memory",
        python(
            f'{PLAIN} sequence_batching {{ state {{ input_name: "i" output_name: "o" data_type: TYPE_FP32 dims: 2 '
            "use_growable_memory: true } }"
        ),
        {},
    ),
    ("load-model", python(PLAIN), ARGUMENTS),
    ("no-model", {"README.md": ""}, {}),
    ("not-loaded", python(PLAIN) | python(PLAIN, "other"), {}),
    ("repository-agent", python(f'{PLAIN} model_repository_agents {{ agents {{ name: "decrypt" }} }}'), {}),
    ("shm-size", python(PLAIN), SMALL_SHM | {"image": "22.12-py3"}),
    ("stray-directory", python(PLAIN) | {"docs/readme.txt": ""}, {}),
    ("template-leftover", python(f'{PLAIN} metric_tags {{ key: "team" value: "${{team}}" }}'), {}),
    ("version-ignored", python(PLAIN) | {"m/v2/model.py": ""}, {}),
    ("version-policy", python(f"{PLAIN} version_policy {{ specific {{ versions: [ 1, 2 ] }} }}"), {}),
    ("wrapping-directory", {f"models/{path}": text for path, text in python(PLAIN).items()}, {}),
)
"""Warnings and layouts, which the corpus does not have."""


def examples() -> Iterator[Example]:
    """Every example with its problems."""
    cases = [*CASES, *(Case(rule, rule, files, files, target) for rule, files, target in OTHERS)]
    for rule in sorted({case.rule for case in cases}):
        case = next(case for case in cases if case.rule == rule)
        problems = check_repository(listing(case.broken), case.default_model, **case.target)
        yield Example(_written(case), tuple(problem for problem in problems if problem.rule == rule))


def _written(case: Case) -> str:
    """The configurations without what all have in common, or the files if those are unusual."""
    written = []
    for path, content in sorted(case.broken.items()):
        for base in sorted((*BASES.values(), *STEP_MODELS.values()), key=len, reverse=True):
            content = content.replace(base, "")
        if path.endswith("config.pbtxt") and content.strip():
            written.append(f"{path}\n    {' '.join(content.split())}")
    return "\n".join(written) or "\n".join(sorted(case.broken))
