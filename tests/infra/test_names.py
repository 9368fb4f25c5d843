"""Names that Pulumi completes are of one stack, and such that AWS accepts them however the stack is called."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from infra import names
from infra.settings.bucket import BucketSettings
from infra.settings.image import ImageSettings
from infra.settings.role import RoleSettings
from tests.infra.mock_runtime import run, stack_file

STACKS = ["dev", "Staging", "dev_", "A.B_c", "_", "a--b", "x" * 100, f"{'x' * 39}-y", "0"]


@pytest.mark.parametrize("stack", STACKS)
def test_a_default_name_is_one_that_aws_accepts(stack: str) -> None:
    part = names.of_stack(stack)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", part)
    assert len(part) <= names.MAX_STACK
    BucketSettings.model_validate({"name": f"{names.bucket(stack)}-1a2b3c4"})
    RoleSettings.model_validate({"name": f"{names.execution_role(stack)}-1a2b3c4"})
    for production in (True, False):
        ImageSettings.model_validate({"repository": names.repository(stack, production)})


def test_two_stacks_never_share_a_name() -> None:
    alike = [*STACKS, "staging", "a.b_c", "A.b_c", "dev", "dev-", "a-b", "x" * 99]
    assert len({names.of_stack(stack) for stack in alike}) == len(set(alike))


def test_a_name_that_is_valid_already_stays_readable() -> None:
    assert names.bucket("dev") == "models-dev"
    assert names.repository("dev", production=False) == "sagemaker-tritonserver-dev"


@pytest.mark.parametrize("other", ["prod", "dev-eu", "dev-eu-west", "de", "dev2"])
def test_the_pattern_of_a_stack_fits_no_name_of_another(other: str) -> None:
    for name in (names.bucket, names.execution_role):
        assert fnmatchcase(f"{name('dev')}-1a2b3c4", name("dev") + names.AUTONAMED)
        assert re.fullmatch(name("dev") + names.AUTONAMED_REGEX, f"{name('dev')}-1a2b3c4")
        assert not fnmatchcase(f"{name(other)}-1a2b3c4", name("dev") + names.AUTONAMED)


def test_bucket_and_role_are_named_after_the_stack_unless_the_settings_name_them() -> None:
    given = stack_file("dev") | {"triton-sagemaker:bucket": {"name": "ours"}, "triton-sagemaker:role": {"name": "ours"}}
    for kind, default in ((":Bucket", "models-dev"), (":Role", "execution-role-dev")):
        unnamed, named = run("dev").one(kind), run("dev", given).one(kind)
        assert (unnamed.name, named.name) == (default, default.removesuffix("-dev"))
        assert unnamed.aliases == [named.name]
        assert named.aliases == [unnamed.name]
