"""ECR of the sandbox is as strict as AWS's; each test names where AWS says or shows so.

`API` stands for the shapes and documentation of botocore's model of ECR (ecr/2015-09-21), which is AWS's API reference.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError, ReadTimeoutError

from infra.image.aws_images import NEWER, OLDER, ImageAccounts, aws_triton_images
from sandbox.aws import images
from sandbox.aws.conditions import Conditions
from sandbox.aws.ecr import Ecr, manifest
from sandbox.aws.protocol import RequestContext
from tests.sandbox.conftest import unique

MIB = 1024 * 1024
AWS_ACCOUNT = "941853720454"
SINCE_23_12 = "763104351884"
AWS_IMAGE = {"registryId": AWS_ACCOUNT, "repositoryName": "sagemaker-tritonserver"}
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
ABSENT = f"sha256:{'0' * 64}"


@pytest.fixture
def ecr(client: Callable[..., Any]) -> Any:
    return client("ecr")


@pytest.fixture
def repository(ecr: Any) -> str:
    name = unique("repository")
    ecr.create_repository(repositoryName=name)
    return name


@pytest.fixture
def immutable_repository(ecr: Any) -> str:
    name = unique("immutable")
    ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    return name


def digest_of(content: bytes | str) -> str:
    return f"sha256:{hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()}"


def upload(ecr: Any, repository: str, *parts: bytes) -> str:
    """An upload of the parts, not yet complete."""
    upload_id: str = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    first = 0
    for part in parts:
        upload_part(ecr, repository, upload_id, first, part)
        first += len(part)
    return upload_id


def upload_part(ecr: Any, repository: str, upload_id: str, first: int, part: bytes, last: int | None = None) -> Any:
    return ecr.upload_layer_part(
        repositoryName=repository,
        uploadId=upload_id,
        partFirstByte=first,
        partLastByte=first + len(part) - 1 if last is None else last,
        layerPartBlob=part,
    )


def complete(ecr: Any, repository: str, upload_id: str, digest: str) -> Any:
    return ecr.complete_layer_upload(repositoryName=repository, uploadId=upload_id, layerDigests=[digest])


def push_blob(ecr: Any, repository: str, content: bytes) -> dict[str, Any]:
    """The blob's digest and size, as a descriptor has them."""
    digest = digest_of(content)
    complete(ecr, repository, upload(ecr, repository, content), digest)
    return {"digest": digest, "size": len(content)}


def image_text(ecr: Any, repository: str, media_type: str = DOCKER, architecture: str = "amd64") -> str:
    """The manifest of a new image of one layer, whose config and layer are in the repository."""
    config_type, layer_type = (OCI_CONFIG, OCI_LAYER) if media_type == OCI else (images.CONFIG, images.LAYER)
    layer = push_blob(ecr, repository, uuid.uuid4().bytes)
    config = push_blob(ecr, repository, json.dumps({"os": "linux", "architecture": architecture, **layer}).encode())
    parts = {"config": {"mediaType": config_type, **config}, "layers": [{"mediaType": layer_type, **layer}]}
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, **parts})


def put_image(ecr: Any, repository: str, text: str, **params: Any) -> str:
    """Puts a manifest and returns the image's digest."""
    answer = ecr.put_image(repositoryName=repository, imageManifest=text, **params)
    digest: str = answer["image"]["imageId"]["imageDigest"]
    return digest


def refused(code: str, call: Callable[..., Any], **params: Any) -> dict[str, Any]:
    """Makes a call that AWS refuses with the code, and returns the error answer."""
    with pytest.raises(ClientError) as refusal:
        call(**params)
    assert refusal.value.response["Error"]["Code"] == code, refusal.value
    response: dict[str, Any] = refusal.value.response
    return response


def message(response: dict[str, Any]) -> str:
    return str(response["Error"]["Message"])


def get_image(ecr: Any, repository: str, image_id: dict[str, str], **params: Any) -> dict[str, Any]:
    image: dict[str, Any]
    (image,) = ecr.batch_get_image(repositoryName=repository, imageIds=[image_id], **params)["images"]
    return image


def failure_code(ecr: Any, repository: str, image_id: dict[str, str], **params: Any) -> str:
    answer = ecr.batch_get_image(repositoryName=repository, imageIds=[image_id], **params)
    assert answer["images"] == []
    (failure,) = answer["failures"]
    assert failure["imageId"] == image_id
    return str(failure["failureCode"])


def tags(ecr: Any, repository: str) -> dict[str, list[str]]:
    """The tags of each image, by digest."""
    details = ecr.describe_images(repositoryName=repository)["imageDetails"]
    return {detail["imageDigest"]: detail.get("imageTags", []) for detail in details}


# AWS's image accounts


def test_the_published_image_is_one_whole_amd64_docker_schema_2_image(ecr: Any) -> None:
    """AWS's `sagemaker-tritonserver` is one; SageMaker takes no other manifest: aws/amazon-sagemaker-feedback#180."""
    answer = ecr.batch_get_image(**AWS_IMAGE, imageIds=[{"imageTag": "23.10-py3"}])["images"][0]
    assert answer["imageManifestMediaType"] == DOCKER
    assert answer["imageId"] == {"imageTag": "23.10-py3", "imageDigest": digest_of(answer["imageManifest"])}
    assert answer["registryId"] == AWS_ACCOUNT
    parts = json.loads(answer["imageManifest"])
    for part in (parts["config"], *parts["layers"]):
        content = download(ecr, part["digest"]).data
        assert (digest_of(content), len(content)) == (part["digest"], part["size"])
    config = json.loads(download(ecr, parts["config"]["digest"]).data)
    assert (config["os"], config["architecture"]) == ("linux", "amd64")
    assert len(config["rootfs"]["diff_ids"]) == len(parts["layers"])
    assert max(layer["size"] for layer in parts["layers"]) > 10 * MIB


