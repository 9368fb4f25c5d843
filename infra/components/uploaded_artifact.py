"""The check of an uploaded artifact before it is released, in previews too.

The engine runs it for a copy that it is about to create or update: for each new version of the artifact. The check runs
in the program, so that the environment of the container, which may hold secrets, does not become part of the state.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi

from infra import cache, triton
from infra.aws.errors import AwsRequestRefused
from infra.aws.s3_object import S3Object
from infra.aws.session import AwsSession
from infra.components.context import stack_config
from infra.diagnostics.printable import printable
from infra.diagnostics.problem import Problem
from infra.dynamic.engine import Tenths
from infra.dynamic.provider import UNKNOWN
from infra.dynamic.released_artifact import current_version, released_key
from infra.dynamic.released_object import head
from infra.errors import UserError
from infra.triton.artifact import ArtifactTarget, check_artifact
from infra.triton.check import REPOSITORY

REPORTED_BYTES = 100_000_000
"""The reading of a larger artifact is reported at every tenth."""


class ArtifactRejected(UserError):
    """SageMaker or Triton would reject the artifact."""


def checked(name: str, target: ArtifactTarget | None) -> pulumi.ResourceHookBinding | None:
    """The check for the resource of that name; None without a target."""
    if target is None:
        return None

    async def check(hook: pulumi.ResourceHookArgs) -> None:
        await asyncio.to_thread(require_valid, AwsSession(stack_config()).client("s3"), hook.new_inputs or {}, target)

    hook = pulumi.ResourceHook(f"the artifact of {name} is valid", check, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])


def require_valid(s3: Any, inputs: Mapping[str, Any], target: ArtifactTarget) -> None:
    """Check the version that would be released, unless it was released or checked before; log warnings.

    Args:
        inputs: of the `ReleasedArtifact`.

    Raises:
        ArtifactRejected: the artifact has errors.
        AwsRequestRefused: it cannot be read.
    """
    bucket, artifact = inputs["bucket"], inputs["artifact"]
    version = None if bucket == UNKNOWN else current_version(s3, bucket, artifact)
    if version is None or head(s3, bucket, released_key(inputs["prefix"], artifact, version)):
        return
    source = S3Object.find(s3, bucket, artifact)
    identity = _identity(version, source, target)
    if cache.recall("checked", source.url) == identity:
        return
    tenths = Tenths()

    def show_progress(done: int, total: int) -> None:
        if total > REPORTED_BYTES and (percent := tenths.passed(done, total)):
            pulumi.log.info(f"checking {artifact}: read {percent} % of {total / 1e9:.1f} GB")

    try:
        problems = check_artifact(source, target, show_progress)
    except AwsRequestRefused as error:
        way_out = "Allow s3:GetObject, and kms:Decrypt of its key, or set `checkArtifact: false`"
        raise AwsRequestRefused(f"{error}. The check reads the artifact. {way_out}.") from None
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        lines = "".join(f"\n  {_line(problem)}" for problem in errors)
        raise ArtifactRejected(f"artifact {artifact} would fail to deploy; nothing was released:{lines}")
    for problem in problems:
        pulumi.log.warn(f"artifact {artifact}: {_line(problem)}")
    cache.remember("checked", source.url, identity)


def _identity(version: str, source: S3Object, target: ArtifactTarget) -> str:
    """What the outcome depends on. Of the environment only what configures Triton: the rest may hold secrets."""
    rules = b"".join(file.read_bytes() for file in sorted(Path(triton.__file__).parent.glob("*.py")))
    options = {name: value for name, value in (target.environment or {}).items() if name.startswith("SAGEMAKER_")}
    identity = version, source.etag, target.default_model, target.hardware, target.image, sorted(options.items())
    return hashlib.sha256(rules + repr(identity).encode()).hexdigest()


def _line(problem: Problem) -> str:
    place = "" if problem.file == REPOSITORY else f"{problem.position}: "
    return printable(f"{place}{problem.message} [{problem.rule}]")
