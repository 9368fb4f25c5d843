"""The only place that creates boto3 clients: they act exactly as the stack's `aws` provider does, or not at all."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import boto3
from botocore import credentials
from botocore.config import Config
from botocore.session import Session

from infra.aws.errors import aws_calls
from infra.aws.provider import ENDPOINT_KEYS, refusals
from infra.errors import UserError

_ROLE_ARGUMENTS = {
    "sessionName": "RoleSessionName",
    "externalId": "ExternalId",
    "policy": "Policy",
    "sourceIdentity": "SourceIdentity",
    "transitiveTagKeys": "TransitiveTagKeys",
}


IMPATIENT_ATTEMPTS = 3
"""boto3's default in its standard mode."""


class AwsSessionRefused(UserError):
    """The clients cannot honour the provider's configuration, or act in another account."""

    exit_code = 2


class AwsSession:
    """boto3 clients with the region, credentials, roles, endpoints and retries of the stack's `aws` provider.

    Args:
        stack_config: Pulumi's flat configuration; only its `aws:*` keys are read.
        patient: whether the first call, which gets the account, is repeated as often as others; a command says after
            seconds that it cannot reach AWS.

    Raises:
        AwsSessionRefused: an `aws:*` key has an effect on the provider but not on these clients.
    """

    def __init__(self, stack_config: Mapping[str, Any], patient: bool = True) -> None:
        self._first_call = None if patient else Config(retries={"total_max_attempts": IMPATIENT_ATTEMPTS})
        self._config = {
            key.removeprefix("aws:"): _value(value) for key, value in stack_config.items() if key.startswith("aws:")
        }
        for key, reason in refusals(self._config):
            raise AwsSessionRefused(f"aws:{key}: {reason}")
        self._clients: dict[tuple[str, str | None], Any] = {}
        self._lock = threading.Lock()  # the engine creates resources in parallel; boto3's sessions are not thread-safe

    def client(self, service: str, region: str | None = None, config: Config | None = None) -> Any:
        """A client of `service`, in the stack's region unless another one is given.

        Args:
            config: replaces parts of the provider's configuration, such as its retries.
        """
        with self._lock:
            if config is not None:
                return self._session.client(service, region_name=region, config=config)
            if (service, region) not in self._clients:  # slower than most calls
                self._clients[service, region] = self._session.client(service, region_name=region)
            return self._clients[service, region]

    @property
    def region(self) -> str | None:
        """The stack's region."""
        with self._lock:
            region: str | None = self._session.region_name
            return region

    @cached_property
    def account_id(self) -> str:
        """The account that the calls act in.

        Raises:
            AwsSessionRefused: it is not one of `aws:allowedAccountIds`, or one of `aws:forbiddenAccountIds`.
        """
        with aws_calls("credentials"):
            account = str(self.client("sts", config=self._first_call).get_caller_identity()["Account"])
        allowed, forbidden = self._config.get("allowedAccountIds"), self._config.get("forbiddenAccountIds") or []
        if allowed and account not in map(str, allowed):
            raise AwsSessionRefused(
                f"aws:allowedAccountIds: the credentials belong to account {account}, not to "
                f"{' or '.join(map(str, allowed))}. Use other credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID, …)."
            )
        if account in map(str, forbidden):
            raise AwsSessionRefused(
                f"aws:forbiddenAccountIds: the credentials belong to account {account}. Use other credentials "
                "(AWS_PROFILE, AWS_ACCESS_KEY_ID, …)."
            )
        return account

    def require_account(self, expected: str) -> None:
        """
        Raises:
            AwsSessionRefused: the `aws` provider works in another account than these clients.
        """
        if self.account_id != expected:
            raise AwsSessionRefused(
                f"the aws provider works in account {expected}, but boto3 finds credentials of {self.account_id}. "
                "Use a source that both read: credentials in the environment, AWS_PROFILE or aws:profile."
            )

    @cached_property
    def _session(self) -> boto3.Session:
        session = _Session(self._config)
        for key, variable in (("sharedConfigFiles", "config_file"), ("sharedCredentialsFiles", "credentials_file")):
            if files := self._config.get(key):
                session.set_config_variable(variable, files[0])
        if region := self._config.get("region"):
            session.set_config_variable("region", region)
        if access_key := self._config.get("accessKey"):
            session.set_credentials(access_key, self._config.get("secretKey"), self._config.get("token"))
        for role in self._config.get("assumeRoles") or []:
            _assume(session, role)
        return boto3.Session(botocore_session=session)


class _Session(Session):  # type: ignore[misc]  # botocore has no types
    """Creates every client as the provider does, also those of STS that get credentials.

    Args:
        config: the provider's configuration by its keys.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(profile=config.get("profile"))
        self._provider = config

    def create_client(self, service_name: str, **options: Any) -> Any:
        options["config"] = self._provider_client_config.merge(options.get("config") or Config())
        options["endpoint_url"] = options.get("endpoint_url") or self._endpoint(service_name)
        if service_name == "sts" and (region := self._provider.get("stsRegion")):
            options["region_name"] = region
        return super().create_client(service_name, **options)

    @cached_property
    def _provider_client_config(self) -> Config:
        return Config(
            # terraform-provider-aws retries 25 times; control-plane throttling during a rollout is common
            retries={
                "mode": self._provider.get("retryMode", "standard"),
                "total_max_attempts": int(self._provider.get("maxRetries", 10)),
            },
            use_dualstack_endpoint=self._provider.get("useDualstackEndpoint"),
            use_fips_endpoint=self._provider.get("useFipsEndpoint"),
            s3={"addressing_style": "path"} if self._provider.get("s3UsePathStyle") else None,
        )

    def _endpoint(self, service: str) -> str | None:
        keys = ENDPOINT_KEYS.get(service, (service,))
        endpoints = self._provider.get("endpoints") or []
        return next((urls[key] for urls in endpoints for key in keys if urls.get(key)), None)


def _assume(session: Session, role: Mapping[str, Any]) -> None:
    """Act as the role from now on. The credentials refresh themselves, because a rollout may outlast them."""
    fetcher = credentials.AssumeRoleCredentialFetcher(
        session.create_client, session.get_credentials(), role["roleArn"], extra_args=_role_arguments(role)
    )
    session._credentials = credentials.DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")


def _role_arguments(role: Mapping[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {api: role[key] for key, api in _ROLE_ARGUMENTS.items() if role.get(key)}
    if arns := role.get("policyArns"):
        arguments["PolicyArns"] = [{"arn": arn} for arn in arns]
    if tags := role.get("tags"):
        arguments["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    if duration := role.get("duration"):
        arguments["DurationSeconds"] = _seconds(duration)
    return arguments


def _seconds(duration: str) -> int:
    """Go's durations, which the provider accepts: `1h`, `30m`, `1h30m`, `900s`."""
    parts = re.fullmatch(r"(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", duration)
    if parts is None:
        raise AwsSessionRefused(
            f"aws:assumeRoles: {duration!r} is not a valid duration: use hours, minutes and seconds such as 1h30m."
        )
    return sum(int(part or 0) * unit for part, unit in zip(parts.groups(), (3600, 60, 1), strict=True))


def _value(value: Any) -> Any:
    """A value of Pulumi's configuration, which is text: JSON for lists, maps and booleans."""
    if not isinstance(value, str):
        return value
    try:
        decoded = json.loads(value)
    except ValueError:
        return value
    return decoded if isinstance(decoded, (dict, list, bool)) else value