def test_the_published_images_are_the_same_bytes_at_every_start() -> None:
    before = images.published_image("23.08-py3")
    for cache in (images.published_image, images._layer, images._noise):
        cache.cache_clear()
    assert images.published_image("23.08-py3") == before


def test_versions_are_different_images_that_share_layers(ecr: Any) -> None:
    """As releases built on a common base do: a mirror of the next one has little to copy."""
    ids = [{"imageTag": tag} for tag in ("22.09-py3", "23.08-py3", "23.10-py3")]
    manifests = [json.loads(i["imageManifest"]) for i in ecr.batch_get_image(**AWS_IMAGE, imageIds=ids)["images"]]
    assert len({m["config"]["digest"] for m in manifests}) == 3
    shared = set.intersection(*({layer["digest"] for layer in m["layers"]} for m in manifests))
    assert shared
    assert shared < {layer["digest"] for layer in manifests[0]["layers"]}


@pytest.mark.parametrize(
    ("account", "region", "tag"),
    [
        ("941853720454", "ap-northeast-1", "22.09-py3"),
        ("785573368785", "us-east-1", "23.10-py3"),
        ("763104351884", "us-east-1", "24.05-py3"),
        ("474822919863", "cn-northwest-1", "23.08-py3"),
        ("503227376785", "eu-south-2", "24.05-py3"),
    ],
)
def test_each_region_has_its_own_publishing_account(
    client: Callable[..., Any], account: str, region: str, tag: str
) -> None:
    """aws/amazon-sagemaker-examples (`account_id_map`) and aws/sagemaker-python-sdk (`sagemaker-tritonserver.json`)."""
    params = {"registryId": account, "repositoryName": "sagemaker-tritonserver", "imageIds": [{"imageTag": tag}]}
    assert client("ecr", region=region).batch_get_image(**params)["failures"] == []


@pytest.mark.parametrize(
    ("family", "version"),
    [
        (OLDER, "22.07-py3"),
        (OLDER, "23.10-py3"),
        (NEWER, "23.12-py3-cpu"),
        (NEWER, "24.09-py3"),
        (NEWER, "26.05-py3"),
    ],
)
def test_the_product_looks_where_each_region_has_them(family: ImageAccounts, version: str) -> None:
    """The tables are kept twice, in the product and in this AWS; here they meet."""
    for region in family.by_region:
        accounts = {image.registry.partition(".")[0] for image in aws_triton_images(region, version)}
        assert any(version in images.published_tags(account, region) for account in accounts), region


@pytest.mark.parametrize(
    ("account", "region"),
    [
        ("941853720454", "us-east-1"),
        ("007439368137", "eu-west-2"),
        ("763104351884", "af-south-1"),
        ("999999999999", "ap-northeast-1"),
    ],
)
def test_an_account_that_publishes_elsewhere_denies_access(
    client: Callable[..., Any], account: str, region: str
) -> None:
    """aws/deep-learning-containers#5657 (us-east-2's account in eu-west-2); words of aws/sagemaker-python-sdk#4064."""
    call = client("ecr", region=region).batch_get_image
    params = {"repositoryName": "sagemaker-tritonserver", "imageIds": [{"imageTag": "23.10-py3"}]}
    answer = refused("AccessDeniedException", call, registryId=account, **params)
    assert message(answer).endswith(
        f"is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:{region}:{account}:repository/"
        "sagemaker-tritonserver because no resource-based policy allows the ecr:BatchGetImage action"
    )


def test_releases_are_in_one_of_two_accounts(ecr: Any) -> None:
    """Up to 23.10 in the one, since 23.12 in the other: a copy has to try both."""
    old, new = {"imageTag": "23.10-py3"}, {"imageTag": "24.05-py3"}
    newer_account = {"registryId": SINCE_23_12}
    assert failure_code(ecr, "sagemaker-tritonserver", new, registryId=AWS_ACCOUNT) == "ImageNotFound"
    assert failure_code(ecr, "sagemaker-tritonserver", old, **newer_account) == "ImageNotFound"
    assert get_image(ecr, "sagemaker-tritonserver", new, **newer_account)["registryId"] == SINCE_23_12


def test_publishers_grant_what_a_pull_needs(ecr: Any) -> None:
    """aws/deep-learning-containers#5657 names the three grants; DescribeImages is what people list DLC tags with."""
    tags = {t for d in ecr.describe_images(**AWS_IMAGE)["imageDetails"] for t in d["imageTags"]}
    assert {"22.07-py3", "22.12-py3-cpu", "23.01-py3", "23.10-py3"} <= tags
    assert not {"22.06-py3", "23.11-py3", "24.05-py3", "22.13-py3"} & tags
    digest = ecr.describe_images(**AWS_IMAGE, imageIds=[{"imageTag": "23.10-py3"}])["imageDetails"][0]["imageDigest"]
    layers = json.loads(get_image(ecr, "sagemaker-tritonserver", {"imageDigest": digest}, registryId=AWS_ACCOUNT)[
        "imageManifest"
    ])["layers"]  # fmt: skip
    checked = ecr.batch_check_layer_availability(**AWS_IMAGE, layerDigests=[layers[0]["digest"]])["layers"]
    assert [layer["layerAvailability"] for layer in checked] == ["AVAILABLE"]


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("initiate_layer_upload", {}),
        ("put_image", {"imageManifest": "{}"}),
        ("batch_delete_image", {"imageIds": [{"imageTag": "23.10-py3"}]}),
        ("delete_repository", {"force": True}),
        ("create_repository", {}),
        ("list_images", {}),
        ("put_lifecycle_policy", {"lifecyclePolicyText": "{" + " " * 100 + "}"}),
    ],
)
def test_other_accounts_are_not_written_to(ecr: Any, operation: str, params: dict[str, Any]) -> None:
    """ECR User Guide, "Private repository policies": another account may do what the repository's policy allows."""
    answer = refused("AccessDeniedException", getattr(ecr, operation), **AWS_IMAGE, **params)
    assert f"repository/{AWS_IMAGE['repositoryName']}" in message(answer)


