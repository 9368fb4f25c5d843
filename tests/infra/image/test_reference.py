"""Image references: what is read, what is written, and what is refused with which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.image.errors import ImageCopyError, InvalidImageReference
from infra.image.reference import DIGEST, EcrRegistry, ImageReference

_DIGEST = f"sha256:{'ab' * 32}"
_hosts = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9-]{1,8}){1,3}(:[0-9]{1,5})?|localhost(:5000)?", fullmatch=True)
_names = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}", fullmatch=True)
_repositories = st.lists(_names, min_size=1, max_size=3).map("/".join)
_tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
_digests = st.from_regex(DIGEST, fullmatch=True)
_either = st.one_of(
    st.tuples(_tags, st.none()), st.tuples(st.none(), _digests), st.tuples(_tags, _digests)
)  # fmt: skip


@given(_hosts, _repositories, _either)
def test_what_is_written_is_read_back(host: str, repository: str, either: tuple[str | None, str | None]) -> None:
    reference = ImageReference(host, repository, *either)
    assert ImageReference.parse(str(reference)) == reference


def test_an_image_of_ecr_tells_account_and_region() -> None:
    text = "941853720454.dkr.ecr.ap-northeast-1.amazonaws.com/sagemaker-tritonserver:23.10-py3"
    reference = ImageReference.parse(text)
    assert reference.ecr == EcrRegistry("941853720454", "ap-northeast-1")
    assert (reference.repository, reference.tag, reference.digest) == ("sagemaker-tritonserver", "23.10-py3", None)


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com",
        "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
        "123456789012.dkr-ecr.us-east-1.on.aws",
        "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
    ],
)
def test_every_partition_and_kind_of_ecr_host_is_known(host: str) -> None:
    registry = ImageReference.parse(f"{host}/a:1").ecr
    assert registry is not None
    assert registry.account == "123456789012"
    assert registry.region in host


@pytest.mark.parametrize(
    "host", ["nvcr.io", "public.ecr.aws", "12345.dkr.ecr.us-east-1.amazonaws.com", "localhost:5000"]
)
def test_other_registries_are_not_ecr(host: str) -> None:
    assert ImageReference.parse(f"{host}/nvidia/tritonserver:1").ecr is None


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"),
        ("cn-northwest-1", "123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_a_registry_of_ecr_has_the_host_of_its_partition(region: str, host: str) -> None:
    reference = ImageReference.in_ecr("123456789012", region, "triton", tag="1")
    assert reference.registry == host
    assert reference.ecr == EcrRegistry("123456789012", region)


def test_an_image_by_digest_loses_its_tag() -> None:
    assert str(ImageReference.parse("nvcr.io/a/b:1").at(_DIGEST)) == f"nvcr.io/a/b@{_DIGEST}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tritonserver:23.10-py3", "begins with the registry's host"),
        ("nvidia/tritonserver:23.10-py3", "begins with the registry's host"),
        ("https://nvcr.io/nvidia/tritonserver:1", "Remove https://"),
        ("nvcr.io/nvidia/tritonserver", "nvcr.io/nvidia/tritonserver:TAG"),
        ("nvcr.io/Nvidia/tritonserver:1", "lowercase"),
        ("nvcr.io/nvidia/tritonserver@sha256:abc", "'sha256:abc' is not a valid digest"),
        (f"nvcr.io/a@{_DIGEST.upper()}", "64 lowercase hexadecimal digits"),
        ("nvcr.io/a:.1", "registry/repository:tag"),
        ("nvcr.io/a:1\n", "registry/repository:tag"),
        ("", "begins with the registry's host"),
    ],
)
def test_an_invalid_reference_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(InvalidImageReference) as refused:
        ImageReference.parse(text)
    assert says in str(refused.value)
    assert isinstance(refused.value, ValueError)
    assert isinstance(refused.value, ImageCopyError)
