"""The one place that makes boto3 clients: they act exactly as the stack's `aws` provider does, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import boto3
from botocore import credentials
from botocore.config import Config
from botocore.session import Session

from infra.aws_error import aws_calls

_HONOURED = {
    *("accessKey", "secretKey", "token", "profile", "region", "sharedConfigFiles", "sharedCredentialsFiles"),
    *("assumeRoles", "assumeRoleWithWebIdentity", "allowedAccountIds", "forbiddenAccountIds"),
    *("endpoints", "useDualstackEndpoint", "useFipsEndpoint", "s3UsePathStyle"),
    *("httpProxy", "httpsProxy", "customCaBundle", "insecure", "maxRetries", "retryMode", "defaultTags"),
}
_WITHOUT_EFFECT_ON_OUR_CALLS = {
    *("ignoreTags", "tagPolicyCompliance", "userAgents", "version", "tokenBucketRateLimiterCapacity"),
    *("skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation", "skipRequestingAccountId"),
}
_ROLE_ARGUMENTS = {
    "sessionName": "RoleSessionName",
    "externalId": "ExternalId",
    "policy": "Policy",
    "sourceIdentity": "SourceIdentity",
    "transitiveTagKeys": "TransitiveTagKeys",
}
_SERVICE_KEYS = {"logs": ("logs", "cloudwatchlogs"), "sagemaker-runtime": ("sagemakerruntime",)}
"""Names of boto3's services in the provider's `endpoints`, where they differ."""


class AwsSessionRefused(Exception):
    """The provider's configuration holds something that these calls cannot follow, or names another account."""


class AwsSession:
    """boto3 clients with the region, credentials, roles, endpoints and retries of the stack's `aws` provider.

    Args:
        stack_config: Pulumi's flat configuration; only its `aws:*` keys are read.

    Raises:
        AwsSessionRefused: for an `aws:*` key that the provider may follow and these clients would not.
    """

    def __init__(self, stack_config: Mapping[str, Any]) -> None:
        self._config = {
            key.removeprefix("aws:"): _value(value) for key, value in stack_config.items() if key.startswith("aws:")
        }
        self._clients: dict[tuple[str, str | None], Any] = {}
        self._making = threading.Lock()  # resources are made side by side, and boto3's sessions are not thread-safe
        if unknown := sorted(self._config.keys() - _HONOURED - _WITHOUT_EFFECT_ON_OUR_CALLS):
            raise AwsSessionRefused(
                f"aws:{unknown[0]}: the aws provider is configured with a key that image mirror, artifacts and "
                "endpoints do not follow, so they could act elsewhere than the rest of the stack. Remove the key, or "
                "set what it does through the environment or an AWS profile, which both follow."
            )

    @property
    def default_tags(self) -> dict[str, str]:
        """Tags that the provider puts on every resource."""
        return dict((self._config.get("defaultTags") or {}).get("tags") or {})

    def client(self, service: str, region: str | None = None) -> Any:
        """A client of `service`, in the stack's region unless another one is given."""
        with self._making:
            if (service, region) not in self._clients:  # making one takes longer than most calls
                self._clients[service, region] = self._session.client(
                    service,
                    region_name=region,
                    endpoint_url=self._endpoint(service),
                    verify=self._verify,
                    config=self._client_config,
                )
            return self._clients[service, region]

    @property
    def region(self) -> str | None:
        """The stack's region."""
        with self._making:
            region: str | None = self._session.region_name
            return region

    @cached_property
    def account_id(self) -> str:
        """The account that the calls act in.

        Raises:
            AwsSessionRefused: it is not one of `aws:allowedAccountIds`, or one of `aws:forbiddenAccountIds`.
        """
        with aws_calls("credentials"):
            account = str(self.client("sts").get_caller_identity()["Account"])
        allowed, forbidden = self._config.get("allowedAccountIds"), self._config.get("forbiddenAccountIds") or []
        if allowed and account not in map(str, allowed):
            raise AwsSessionRefused(
                f"aws:allowedAccountIds: the credentials are of account {account}, not of {allowed}."
            )
        if account in map(str, forbidden):
            raise AwsSessionRefused(f"aws:forbiddenAccountIds: the credentials are of account {account}.")
        return account

    def require_account(self, expected: str) -> None:
        """Refuse to act when the `aws` provider works in another account than these clients."""
        if self.account_id != expected:
            raise AwsSessionRefused(
                f"the aws provider works in account {expected}, but boto3 finds credentials of {self.account_id}. "
                "Give both the same: credentials in the environment, AWS_PROFILE or aws:profile."
            )

    @cached_property
    def _session(self) -> boto3.Session:
        session = Session(profile=self._config.get("profile"))
        for key, variable in (("sharedConfigFiles", "config_file"), ("sharedCredentialsFiles", "credentials_file")):
            if files := self._config.get(key):
                session.set_config_variable(variable, files[0])
        if region := self._config.get("region"):
            session.set_config_variable("region", region)
        if access_key := self._config.get("accessKey"):
            session.set_credentials(access_key, self._config.get("secretKey"), self._config.get("token"))
        if identity := self._config.get("assumeRoleWithWebIdentity"):
            _assume_with_web_identity(session, identity)
        for role in self._config.get("assumeRoles") or []:
            _assume(session, role)
        return boto3.Session(botocore_session=session)

    @cached_property
    def _client_config(self) -> Config:
        proxies = {
            scheme: self._config[key]
            for scheme, key in (("http", "httpProxy"), ("https", "httpsProxy"))
            if key in self._config
        }
        return Config(
            # terraform-provider-aws retries 25 times; control-plane throttling during a rollout is common
            retries={
                "mode": self._config.get("retryMode", "standard"),
                "total_max_attempts": int(self._config.get("maxRetries", 10)),
            },
            proxies=proxies or None,
            use_dualstack_endpoint=self._config.get("useDualstackEndpoint"),
            use_fips_endpoint=self._config.get("useFipsEndpoint"),
            s3={"addressing_style": "path"} if self._config.get("s3UsePathStyle") else None,
        )

    @property
    def _verify(self) -> bool | str | None:
        return False if self._config.get("insecure") else self._config.get("customCaBundle")

    def _endpoint(self, service: str) -> str | None:
        names = _SERVICE_KEYS.get(service, (service,))
        given = [each[name] for each in self._config.get("endpoints") or [] for name in names if each.get(name)]
        return next(iter(given), None)