def test_repositories_of_another_account_are_not_listed(ecr: Any) -> None:
    """API: DescribeRepositories$registryId; a foreign registry needs a grant that nobody gave."""
    refused("AccessDeniedException", ecr.describe_repositories, registryId=AWS_ACCOUNT)


# Repositories


def test_a_repository_uri_names_account_and_region(ecr: Any, repository: str) -> None:
    """API: Repository$repositoryUri, "You can use this URI for container image push and pull operations"."""
    (found,) = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
    assert found["repositoryUri"] == f"123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/{repository}"


def test_a_registry_id_of_the_callers_own_is_as_good_as_none(ecr: Any, repository: str) -> None:
    """API: "If you do not specify a registry, the default registry is assumed."""
    assert ecr.list_images(registryId="123456789012", repositoryName=repository)["imageIds"] == []


def test_a_missing_repository_is_an_error_of_every_image_operation(ecr: Any) -> None:
    """API: RepositoryNotFoundException."""
    for call, params in (
        (ecr.initiate_layer_upload, {}),
        (ecr.batch_get_image, {"imageIds": [{"imageTag": "a"}]}),
        (ecr.batch_check_layer_availability, {"layerDigests": [ABSENT]}),
        (ecr.get_download_url_for_layer, {"layerDigest": ABSENT}),
        (ecr.put_image, {"imageManifest": "{}"}),
    ):
        answer = refused("RepositoryNotFoundException", call, repositoryName="not-there", **params)
        expected = "The repository with name 'not-there' does not exist in the registry with id '123456789012'"
        assert message(answer) == expected


def test_a_repository_with_images_is_deleted_by_force_only(ecr: Any, repository: str) -> None:
    """API: RepositoryNotEmptyException."""
    put_image(ecr, repository, image_text(ecr, repository), imageTag="1")
    refused("RepositoryNotEmptyException", ecr.delete_repository, repositoryName=repository)
    ecr.delete_repository(repositoryName=repository, force=True)
    refused("RepositoryNotFoundException", ecr.list_images, repositoryName=repository)


def test_layers_are_of_one_repository_and_end_with_it(ecr: Any, repository: str) -> None:
    """API: InitiateLayerUpload; a repository that comes again under the name of a deleted one is empty."""
    blob = push_blob(ecr, repository, b"layer")
    ecr.delete_repository(repositoryName=repository)
    ecr.create_repository(repositoryName=repository)
    checked = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[blob["digest"]])
    assert checked["layers"] == [{"layerDigest": blob["digest"], "layerAvailability": "UNAVAILABLE"}]


def test_an_authorization_token_is_good_for_twelve_hours_in_the_registries_asked_for(ecr: Any) -> None:
    """API: GetAuthorizationToken, AuthorizationData."""
    own, foreign = ecr.get_authorization_token(registryIds=["123456789012", AWS_ACCOUNT])["authorizationData"]
    assert own["proxyEndpoint"] == foreign["proxyEndpoint"]  # AWS's is https://ACCOUNT.dkr.ecr.REGION.amazonaws.com
    assert own["authorizationToken"] != foreign["authorizationToken"]
    assert timedelta(hours=11) < own["expiresAt"] - datetime.now(UTC) <= timedelta(hours=12)


# Layers: availability and download


def test_a_layer_that_is_not_there_is_unavailable_and_no_failure(ecr: Any, repository: str) -> None:
    """AWS's own client takes a failure for an error, not absence: awslabs/amazon-ecr-containerd-resolver, pusher.go."""
    blob = push_blob(ecr, repository, b"here")
    digests = [blob["digest"], ABSENT, "sha256:short", ""]
    checked = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=digests)
    here, absent = checked["layers"]
    assert (here["layerAvailability"], here["layerSize"]) == ("AVAILABLE", 4)
    assert absent == {"layerDigest": ABSENT, "layerAvailability": "UNAVAILABLE"}
    assert [f["failureCode"] for f in checked["failures"]] == ["InvalidLayerDigest", "MissingLayerDigest"]


def test_at_most_a_hundred_layers_are_checked_in_one_call(client: Callable[..., Any], repository: str) -> None:
    """API: BatchedOperationLayerDigestList."""
    unchecked = client("ecr", parameter_validation=False)
    params = {"repositoryName": repository, "layerDigests": [ABSENT] * 101}
    refused("InvalidParameterException", unchecked.batch_check_layer_availability, **params)


def test_a_missing_layer_has_no_download_address(ecr: Any, repository: str) -> None:
    """Words of monken/aws-ecr-public#11."""
    answer = refused(
        "LayersNotFoundException", ecr.get_download_url_for_layer, repositoryName=repository, layerDigest=ABSENT
    )
    assert message(answer) == (
        f"The layer with digest '{ABSENT}' does not exist within the repository with name '{repository}' "
        "in the registry with id '123456789012'"
    )


def test_a_layer_of_no_image_has_no_download_address(ecr: Any, repository: str) -> None:
    """API: GetDownloadUrlForLayer, "You can only get URLs for image layers that are referenced in an image"."""
    digest = push_blob(ecr, repository, b"alone")["digest"]
    refused("LayerInaccessibleException", ecr.get_download_url_for_layer, repositoryName=repository, layerDigest=digest)


