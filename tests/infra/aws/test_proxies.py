"""Proxies are those that the `aws` provider asks: a table of aws-sdk-go-base's rules."""

from __future__ import annotations

import pytest

from infra.aws.proxies import Proxies

S3 = "https://s3.ap-northeast-1.amazonaws.com"
PLAIN = "http://s3.ap-northeast-1.amazonaws.com"
ENVIRONMENT = {"HTTP_PROXY": "http://env:1", "https_proxy": "http://env:2"}


@pytest.mark.parametrize(
    ("config", "environment", "url", "proxy"),
    [
        ({}, {}, S3, None),
        ({}, ENVIRONMENT, S3, "http://env:2"),
        ({}, ENVIRONMENT, PLAIN, "http://env:1"),
        ({}, {"HTTPS_PROXY": "env:2"}, S3, "http://env:2"),
        ({"httpProxy": "http://ours:1"}, {}, S3, "http://ours:1"),
        ({"httpProxy": "http://ours:1"}, {}, PLAIN, "http://ours:1"),
        ({"httpProxy": "http://ours:1"}, ENVIRONMENT, S3, "http://env:2"),
        ({"httpProxy": "http://ours:1"}, ENVIRONMENT, PLAIN, "http://ours:1"),
        ({"httpProxy": "http://ours:1", "httpsProxy": ""}, ENVIRONMENT, S3, None),
        ({"httpsProxy": "http://ours:2"}, ENVIRONMENT, S3, "http://ours:2"),
        ({"httpsProxy": "http://ours:2"}, ENVIRONMENT, PLAIN, "http://env:1"),
        ({"httpsProxy": "http://ours:2", "noProxy": "amazonaws.com"}, {}, S3, None),
        ({"httpsProxy": "http://ours:2", "noProxy": ".amazonaws.com, x"}, {}, S3, None),
        ({"httpsProxy": "http://ours:2", "noProxy": "example.com"}, {"NO_PROXY": "*"}, S3, "http://ours:2"),
        ({"httpsProxy": "http://ours:2"}, {"NO_PROXY": "*"}, S3, None),
        ({"httpsProxy": "http://ours:2"}, {"no_proxy": "s3.ap-northeast-1.amazonaws.com"}, S3, None),
        ({"httpsProxy": "http://ours:2", "noProxy": "amazonaws.com:8443"}, {}, S3, "http://ours:2"),
        ({"httpsProxy": "http://ours:2", "noProxy": "amazonaws.com:443"}, {}, S3, None),
        ({"httpsProxy": "http://ours:2", "noProxy": "naws.com"}, {}, S3, "http://ours:2"),
        ({"httpsProxy": "http://ours:2"}, {}, "https://localhost:4566", None),
        ({"httpsProxy": "http://ours:2"}, {}, "https://127.0.0.1:4566", None),
        ({"httpsProxy": "http://ours:2"}, {}, "https://[::1]:4566", None),
        ({"httpsProxy": "http://ours:2"}, {}, "https://10.0.0.7", "http://ours:2"),
    ],
)
def test_the_proxy_is_the_providers(
    config: dict[str, str], environment: dict[str, str], url: str, proxy: str | None
) -> None:
    assert Proxies.of(config, environment).of_url(url) == proxy