def _assume(session: Session, role: Mapping[str, Any]) -> None:
    """Act as the role from here on; the credentials refresh themselves, so that a rollout may outlast them."""
    fetcher = credentials.AssumeRoleCredentialFetcher(
        session.create_client, session.get_credentials(), role["roleArn"], extra_args=_role_arguments(role)
    )
    session._credentials = credentials.DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")


def _assume_with_web_identity(session: Session, identity: Mapping[str, Any]) -> None:
    def token() -> str:
        if path := identity.get("webIdentityTokenFile"):
            with open(path) as file:
                return file.read()
        return str(identity["webIdentityToken"])

    fetcher = credentials.AssumeRoleWithWebIdentityCredentialFetcher(
        session.create_client, token, identity["roleArn"], extra_args=_role_arguments(identity)
    )
    session._credentials = credentials.DeferredRefreshableCredentials(
        fetcher.fetch_credentials, "assume-role-with-web-identity"
    )


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
    """Go's durations, as the provider takes them: `1h`, `30m`, `1h30m`, `900s`."""
    units = {"h": 3600, "m": 60, "s": 1}
    total, number = 0, ""
    for character in duration:
        if character.isdigit():
            number += character
        elif character in units and number:
            total, number = total + int(number) * units[character], ""
        else:
            raise AwsSessionRefused(
                f"aws:assumeRoles duration {duration!r}: give hours, minutes and seconds such as 1h30m."
            )
    return total


def _value(value: Any) -> Any:
    """Configuration values arrive as text; lists, maps, numbers and booleans as JSON."""
    if not isinstance(value, str):
        return value
    try:
        decoded = json.loads(value)
    except ValueError:
        return value
    return decoded if isinstance(decoded, (dict, list, bool)) else value