def download_url(ecr: Any, digest: str) -> str:
    url: str = ecr.get_download_url_for_layer(**AWS_IMAGE, layerDigest=digest)["downloadUrl"]
    return url


def download(ecr: Any, digest: str, **headers: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", download_url(ecr, digest), headers=headers)


@pytest.fixture
def layer(ecr: Any) -> dict[str, Any]:
    """The descriptor of a layer of AWS's image."""
    image = get_image(ecr, "sagemaker-tritonserver", {"imageTag": "23.10-py3"}, registryId=AWS_ACCOUNT)
    largest: dict[str, Any] = max(json.loads(image["imageManifest"])["layers"], key=lambda part: part["size"])
    return largest


def test_a_download_gives_the_range_that_is_asked_for(ecr: Any, layer: dict[str, Any]) -> None:
    """RFC 9110, section 14; Amazon S3 API, GetObject$Range."""
    whole, size = download(ecr, layer["digest"]), layer["size"]
    assert (whole.status, whole.headers["Content-Length"]) == (200, str(size))
    for asked, first, last in (
        ("bytes=10-19", 10, 19),
        (f"bytes={size - 5}-", size - 5, size - 1),
        ("bytes=-7", size - 7, size - 1),
        (f"bytes={size - 3}-{size + 100}", size - 3, size - 1),
    ):
        part = download(ecr, layer["digest"], Range=asked)
        assert (part.status, part.headers["Content-Range"]) == (206, f"bytes {first}-{last}/{size}")
        assert part.data == whole.data[first : last + 1]


def test_a_download_from_behind_the_end_is_not_satisfiable(ecr: Any, layer: dict[str, Any]) -> None:
    """Amazon S3 API, error InvalidRange: 416."""
    answer = download(ecr, layer["digest"], Range=f"bytes={layer['size']}-")
    assert answer.status == 416
    assert b"<Code>InvalidRange</Code>" in answer.data


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=9-3", "lines=1-2"])
def test_a_range_that_s3_does_not_understand_gives_everything(ecr: Any, layer: dict[str, Any], asked: str) -> None:
    """Amazon S3 API, GetObject: it does not support several ranges in a request; RFC 9110, 14.2: else ignore it."""
    answer = download(ecr, layer["digest"], Range=asked)
    assert (answer.status, len(answer.data)) == (200, layer["size"])


def test_a_download_address_expires(aws: Any, ecr: Any, layer: dict[str, Any]) -> None:
    """Amazon S3 User Guide, "Sharing objects with presigned URLs": Request has expired."""
    aws.impose(layerUrlSeconds=0)
    try:
        answer = download(ecr, layer["digest"])
    finally:
        aws.impose(layerUrlSeconds=3600)
    assert answer.status == 403
    assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in answer.data


def test_a_download_address_is_good_for_its_layer_and_for_get_only(ecr: Any, layer: dict[str, Any]) -> None:
    """Amazon S3, error SignatureDoesNotMatch: the method, the path and the expiry are part of what is signed."""
    url = download_url(ecr, layer["digest"])
    tampered = (
        ("HEAD", url),
        ("GET", url.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000")),
        ("GET", url.replace(layer["digest"].removeprefix("sha256:"), "0" * 64)),
        ("GET", url.partition("?")[0]),
    )
    answers = [urllib3.request(method, address) for method, address in tampered]
    assert [answer.status for answer in answers] == [403] * 4
    assert b"<Code>SignatureDoesNotMatch</Code>" in answers[1].data
    assert b"<Code>AccessDenied</Code><Message>Access Denied</Message>" in answers[3].data


# Layers: upload


def test_an_upload_goes_on_where_the_last_part_ended(ecr: Any, repository: str) -> None:
    """API: UploadLayerPart: first and last byte are positions in the layer, the last one included."""
    started = ecr.initiate_layer_upload(repositoryName=repository)
    assert started["partSize"] == 10_485_760
    first = upload_part(ecr, repository, started["uploadId"], 0, b"a" * 5 * MIB)
    last = upload_part(ecr, repository, started["uploadId"], 5 * MIB, b"b")
    assert (first["lastByteReceived"], last["lastByteReceived"]) == (5 * MIB - 1, 5 * MIB)
    digest = digest_of(b"a" * 5 * MIB + b"b")
    assert complete(ecr, repository, started["uploadId"], digest)["layerDigest"] == digest


@pytest.mark.parametrize("first", [0, 5, 7])
def test_a_part_that_does_not_go_on_is_refused_and_says_where_to(ecr: Any, repository: str, first: int) -> None:
    """API: InvalidLayerPartException and its members; words of uber-archive/makisu#224."""
    started = upload(ecr, repository, b"123456")
    answer = refused(
        "InvalidLayerPartException",
        ecr.upload_layer_part,
        repositoryName=repository,
        uploadId=started,
        partFirstByte=first,
        partLastByte=first,
        layerPartBlob=b"x",
    )
    assert message(answer) == f"First byte of the layer part is {first} instead of 6"
    members = {"registryId": "123456789012", "repositoryName": repository, "uploadId": started}
    assert {key: answer[key] for key in members} == members
    assert answer["lastValidByteReceived"] == 5
    assert complete(ecr, repository, started, digest_of(b"123456"))["uploadId"] == started


@pytest.mark.parametrize("last", [2, 4])
def test_a_part_is_as_long_as_its_range(ecr: Any, repository: str, last: int) -> None:
    """API: InvalidLayerPartException, "The layer part size is not valid"."""
    started = upload(ecr, repository)
    answer = refused(
        "InvalidLayerPartException",
        ecr.upload_layer_part,
        repositoryName=repository,
        uploadId=started,
        partFirstByte=0,
        partLastByte=last,
        layerPartBlob=b"1234",
    )
    assert "lastValidByteReceived" not in answer


def test_a_part_has_at_most_20_mib(client: Callable[..., Any], repository: str) -> None:
    """API: LayerPartBlob."""
    ecr = client("ecr")
    largest = bytes(20_971_520)
    started = upload(ecr, repository, largest)
    refused(
        "InvalidParameterException",
        client("ecr", parameter_validation=False).upload_layer_part,
        repositoryName=repository,
        uploadId=started,
        partFirstByte=len(largest),
        partLastByte=2 * len(largest),
        layerPartBlob=largest + b"1",
    )


def test_every_part_but_the_last_has_5_mib(ecr: Any, repository: str) -> None:
    """API: LayerPartTooSmallException; words of dotnet/sdk-container-builds#424."""
    small, large = b"s" * (5 * MIB - 1), b"l" * 5 * MIB
    refusal = refused(
        "LayerPartTooSmallException",
        ecr.complete_layer_upload,
        repositoryName=repository,
        uploadId=upload(ecr, repository, large, small, b"end"),
        layerDigests=[digest_of(large + small + b"end")],
    )
    assert message(refusal) == "All layer parts except the last part should be at least 5MB"
    complete(ecr, repository, upload(ecr, repository, large, small), digest_of(large + small))


def test_an_upload_is_known_to_its_repository_only_and_ends_with_completion(ecr: Any, repository: str) -> None:
    """API: UploadNotFoundException, "or the specified upload ID is not valid for this repository"."""
    other = f"{repository}-other"
    ecr.create_repository(repositoryName=other)
    started = upload(ecr, repository, b"1")
    unknown = {"repositoryName": other, "uploadId": started, "layerDigests": [digest_of(b"1")]}
    answer = refused("UploadNotFoundException", ecr.complete_layer_upload, **unknown)
    assert message(answer) == (
        f"Upload with id '{started}' could not be found for the repository with name '{other}' "
        "in the registry with id '123456789012'"
    )
    complete(ecr, repository, started, digest_of(b"1"))
    refused("UploadNotFoundException", ecr.complete_layer_upload, **unknown | {"repositoryName": repository})


def test_a_layer_whose_bytes_are_not_those_of_its_digest_is_refused(ecr: Any, repository: str) -> None:
    """API: InvalidLayerException; words of abiosoft/colima#1167."""
    started = upload(ecr, repository, b"damaged")
    answer = refused(
        "InvalidLayerException",
        ecr.complete_layer_upload,
        repositoryName=repository,
        uploadId=started,
        layerDigests=[digest_of(b"whole")],
    )
    assert message(answer) == "None of the provided layer digests match the calculated layer digest"
    checked = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest_of(b"damaged")])
    assert checked["layers"][0]["layerAvailability"] == "UNAVAILABLE"


