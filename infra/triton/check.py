"""What keeps Triton from serving a model repository on SageMaker, found before anything is deployed.

The rules are those of Triton's core, of its Python backend, and of `docker/sagemaker/serve`, which starts Triton with
explicit model control: it loads the default model, the models of its steps and those of `--load-model`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

from infra.aws.hardware import Hardware
from infra.diagnostics.problem import Problem
from infra.triton import (
    config_rules,
    ensemble,
    ensemble_tensors,
    file_rules,
    instance_rules,
    repository_rules,
    sequence_rules,
    tensor_rules,
)
from infra.triton.deployment import Deployment
from infra.triton.listing import Listing
from infra.triton.model import Model
from infra.triton.rule import MODEL_RULES, REPOSITORY_RULES, Finding, Rule

RULE_MODULES = (
    config_rules,
    tensor_rules,
    sequence_rules,
    instance_rules,
    file_rules,
    ensemble,
    ensemble_tensors,
    repository_rules,
)
"""Their import registers the rules."""

RULES: tuple[Rule, ...] = tuple(sorted({*MODEL_RULES, *REPOSITORY_RULES}, key=lambda rule: rule.id))
"""Every rule."""

REPOSITORY = "."
"""The `file` of a problem of the repository as a whole."""

MAX_OF_A_RULE = 1000
"""Findings of one rule about one model: each step of an ensemble may lack each input of its model."""

_CONFIG_RULES = frozenset({"config-syntax", "config-size", "byte-order-mark"})
"""The rules about a configuration that does not parse, which hides everything else about the model."""


def check_repository(
    listing: Listing,
    default_model: str | None,
    *,
    hardware: Hardware | None = None,
    environment: Mapping[str, str] | None = None,
    image: str | None = None,
) -> list[Problem]:
    """What Triton rejects (errors), and what it ignores or the check cannot see (warnings), by file and line.

    Args:
        listing: the repository on disk or in an archive.
        default_model: the model that answers; without it `serve` loads the only top directory.
        hardware: such as `ml.g5.xlarge`; None if it is not known.
        environment: the container's environment variables.
        image: the tag of the image, such as `24.09-py3`; None if it is not known.
    """
    models = {name: Model.read(listing, name) for name in listing.model_names}
    deployment = Deployment(listing, models, default_model, environment, hardware, image)
    problems: set[Problem] = set()
    for rule, repository_check in REPOSITORY_RULES.items():
        findings = islice(repository_check(deployment), MAX_OF_A_RULE)
        problems |= {_problem(rule, finding, REPOSITORY, None) for finding in findings}
    for model in models.values():
        problems |= set(_check_model(model, deployment))
    return sorted(problems, key=lambda problem: (str(problem.file), problem.line or 0, problem.rule, problem.message))


def _check_model(model: Model, deployment: Deployment) -> Iterator[Problem]:
    for rule, check in MODEL_RULES.items():
        if (model.unparsed or model.byte_order_mark) and rule.id not in _CONFIG_RULES:
            continue
        for finding in islice(check(model, deployment), MAX_OF_A_RULE):
            placed = finding.at and model.configured
            problem = _problem(rule, finding, model.config_file if placed else model.name, model)
            yield problem if model.name in deployment.loaded else replace(problem, severity="warning")


def _problem(rule: Rule, finding: Finding, file: str, model: Model | None) -> Problem:
    line = model.line(finding.at) if model and finding.at and model.configured else finding.line
    severity = finding.severity or rule.severity
    return Problem(rule.id, f"{finding.text}. {rule.remedy}.", severity, file=finding.file or file, line=line)
