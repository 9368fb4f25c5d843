from __future__ import annotations

from typing import Any

import pytest
from botocore.loaders import Loader

from infra import names
from infra.dynamic.released_artifact import released_key
from infra.settings.endpoint_sections import MAX_NAME
from infra.settings.model import MAX_ARTIFACT_KEY
from tests.infra.settings.config import assert_broken, changed, settings

ARTIFACT = "ranking.model.artifact"


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("ranking.model", {}, "path-or-artifact"),
        ("ranking.model", {"path": "a", "artifact": "b.tar.gz"}, "path-or-artifact"),
        (ARTIFACT, "model.zip", "artifact-suffix"),
        (ARTIFACT, ".tar.gz", "artifact-suffix"),
        (ARTIFACT, "/m.tar.gz", "artifact-key"),
        (ARTIFACT, "a/../m.tar.gz", "artifact-key"),
        (ARTIFACT, "./m.tar.gz", "artifact-key"),
        (ARTIFACT, "a//m.tar.gz", "artifact-key"),
        (ARTIFACT, "https://b.s3.amazonaws.com/m.tar.gz", "artifact-key"),
        (ARTIFACT, "arn:aws:s3:::b/m.tar.gz", "artifact-key"),
        (ARTIFACT, "a\x07.tar.gz", "artifact-characters"),
        (ARTIFACT, "a/m${VERSION}.tar.gz", "artifact-variable"),
        *((ARTIFACT, f"{prefix}m.tar.gz", "artifact-prefix") for prefix in names.RESERVED),
        (ARTIFACT, "a" * 794 + ".tar.gz", "artifact-key-length"),
        (ARTIFACT, "ü" * 397 + ".tar.gz", "artifact-key-length"),
    ],
)
def test_a_wrong_model_is_refused(path: str, value: Any, rule: str) -> None:
    assert_broken(path, value, rule)


def test_the_released_copy_of_the_longest_key_has_an_address_that_sagemaker_accepts() -> None:
    endpoint, artifact = "e" * MAX_NAME, "a" * (MAX_ARTIFACT_KEY - 7) + ".tar.gz"
    assert endpoint in settings(changed(f"endpoints.{endpoint}", {"model": {"artifact": artifact}})).endpoints
    longest = f"s3://{'b' * 63}/" + released_key(f"{names.RELEASED}{endpoint}/{'k' * 8}/", artifact, "v" * 32)
    url = Loader().load_service_model("sagemaker", "service-2")["shapes"]["Url"]
    assert len(longest) <= url["max"]