def test_an_upload_without_parts_is_not_completed(ecr: Any, repository: str) -> None:
    """Words of devcontainers/cli#814."""
    started = upload(ecr, repository)
    answer = refused(
        "EmptyUploadException",
        ecr.complete_layer_upload,
        repositoryName=repository,
        uploadId=started,
        layerDigests=[digest_of(b"")],
    )
    assert message(answer) == (
        f"The upload with id '{started}' in the repository with name '{repository}' in registry with id "
        "'123456789012' cannot be completed because it does not have any parts"
    )


def test_a_layer_that_is_there_is_not_taken_again(ecr: Any, repository: str) -> None:
    """API: LayerAlreadyExistsException."""
    push_blob(ecr, repository, b"once")
    refused(
        "LayerAlreadyExistsException",
        ecr.complete_layer_upload,
        repositoryName=repository,
        uploadId=upload(ecr, repository, b"once"),
        layerDigests=[digest_of(b"once")],
    )


def test_a_test_can_make_parts_take_long(aws: Any, ecr: Any, repository: str) -> None:
    """The condition `uploadPartSeconds`: a client that is killed during a part leaves it unreceived."""
    started = upload(ecr, repository)
    impatient = aws.client("ecr", read_timeout=2)
    aws.impose(uploadPartSeconds=300)
    try:
        with pytest.raises(ReadTimeoutError):
            upload_part(impatient, repository, started, 0, b"slow")
    finally:
        aws.impose(uploadPartSeconds=0)
    assert upload_part(ecr, repository, started, 0, b"quick")["lastByteReceived"] == 4


# Images: put


def test_an_image_comes_back_byte_for_byte(ecr: Any, repository: str) -> None:
    """API: PutImage, BatchGetImage; the digest is that of the manifest's bytes."""
    text = image_text(ecr, repository).replace(": ", " :  ")
    digest = put_image(ecr, repository, text, imageTag="1", imageDigest=digest_of(text))
    for image_id in ({"imageTag": "1"}, {"imageDigest": digest}):
        image = get_image(ecr, repository, image_id)
        assert (image["imageManifest"], image["imageManifestMediaType"]) == (text, DOCKER)
        assert image["imageId"]["imageDigest"] == digest == digest_of(text)


def test_an_image_whose_parts_are_missing_is_refused(ecr: Any, repository: str) -> None:
    """API: LayersNotFoundException; words of mapbox/ecs-conex#50."""
    parts = json.loads(image_text(ecr, repository))
    parts["layers"].append({"mediaType": images.LAYER, "digest": ABSENT, "size": 1})
    parts["config"]["digest"] = other = f"sha256:{'1' * 64}"
    answer = refused(
        "LayersNotFoundException", ecr.put_image, repositoryName=repository, imageManifest=json.dumps(parts)
    )
    assert message(answer) == (
        f"Layers with digests '[{other}, {ABSENT}]' required for pushing image into repository with name "
        f"'{repository}' in the registry with id '123456789012' do not exist"
    )


