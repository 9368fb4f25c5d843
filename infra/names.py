"""The names that the program gives, and the IAM patterns of those that Pulumi completes."""

from __future__ import annotations

import hashlib
import re

AUTONAMED = "-???????"
"""What Pulumi adds to the name of a resource in the program, as an IAM pattern: a hyphen and 7 hexadecimal digits
(Pulumi docs, Resource names, Autonaming)."""

MAX_STACK = 40
"""Characters that a stack contributes to a name: `execution-role-<stack>-1a2b3c4` fits in the 64 of an IAM role (API
`roleNameType`), `models-<stack>-1a2b3c4` in the 63 of a bucket."""

_BUCKET, _EXECUTION_ROLE, _REPOSITORY = "models", "execution-role", "sagemaker-tritonserver"


def of_stack(stack: str) -> str:
    """A stack's name as a part of other names: lower-case letters, digits and single hyphens, at most `MAX_STACK`
    characters, which S3, ECR and IAM all accept. Pulumi accepts more (`Staging`, `A.B_c`, 100 characters): such a name
    is changed, and ends in a digest of the original, so that no two stacks have the same part."""
    plain = re.sub(r"[^a-z0-9]+", "-", stack.lower()).strip("-")
    if plain == stack and len(stack) <= MAX_STACK:
        return stack
    digest = hashlib.sha256(stack.encode()).hexdigest()[:7]
    return f"{plain[: MAX_STACK - 8].strip('-')}-{digest}".lstrip("-")


def bucket(stack: str) -> str:
    """What Pulumi makes the model bucket's name of, where the settings give none."""
    return f"{_BUCKET}-{of_stack(stack)}"


def execution_role(stack: str) -> str:
    """What Pulumi makes the execution role's name of, where the settings give none."""
    return f"{_EXECUTION_ROLE}-{of_stack(stack)}"


def repository(stack: str, production: bool) -> str:
    """The ECR repository, where the settings give none. Stacks that share an account do not share a repository, unless
    their settings say so."""
    return _REPOSITORY if production else f"{_REPOSITORY}-{of_stack(stack)}"


def log_group(endpoint: str) -> str:
    """Where the containers' logs are (SageMaker guide, Log groups and streams that Amazon SageMaker AI sends to
    CloudWatch Logs)."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"
