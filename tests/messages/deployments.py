"""Deployments: what `pulumi up` refuses before a release, other than by rules of the settings."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from infra.cli.stack_file import StackFile
from infra.components import existing, metric_stream
from infra.components.execution_role import require_account
from infra.components.uploaded_artifact import require_valid
from infra.cost import limit
from infra.cost.estimate import estimate
from infra.cost.price_list import PriceList
from infra.dynamic.packed_model import _pack
from infra.dynamic.released_artifact import ReleasedArtifactProvider
from infra.dynamic.stack_guard import StackGuardProvider
from infra.triton.artifact import ArtifactTarget
from tests.infra.cost.products import dashboard, flat
from tests.infra.triton.archives import archive, member
from tests.messages.account import STACK, Account, refusal
from tests.messages.golden import Example

TITLE = "Deployments"

ARTIFACT = {"bucket": "sagemaker-models", "artifact": "artifacts/model_7.tar.gz", "prefix": "models/ranking/"}
GUARD: dict[str, Any] = {
    "project": "triton-sagemaker",
    "stack": "prod",
    "production": True,
    "bucket": "sagemaker-models",
    "repository": "triton",
    "endpoints": {"ranking": ["AllTraffic"]},
    "modes": {"ranking": "real time"},
}


class _Hooks:
    """In place of the engine's: the check that a hook calls."""

    def __init__(self, _name: str, check: Callable[[object], object], *_: object) -> None:
        self.check = check


def _check(binding: Any) -> Callable[[], object]:
    return lambda: binding.before_create[0].check(None)


def _artifacts(**answers: Any) -> ReleasedArtifactProvider:
    """A provider whose S3 has no such object."""
    with Account.made(**answers) as account:
        provider = ReleasedArtifactProvider()
        provider.client = lambda *_: account.client()  # type: ignore[method-assign]
        return provider


def _cases(account: Account) -> Iterator[tuple[str, Callable[[], object]]]:
    artifacts, client = _artifacts(), account.client()
    uploaded = {**ARTIFACT, "artifact": "artifacts/model_6.tar.gz"}
    yield "model: {artifact: artifacts/model_7.tar.gz}, not uploaded", lambda: artifacts.create(ARTIFACT)
    yield "the same at a later release", lambda: artifacts.diff("id", uploaded, ARTIFACT)
    bad = archive(member("models/iris/config.pbtxt", b'name: "iris"'), member("models/iris/1/model.py"))
    found = {"ContentLength": len(bad), "ETag": '"1"', "VersionId": "1"}
    missing = refusal("HeadObject", "404", "Not Found")
    account.answers |= {
        "head_object": lambda Bucket, Key: found if Key == ARTIFACT["artifact"] else _raise(missing),
        "get_object": lambda **_: {"Body": io.BytesIO(bad)},
    }
    yield "model_7.tar.gz with a directory around its models", lambda: require_valid(client, ARTIFACT, ArtifactTarget())
    account.answers["get_object"] = refusal("GetObject", "AccessDenied", "Access Denied")
    yield "an artifact that the deployer may not read", lambda: require_valid(client, ARTIFACT, ArtifactTarget())
    props = {"path": str(account.directory / "models"), "digest": "0" * 64}
    yield "models that change during `pulumi up`", lambda: _pack(props, account.directory / "model.tar.gz")

    account.answers |= {"head_bucket": {}, "describe_repositories": {}, "get_role": {}}
    for named in (existing.BUCKET, existing.REPOSITORY, existing.ROLE):
        yield f"{named.name_key}: triton, which exists", _check(existing.refused(named, "triton"))
    forbidden = {"head_bucket": refusal("HeadBucket", "403", "Forbidden")}
    yield "bucket.name: models, of another account", lambda: _with(account, forbidden, existing.BUCKET)

    role = "arn:aws:iam::210987654321:role/triton"
    yield f"role.arn: {role}", lambda: require_account(role, "123456789012")
    yield "adopt.bucket: true, of a bucket in another region", lambda: _adopted("us-east-1")
    missing_bucket = RuntimeError("reading S3 Bucket (models): couldn't find resource")
    yield "adopt.bucket: true, of a bucket that does not exist", lambda: _adopted(lambda: _raise(missing_bucket))
    secret = "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:datadog-AbCdEf"
    arguments = SimpleNamespace(secret_arn=secret)
    account.answers["describe_secret"] = refusal("DescribeSecret", "ResourceNotFoundException", "Not found")
    yield f"datadog.apiKeySecretArn: {secret}", _check(metric_stream._secret(arguments))  # type: ignore[arg-type]

    staging = {**GUARD, "production": False, "endpoints": {}, "modes": {}}
    yield "environment: staging, and without ranking", lambda: StackGuardProvider().diff("id", GUARD, staging)
    limited = STACK.replace("config:\n", "config:\n  triton-sagemaker:cost: {monthlyLimit: 1000}\n")
    limited += "  triton-sagemaker:monitoring: {dashboard: true}\n"
    settings = StackFile.read(account.directory / "Pulumi.dev.yaml", limited).settings()
    price = flat("APN1-Host:ml.c5.xlarge", "0.25", instanceName="ml.c5.xlarge", component="Hosting")
    volume = flat("APN1-Host:VolumeUsage.gp2", "0.168", unit="GB-Mo")
    alarm = flat("APN1-CW:AlarmMonitorUsage", "0.10", service="AmazonCloudWatch", unit="Alarms")
    shared = dashboard("DashboardsUsageHour-Basic", "2")
    for what, prices in {"without prices": [], "at a price of 1827.20 USD": [price, volume, alarm, shared]}.items():
        result = estimate(settings, PriceList.of_answers(prices), {})
        yield f"cost.monthlyLimit: 1000, {what}", partial(limit.check, settings, result, "dev")


def _adopted(found: Any) -> None:
    """A bucket to adopt, where the engine finds it."""
    with patch(
        "pulumi_aws.s3.get_bucket", lambda **_: found() if callable(found) else SimpleNamespace(bucket_region=found)
    ):
        existing.require_region("models", "ap-northeast-1")


def _with(account: Account, answers: dict[str, Any], named: existing.Named) -> object:
    account.answers |= answers
    return _check(existing.refused(named, "models"))()


def _raise(error: Exception) -> Any:
    raise error


def examples() -> Iterator[Example]:
    """Each deployment with its error."""
    with (
        Account.made() as account,
        patch("pulumi.log.info"),
        patch("pulumi.ResourceHook", _Hooks),
        patch("pulumi.ResourceHookBinding", SimpleNamespace),
        patch("pulumi.get_project", lambda: "triton-sagemaker"),
        patch.dict("os.environ", {"XDG_CACHE_HOME": str(account.directory)}),
    ):
        for written, action in _cases(account):
            yield account.failing(written, action)