def test_an_image_has_the_digest_that_is_announced(ecr: Any, repository: str) -> None:
    """API: ImageDigestDoesNotMatchException."""
    text = image_text(ecr, repository)
    params = {"repositoryName": repository, "imageManifest": text, "imageDigest": ABSENT}
    refused("ImageDigestDoesNotMatchException", ecr.put_image, **params)
    assert tags(ecr, repository) == {}


@pytest.mark.parametrize("mutability", ["MUTABLE", "IMMUTABLE"])
def test_an_image_that_is_there_under_its_tag_is_refused(ecr: Any, mutability: str) -> None:
    """API: ImageAlreadyExistsException; words of buildkite-plugins/ecr-buildkite-plugin#111; see aws/aws-sdk#750."""
    name = unique("repository")
    ecr.create_repository(repositoryName=name, imageTagMutability=mutability)
    text = image_text(ecr, name)
    digest = put_image(ecr, name, text, imageTag="1")
    answer = refused(
        "ImageAlreadyExistsException", ecr.put_image, repositoryName=name, imageManifest=text, imageTag="1"
    )
    assert message(answer) == (
        f"Image with digest '{digest}' and tag '1' already exists in the repository with name '{name}' "
        "in registry with id '123456789012'"
    )


def test_an_image_takes_more_tags(ecr: Any, immutable_repository: str) -> None:
    """ECR User Guide, "Retagging an image in Amazon ECR"."""
    text = image_text(ecr, immutable_repository)
    digest = put_image(ecr, immutable_repository, text, imageTag="1")
    put_image(ecr, immutable_repository, text, imageTag="latest")
    assert tags(ecr, immutable_repository) == {digest: ["1", "latest"]}


def test_a_tag_is_not_moved_in_an_immutable_repository(ecr: Any, immutable_repository: str) -> None:
    """API: ImageTagAlreadyExistsException; words of aws/containers-roadmap#862."""
    first = put_image(ecr, immutable_repository, image_text(ecr, immutable_repository), imageTag="1")
    other = image_text(ecr, immutable_repository)
    params = {"repositoryName": immutable_repository, "imageManifest": other, "imageTag": "1"}
    answer = refused("ImageTagAlreadyExistsException", ecr.put_image, **params)
    assert message(answer) == (
        f"The image tag '1' already exists in the '{immutable_repository}' repository "
        "and cannot be overwritten because the repository is immutable."
    )
    assert tags(ecr, immutable_repository) == {first: ["1"]}


def test_a_tag_is_moved_in_a_mutable_repository_and_the_old_image_stays(ecr: Any, repository: str) -> None:
    """ECR User Guide, "Pushing an image": the image that had the tag becomes untagged."""
    first = put_image(ecr, repository, image_text(ecr, repository), imageTag="1")
    second = put_image(ecr, repository, image_text(ecr, repository), imageTag="1")
    assert tags(ecr, repository) == {first: [], second: ["1"]}


def test_exclusion_filters_turn_mutability_around(ecr: Any) -> None:
    """ECR User Guide, "Preventing image tags from being overwritten": exclusion filters with wildcards."""
    name = unique("repository")
    ecr.create_repository(
        repositoryName=name,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev*"}],
    )
    for tag in ("dev-1", "1"):
        put_image(ecr, name, image_text(ecr, name), imageTag=tag)
    put_image(ecr, name, image_text(ecr, name), imageTag="dev-1")
    params = {"repositoryName": name, "imageManifest": image_text(ecr, name), "imageTag": "1"}
    refused("ImageTagAlreadyExistsException", ecr.put_image, **params)


def test_a_manifest_says_what_it_is(ecr: Any, repository: str) -> None:
    """API: PutImage$imageManifestMediaType; words of aws/aws-sdk#193."""
    parts = json.loads(image_text(ecr, repository, OCI))
    del parts["mediaType"]
    for text in (json.dumps(parts), "[]", "no JSON"):
        answer = refused("InvalidParameterException", ecr.put_image, repositoryName=repository, imageManifest=text)
        assert message(answer) == (
            "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
        )
    put_image(ecr, repository, json.dumps(parts), imageTag="1", imageManifestMediaType=OCI)
    assert get_image(ecr, repository, {"imageTag": "1"})["imageManifestMediaType"] == OCI


def test_a_manifest_of_another_kind_is_refused(ecr: Any, repository: str) -> None:
    """ECR User Guide, "Container image manifest format support in Amazon ECR"."""
    text = image_text(ecr, repository)
    for media_type, manifest_text in ((OCI, text), ("text/plain", text.replace(DOCKER, "text/plain"))):
        params = {"imageManifest": manifest_text, "imageManifestMediaType": media_type}
        refused("InvalidParameterException", ecr.put_image, repositoryName=repository, **params)


def test_an_artifact_that_is_no_image_is_taken(ecr: Any, repository: str) -> None:
    """ECR User Guide, "Pushing a Helm chart to an Amazon ECR private repository"."""
    config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", **push_blob(ecr, repository, b"name: chart")}
    text = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": []})
    put_image(ecr, repository, text, imageTag="chart")
    (detail,) = ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert detail["artifactMediaType"] == config["mediaType"]


def test_a_tag_has_the_form_that_registries_agree_on(ecr: Any, repository: str) -> None:
    """OCI Distribution Specification, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`."""
    text = image_text(ecr, repository)
    for tag in (".hidden", "a b", "x" * 129):
        params = {"repositoryName": repository, "imageManifest": text, "imageTag": tag}
        refused("InvalidParameterException", ecr.put_image, **params)


