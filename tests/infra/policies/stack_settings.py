"""Settings of a stack that policies are printed for."""

from __future__ import annotations

from typing import Any

from infra.policies.stack_names import StackNames
from infra.settings.load import load
from infra.settings.stack import Settings
from tests.infra.mock_runtime import ACCOUNT, stack_file, texts

TOPIC = f"arn:aws:sns:ap-northeast-1:{ACCOUNT}:releases"
KEY = f"arn:aws:kms:ap-northeast-1:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def settings(stack: str = "prod", **sections: Any) -> Settings:
    """Those of a stack file with some sections replaced."""
    config = stack_file(stack) | {f"triton-sagemaker:{key}": value for key, value in sections.items()}
    return load(texts(config), "triton-sagemaker")


def names(stack: str = "prod", also: tuple[str, ...] = (), **sections: Any) -> StackNames:
    """The names that the policies of that stack are narrowed to."""
    sections = {"notifications": {"topicArn": TOPIC}, **sections}
    return StackNames(settings(stack, **sections), stack, "aws", ACCOUNT, also)