@pytest.fixture
def multi_platform(ecr: Any, repository: str) -> dict[str, str]:
    """A list of two images, tagged `list`: the digests of `amd64`, `arm64` and `list`."""
    texts = {arch: image_text(ecr, repository, architecture=arch) for arch in ("amd64", "arm64")}
    digests = {arch: put_image(ecr, repository, text) for arch, text in texts.items()}
    digests["list"] = put_image(ecr, repository, list_text(texts), imageTag="list")
    return digests


def list_text(texts: dict[str, str]) -> str:
    members = [
        {
            "mediaType": DOCKER,
            "digest": digest_of(text),
            "size": len(text),
            "platform": {"os": "linux", "architecture": arch},
        }
        for arch, text in texts.items()
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": members})


def test_a_list_needs_its_images(ecr: Any, repository: str) -> None:
    """API: ReferencedImagesNotFoundException; words of int128/docker-manifest-create-action#63."""
    text = image_text(ecr, repository)
    params = {"repositoryName": repository, "imageManifest": list_text({"amd64": text}), "imageTag": "list"}
    answer = refused("ReferencedImagesNotFoundException", ecr.put_image, **params)
    assert message(answer) == (
        f"Images with digests '[{digest_of(text)}]' required for pushing image into repository with name "
        f"'{repository}' in the registry with id '123456789012' do not exist"
    )
    put_image(ecr, repository, text)
    ecr.put_image(**params)


def test_a_list_is_as_large_as_its_largest_image(ecr: Any, repository: str, multi_platform: dict[str, str]) -> None:
    """API: ImageDetail$imageSizeInBytes."""
    details = {d["imageDigest"]: d for d in ecr.describe_images(repositoryName=repository)["imageDetails"]}
    sizes = {name: details[digest]["imageSizeInBytes"] for name, digest in multi_platform.items()}
    assert sizes["list"] == max(sizes["amd64"], sizes["arm64"]) > 0
    assert details[multi_platform["list"]]["imageManifestMediaType"] == DOCKER_LIST


# Images: get, list, delete


def test_images_that_cannot_be_had_are_failures_with_a_code(ecr: Any, repository: str) -> None:
    """API: ImageFailureCode."""
    digest = put_image(ecr, repository, image_text(ecr, repository), imageTag="1")
    put_image(ecr, repository, image_text(ecr, repository), imageTag="2")
    codes = {
        "ImageNotFound": {"imageTag": "3"},
        "MissingDigestAndTag": {},
        "InvalidImageDigest": {"imageDigest": "sha256:1"},
        "ImageTagDoesNotMatchDigest": {"imageDigest": digest, "imageTag": "2"},
    }
    assert {code: failure_code(ecr, repository, image_id) for code, image_id in codes.items()} == {c: c for c in codes}
    assert failure_code(ecr, repository, {"imageDigest": ABSENT}) == "ImageNotFound"


def test_found_and_missing_images_come_in_one_answer(ecr: Any, repository: str) -> None:
    """API: BatchGetImageResponse: images and failures."""
    put_image(ecr, repository, image_text(ecr, repository), imageTag="1")
    answer = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "1"}, {"imageTag": "2"}])
    assert [image["imageId"]["imageTag"] for image in answer["images"]] == ["1"]
    assert [failure["imageId"] for failure in answer["failures"]] == [{"imageTag": "2"}]


@pytest.mark.parametrize(("stored", "accepted"), [(OCI, DOCKER), (DOCKER, OCI)])
def test_a_manifest_is_converted_by_tag_and_never_by_digest(
    ecr: Any, repository: str, stored: str, accepted: str
) -> None:
    """ECR User Guide, "Container image manifest format support in Amazon ECR": the table of conversions."""
    text = image_text(ecr, repository, stored)
    digest = put_image(ecr, repository, text, imageTag="1")
    converted = get_image(ecr, repository, {"imageTag": "1"}, acceptedMediaTypes=[accepted])
    parts = json.loads(converted["imageManifest"])
    assert converted["imageManifestMediaType"] == parts["mediaType"] == accepted
    assert converted["imageId"]["imageDigest"] == digest_of(converted["imageManifest"]) != digest
    assert parts["layers"][0]["digest"] == json.loads(text)["layers"][0]["digest"]
    assert parts["layers"][0]["mediaType"] == (OCI_LAYER if accepted == OCI else images.LAYER)
    unconverted = get_image(ecr, repository, {"imageTag": "1"}, acceptedMediaTypes=[accepted, stored])
    assert unconverted["imageManifest"] == text
    by_digest = {"imageDigest": digest}
    assert failure_code(ecr, repository, by_digest, acceptedMediaTypes=[accepted]) == "ImageNotFound"


def test_a_list_is_given_only_to_who_accepts_it(ecr: Any, repository: str, multi_platform: dict[str, str]) -> None:
    """API: BatchGetImage$acceptedMediaTypes; a list becomes no image."""
    image_id = {"imageTag": "list"}
    assert failure_code(ecr, repository, image_id, acceptedMediaTypes=[DOCKER]) == "ImageNotFound"
    accepted = get_image(ecr, repository, image_id, acceptedMediaTypes=[DOCKER, DOCKER_LIST])
    assert accepted["imageId"]["imageDigest"] == multi_platform["list"]


def test_images_are_described_as_they_are(ecr: Any, repository: str) -> None:
    """API: ImageDetail."""
    text = image_text(ecr, repository)
    digest = put_image(ecr, repository, text, imageTag="1")
    (detail,) = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "1"}])["imageDetails"]
    parts = json.loads(text)
    size = parts["config"]["size"] + parts["layers"][0]["size"]
    assert (detail["imageDigest"], detail["imageTags"], detail["imageSizeInBytes"]) == (digest, ["1"], size)
    assert (detail["imageManifestMediaType"], detail["artifactMediaType"]) == (DOCKER, images.CONFIG)
    answer = refused(
        "ImageNotFoundException", ecr.describe_images, repositoryName=repository, imageIds=[{"imageTag": "2"}]
    )
    assert message(answer).startswith("The image with imageId {imageDigest:'null', imageTag:'2'} does not exist")


def test_lists_come_in_pages(ecr: Any, repository: str) -> None:
    """API: ListImages$maxResults, DescribeImages$nextToken."""
    text = image_text(ecr, repository)
    for tag in "12345":
        put_image(ecr, repository, text, imageTag=tag)
    untagged = put_image(ecr, repository, image_text(ecr, repository))
    first = ecr.list_images(repositoryName=repository, maxResults=4)
    rest = ecr.list_images(repositoryName=repository, maxResults=4, nextToken=first["nextToken"])
    assert [i["imageTag"] for i in first["imageIds"]] == ["1", "2", "3", "4"]
    assert rest["imageIds"] == [{"imageDigest": digest_of(text), "imageTag": "5"}, {"imageDigest": untagged}]
    assert "nextToken" not in rest
    tagged = ecr.describe_images(repositoryName=repository, filter={"tagStatus": "TAGGED"}, maxResults=1)
    assert [d["imageDigest"] for d in tagged["imageDetails"]] == [digest_of(text)]
    assert "nextToken" not in tagged


def test_an_image_goes_with_its_last_tag_or_by_its_digest(ecr: Any, repository: str) -> None:
    """API: BatchDeleteImage."""
    text = image_text(ecr, repository)
    digest = put_image(ecr, repository, text, imageTag="1")
    put_image(ecr, repository, text, imageTag="2")
    untagged = put_image(ecr, repository, image_text(ecr, repository))

    def delete(**image_id: str) -> Any:
        return ecr.batch_delete_image(repositoryName=repository, imageIds=[image_id])

    assert delete(imageTag="1")["imageIds"] == [{"imageDigest": digest, "imageTag": "1"}]
    assert tags(ecr, repository) == {digest: ["2"], untagged: []}
    assert delete(imageTag="2")["imageIds"] == [{"imageDigest": digest, "imageTag": "2"}]
    assert delete(imageDigest=untagged)["imageIds"] == [{"imageDigest": untagged}]
    assert delete(imageTag="1")["failures"][0]["failureCode"] == "ImageNotFound"
    assert tags(ecr, repository) == {}


def test_an_image_of_a_list_is_deleted_after_the_list(
    ecr: Any, repository: str, multi_platform: dict[str, str]
) -> None:
    """API: ImageFailureCode, ImageReferencedByManifestList."""
    member = {"imageIds": [{"imageDigest": multi_platform["amd64"]}], "repositoryName": repository}
    assert ecr.batch_delete_image(**member)["failures"][0]["failureCode"] == "ImageReferencedByManifestList"
    ecr.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": "list"}])
    assert ecr.batch_delete_image(**member)["failures"] == []


# For the other services of the sandbox


@pytest.fixture
def in_process(tmp_path: Path) -> Iterator[Any]:
    """`in_process(operation, **params)`: the service without a server, in an account of the test's own."""
    service, account = Ecr(tmp_path, lambda *_: None), str(uuid.uuid4().int)[:12]

    def call(operation: str, **params: Any) -> Any:
        context = RequestContext(account, "ap-northeast-1", operation, {}, "http://sandbox", Conditions())
        return service.handle(operation, params, context)

    call.account = account  # type: ignore[attr-defined]
    yield call


def test_the_manifest_of_a_published_image_is_at_hand() -> None:
    found = manifest(AWS_ACCOUNT, "ap-northeast-1", "sagemaker-tritonserver", "23.10-py3")
    assert found is not None
    assert (found.media_type, found.platform) == (DOCKER, "linux/amd64")
    by_digest = manifest(AWS_ACCOUNT, "ap-northeast-1", "sagemaker-tritonserver", digest_of(found.body))
    assert by_digest == found
    assert manifest(AWS_ACCOUNT, "us-east-1", "sagemaker-tritonserver", "23.10-py3") is None
    assert manifest(AWS_ACCOUNT, "ap-northeast-1", "sagemaker-tritonserver", "24.05-py3") is None


def test_the_manifest_of_an_own_image_is_at_hand_with_its_platform(in_process: Any) -> None:
    from moto.ecr.models import ecr_backends

    ecr_backends[in_process.account]["ap-northeast-1"].create_repository("own", None, {}, {}, "MUTABLE", [])
    for content in (config := b'{"os": "linux", "architecture": "arm64"}', b"layer"):
        upload_id = in_process("InitiateLayerUpload", repositoryName="own")["uploadId"]
        part = {"partFirstByte": 0, "partLastByte": len(content) - 1, "layerPartBlob": content}
        in_process("UploadLayerPart", repositoryName="own", uploadId=upload_id, **part)
        in_process("CompleteLayerUpload", repositoryName="own", uploadId=upload_id, layerDigests=[digest_of(content)])
    parts = {
        "config": {"mediaType": images.CONFIG, "digest": digest_of(config)},
        "layers": [{"digest": digest_of(b"layer")}],
    }
    text = json.dumps({"mediaType": DOCKER, **parts})
    in_process("PutImage", repositoryName="own", imageManifest=text, imageTag="1")
    assert manifest(in_process.account, "ap-northeast-1", "own", "1") == (DOCKER, text.encode(), "linux/arm64")
