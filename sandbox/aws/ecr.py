"""ECR as strict as AWS, in front of moto: registries of other accounts, layers, manifests and tags.

Repositories, their policies and their tags are moto's, and moto's repository objects hold the images and layers too, so
that its answers about them stay true. Layers' bytes are in `layers.py`; AWS's image accounts are in `images.py`.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from moto.ecr.models import Image, Repository, ecr_backends

from sandbox.aws import images
from sandbox.aws.layers import LayerStore, LayerUpload
from sandbox.aws.protocol import PASS_TO_MOTO, AwsError, Guard, RequestContext, partition
from sandbox.aws.registry import Body, Caller, Perform, RegistryServer

#: What InitiateLayerUpload tells clients (its example in the AWS CLI's reference).
PART_SIZE: Final = 10_485_760
#: LayerPartTooSmallException: "Layer parts must be at least 5 MiB in size."
SMALLEST_PART: Final = 5 * 1024 * 1024

_DOCKER_MANIFEST = images.MANIFEST
_DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_OCI_INDEX = "application/vnd.oci.image.index.v1+json"
_LISTS = frozenset({_DOCKER_LIST, _OCI_INDEX})
_OCI_OF_DOCKER = {
    _DOCKER_MANIFEST: _OCI_MANIFEST,
    images.CONFIG: "application/vnd.oci.image.config.v1+json",
    images.LAYER: "application/vnd.oci.image.layer.v1.tar+gzip",
}
_DOCKER_OF_OCI = {oci: docker for docker, oci in _OCI_OF_DOCKER.items()}

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")

#: What the repository policies of AWS's image accounts grant to everybody: what a pull needs, and a look at the tags.
_GRANTED_BY_PUBLISHERS: Final = frozenset(
    {"BatchGetImage", "GetDownloadUrlForLayer", "BatchCheckLayerAvailability", "DescribeImages"}
)

_publishing = threading.Lock()

Answer = dict[str, Any]


class Manifest(NamedTuple):
    """An image as a registry serves it; `platform` is `os/architecture`, None for what is not one image."""

    media_type: str
    body: bytes
    platform: str | None


class StoredImage(Image):
    """moto's image, with its platform."""

    platform: str | None = None


def find_repository(account: str, region: str, name: str) -> Repository | None:
    """moto's repository in any registry of this AWS; one that AWS publishes is made when it is first asked for."""
    with _publishing:
        backend = ecr_backends[account][region]
        tags = images.published_tags(account, region) if name == images.REPOSITORY else ()
        if tags and name not in backend.repositories:
            _publish(backend.create_repository(name, None, {}, {}, "MUTABLE", []), tags)
        return backend.repositories.get(name)


def manifest(account: str, region: str, name: str, digest_or_tag: str) -> Manifest | None:
    """The image that a reference means, in any registry of this AWS; None where there is no such image.

    For services that pull images, as SageMaker's CreateModel does.
    """
    found = find_repository(account, region, name)
    image = found and _image(found, digest_or_tag)
    return Manifest(_media_type(image), image.image_manifest.encode(), image.platform) if image else None


@dataclass(frozen=True)
class _Call:
    """A call for one repository."""

    repository: Repository
    params: Mapping[str, Any]
    context: RequestContext

    @property
    def place(self) -> Answer:
        """The members with which ECR names the repository in most answers."""
        return {"registryId": self.repository.registry_id, "repositoryName": self.repository.name}

    @property
    def where(self) -> str:
        """How most of ECR's messages name the repository."""
        return f"repository with name '{self.repository.name}' in the registry with id '{self.repository.registry_id}'"

    @property
    def where_else(self) -> str:
        """How the others do."""
        return self.where.replace(" the registry ", " registry ")


class Ecr:
    """The service; `directory` is where layers' bytes go, `guard` refuses calls."""

    def __init__(self, directory: Path, guard: Guard) -> None:
        self._guard = guard
        self._layers = LayerStore(directory)
        self._registry: RegistryServer | None = None
        self._lock = threading.RLock()
        self._uploads: dict[str, tuple[Repository, LayerUpload]] = {}
        self._operations: Mapping[str, Callable[[_Call], Answer]] = {
            "BatchCheckLayerAvailability": self._batch_check_layer_availability,
            "BatchDeleteImage": self._batch_delete_image,
            "BatchGetImage": self._batch_get_image,
            "CompleteLayerUpload": self._complete_layer_upload,
            "DescribeImages": self._describe_images,
            "GetDownloadUrlForLayer": self._get_download_url_for_layer,
            "InitiateLayerUpload": self._initiate_layer_upload,
            "ListImages": self._list_images,
            "PutImage": self._put_image,
        }

    def serve(self, perform: Perform) -> None:
        """Serve the HTTP API of the registries, and layers' download addresses, until `close`."""
        self._registry = RegistryServer(self._layers, perform, _tag_is_immutable)
        threading.Thread(target=self._registry.serve_forever, daemon=True).start()

    def close(self) -> None:
        if self._registry is not None:
            self._registry.shutdown()
            self._registry.server_close()

    @property
    def _served(self) -> RegistryServer:
        assert self._registry is not None, "the registries are not served"
        return self._registry

    def handle(self, operation: str, params: dict[str, Any], context: RequestContext) -> Answer | None:
        if operation == "GetAuthorizationToken":
            return self._authorization(params.get("registryIds", [context.account]), context)
        account, name = params.get("registryId", context.account), params.get("repositoryName")
        if account != context.account:
            _authorize_abroad(operation, account, name or "*", context)
        self._guard(operation, params, context)
        if operation != "UploadLayerPart" and operation not in self._operations:
            return PASS_TO_MOTO  # type: ignore[no-any-return]
        found = find_repository(account, context.region, params["repositoryName"])
        if found is None:
            raise _repository_not_found(params["repositoryName"], account)
        call = _Call(found, params, context)
        if operation == "UploadLayerPart":
            return self._upload_layer_part(call)
        with self._lock:
            return self._operations[operation](call)

    def _authorization(self, registries: Sequence[str], context: RequestContext) -> Answer:
        """Tokens, and where their registries are served: on AWS at `https://ACCOUNT.dkr.ecr.REGION.amazonaws.com`."""
        expires = datetime.now(UTC) + timedelta(seconds=context.conditions.authorization_token_seconds)
        return {
            "authorizationData": [
                {
                    "authorizationToken": self._served.token(
                        Caller(context.account, registry, context.region), expires
                    ),
                    "expiresAt": expires,
                    "proxyEndpoint": self._registry_url(context),
                }
                for registry in registries
            ]
        }

    def _registry_url(self, context: RequestContext) -> str:
        return context.conditions.proxy_endpoint or self._served.url

    def _platform(self, text: str) -> str | None:
        config = json.loads(text).get("config", {})
        if config.get("mediaType") not in (images.CONFIG, _OCI_OF_DOCKER[images.CONFIG]):
            return None
        settings = json.loads(self._layers.read(config["digest"]))
        return f"{settings.get('os')}/{settings.get('architecture')}"

    def _batch_check_layer_availability(self, call: _Call) -> Answer:
        layers, failures = [], []
        for digest in call.params["layerDigests"]:
            if not _DIGEST.fullmatch(digest):
                code = "InvalidLayerDigest" if digest else "MissingLayerDigest"
                failures.append(
                    {"layerDigest": digest, "failureCode": code, "failureReason": f"Invalid layer digest '{digest}'"}
                )
            elif digest in call.repository.layers:
                layers.append(
                    {
                        "layerDigest": digest,
                        "layerAvailability": "AVAILABLE",
                        "layerSize": call.repository.layers[digest],
                        "mediaType": images.LAYER,
                    }
                )
            else:
                layers.append({"layerDigest": digest, "layerAvailability": "UNAVAILABLE"})
        return {"layers": layers, "failures": failures}

    def _get_download_url_for_layer(self, call: _Call) -> Answer:
        digest = call.params["layerDigest"]
        if digest not in call.repository.layers:
            raise AwsError(
                "LayersNotFoundException",
                f"The layer with digest '{digest}' does not exist within the {call.where}",
            )
        if not any(digest in _referenced_layers(image) for image in _images(call.repository)):
            raise AwsError(
                "LayerInaccessibleException",
                f"The layer with digest '{digest}' within the {call.where} is not associated with an image",
            )
        seconds, url = call.context.conditions.layer_url_seconds, self._registry_url(call.context)
        return {
            "downloadUrl": self._layers.download_url(digest, url, seconds),
            "layerDigest": digest,
        }

    def _initiate_layer_upload(self, call: _Call) -> Answer:
        upload = self._layers.begin()
        self._uploads[upload.id] = (call.repository, upload)
        return {"uploadId": upload.id, "partSize": PART_SIZE}

    def _upload_layer_part(self, call: _Call) -> Answer:
        upload = self._upload(call)
        time.sleep(call.context.conditions.upload_part_seconds)
        first, part = call.params["partFirstByte"], call.params["layerPartBlob"]
        with upload.lock:
            if first != upload.size:
                raise _invalid_part(call, upload, f"First byte of the layer part is {first} instead of {upload.size}")
            if isinstance(part, Body):
                upload.append(part, PART_SIZE)
                return {"firstRequest": upload.first_request}
            last = call.params["partLastByte"]
            if len(part) != last - first + 1:
                raise _invalid_part(
                    call, upload, f"The layer part has {len(part)} bytes, and bytes {first} to {last} were announced"
                )
            upload.append([part])
            return call.place | {"uploadId": upload.id, "lastByteReceived": last}

    def _complete_layer_upload(self, call: _Call) -> Answer:
        upload = self._upload(call)
        with upload.lock:
            _check_complete(call, upload)
            del self._uploads[upload.id]
            if upload.digest in call.repository.layers:
                self._layers.discard(upload)
                raise AwsError(
                    "LayerAlreadyExistsException",
                    f"The layer with digest '{upload.digest}' already exists in the {call.where_else}",
                )
            self._layers.keep(upload)
            call.repository.layers[upload.digest] = upload.size
            return call.place | {"uploadId": upload.id, "layerDigest": upload.digest}

    def _upload(self, call: _Call) -> LayerUpload:
        repository, upload = self._uploads.get(call.params["uploadId"], (None, None))
        if upload is None or repository is not call.repository:
            raise AwsError(
                "UploadNotFoundException",
                f"Upload with id '{call.params['uploadId']}' could not be found for the {call.where}",
            )
        return upload

    def _put_image(self, call: _Call) -> Answer:
        text, tag = call.params["imageManifest"], call.params.get("imageTag")
        digest = images.digest_of(text.encode())
        media_type = _checked_manifest(call)
        if tag is not None and not _TAG.fullmatch(tag):
            raise _invalid_parameter("imageTag", f"must satisfy regular expression '{_TAG.pattern}'")
        if call.params.get("imageDigest", digest) != digest:
            raise AwsError(
                "ImageDigestDoesNotMatchException",
                f"The specified image digest '{call.params['imageDigest']}' does not match the digest that Amazon ECR "
                f"calculated for the image, '{digest}'",
            )
        image = _image(call.repository, digest)
        if image is not None and (tag is None or tag in image.image_tags):
            raise AwsError(
                "ImageAlreadyExistsException",
                f"Image with digest '{digest}' and tag '{tag or 'null'}' already exists in the {call.where_else}",
            )
        if tag is not None:
            _release_tag(call.repository, tag)
        if image is None:
            image = _stored(call.repository, tag, text, media_type, self._platform(text))
            call.repository.images.append(image)
        elif tag is not None:
            image.update_tag(tag)
        return {"image": _shown(call, image, {"imageDigest": digest, "imageTag": tag}, text, media_type)}

    def _batch_get_image(self, call: _Call) -> Answer:
        found, failures = [], []
        for wanted in call.params["imageIds"]:
            image = _identified(call.repository, wanted)
            served = image and _served(image, call.params.get("acceptedMediaTypes"), by_digest="imageDigest" in wanted)
            if not image or not served:
                failures.append(_failure(call.repository, wanted))
            else:
                text, media_type = served
                identity = wanted | {"imageDigest": images.digest_of(text.encode())}
                found.append(_shown(call, image, identity, text, media_type))
        return {"images": found, "failures": failures}

    def _describe_images(self, call: _Call) -> Answer:
        if "imageIds" in call.params:
            described = [_existing(call, wanted) for wanted in call.params["imageIds"]]
            return {"imageDetails": [_detail(call, image) for image in dict.fromkeys(described)]}
        listed = [image for image in _images(call.repository) if _has_status(image, call.params)]
        page, more = _page(listed, call.params)
        return {"imageDetails": [_detail(call, image) for image in page]} | more

    def _list_images(self, call: _Call) -> Answer:
        listed = [image for image in _images(call.repository) if _has_status(image, call.params)]
        page, more = _page([identity for image in listed for identity in _identities(image)], call.params)
        return {"imageIds": page} | more

    def _batch_delete_image(self, call: _Call) -> Answer:
        deleted: list[Answer] = []
        failures = []
        for wanted in call.params["imageIds"]:
            image = _identified(call.repository, wanted)
            whole = image is not None and ("imageDigest" in wanted or image.image_tags == [wanted["imageTag"]])
            if image is None:
                failures.append(_failure(call.repository, wanted))
            elif whole and (lists := _lists_with(call.repository, image)):
                failures.append(
                    {
                        "imageId": wanted,
                        "failureCode": "ImageReferencedByManifestList",
                        "failureReason": f"Requested image referenced by manifest list: [{', '.join(lists)}]",
                    }
                )
            elif whole:
                deleted.extend(_identities(image))
                call.repository.images.remove(image)
            else:
                deleted.append({"imageDigest": image.image_digest, "imageTag": wanted["imageTag"]})
                image.remove_tag(wanted["imageTag"])
        return {"imageIds": deleted, "failures": failures}


def _publish(place: Repository, tags: Sequence[str]) -> None:
    for tag in tags:
        image = images.published_image(tag)
        place.layers.update({digest: len(blob) for digest, blob in image.blobs.items()})
        place.images.append(_stored(place, tag, image.manifest.decode(), images.MANIFEST, images.PLATFORM))


def _stored(place: Repository, tag: str | None, text: str, media_type: str, platform: str | None) -> StoredImage:
    digest = images.digest_of(text.encode())
    image = StoredImage(place.account_id, tag, text, place.name, media_type, digest, place.registry_id)  # type: ignore[arg-type]
    image.platform = platform
    return image


def _authorize_abroad(operation: str, account: str, name: str, context: RequestContext) -> None:
    """Raises unless the repository of another account grants the operation; AWS does not say whether there is one."""
    published = name == images.REPOSITORY and images.published_tags(account, context.region)
    if published and operation in _GRANTED_BY_PUBLISHERS:
        return
    where = partition(context.region)
    raise AwsError(
        "AccessDeniedException",
        f"User: arn:{where}:sts::{context.account}:user/moto is not authorized to perform: ecr:{operation} "
        f"on resource: arn:{where}:ecr:{context.region}:{account}:repository/{name} "
        f"because no resource-based policy allows the ecr:{operation} action",
    )


def _repository_not_found(name: str, registry: str) -> AwsError:
    return AwsError(
        "RepositoryNotFoundException",
        f"The repository with name '{name}' does not exist in the registry with id '{registry}'",
    )


def _invalid_parameter(name: str, constraint: str) -> AwsError:
    return AwsError(
        "InvalidParameterException",
        f"Invalid parameter at '{name}' failed to satisfy constraint: '{constraint}'",
    )


def _invalid_part(call: _Call, upload: LayerUpload, message: str) -> AwsError:
    """With the last byte received, where there is one: a client goes on behind it."""
    received = {"lastValidByteReceived": upload.size - 1} if upload.size else {}
    return AwsError("InvalidLayerPartException", message, **call.place, uploadId=upload.id, **received)


def _check_complete(call: _Call, upload: LayerUpload) -> None:
    if not upload.part_sizes:
        raise AwsError(
            "EmptyUploadException",
            f"The upload with id '{upload.id}' in the {call.where_else} "
            "cannot be completed because it does not have any parts",
        )
    if any(size < SMALLEST_PART for size in upload.part_sizes[:-1]):
        raise AwsError(
            "LayerPartTooSmallException",
            "All layer parts except the last part should be at least 5MB",
        )
    if upload.digest not in call.params["layerDigests"]:
        raise AwsError(
            "InvalidLayerException",
            "None of the provided layer digests match the calculated layer digest",
        )


def _checked_manifest(call: _Call) -> str:
    """The media type of the manifest to put; raises unless all that it names is in the repository."""
    try:
        manifest = json.loads(call.params["imageManifest"])
    except ValueError:
        manifest = None
    # A manifest that does not say what it is is no valid JSON to ECR: aws/aws-sdk#193.
    if not isinstance(manifest, dict) or not {"mediaType", "imageManifestMediaType"} & {*manifest, *call.params}:
        raise _invalid_parameter("ImageManifest", "Invalid JSON syntax")
    media_type = str(call.params.get("imageManifestMediaType", manifest.get("mediaType")))
    if manifest.get("mediaType", media_type) != media_type:
        raise _invalid_parameter("imageManifestMediaType", f"must be the manifest's mediaType {manifest['mediaType']}")
    if media_type in _LISTS:
        present = {image.image_digest for image in _images(call.repository)}
        _check_present(call, "ReferencedImagesNotFoundException", "Images", _members(manifest), present)
    elif media_type in (_DOCKER_MANIFEST, _OCI_MANIFEST):
        _check_present(call, "LayersNotFoundException", "Layers", _blobs(manifest), call.repository.layers)
    else:
        raise _invalid_parameter("imageManifestMediaType", f"{media_type} is not a supported manifest format")
    return media_type


def _check_present(
    call: _Call, code: str, what: str, digests: Sequence[str], present: Mapping[str, int] | set[str]
) -> None:
    missing = [digest for digest in dict.fromkeys(digests) if digest not in present]
    if missing:
        named = f"{what} with digests '[{', '.join(missing)}]'"
        raise AwsError(code, f"{named} required for pushing image into {call.where} do not exist")


def _members(index: Mapping[str, Any]) -> list[str]:
    return [member["digest"] for member in index.get("manifests", [])]


def _blobs(manifest: Mapping[str, Any]) -> list[str]:
    """Config and layers; foreign ones are downloaded from elsewhere and pushed nowhere."""
    layers = [layer for layer in manifest.get("layers", []) if not layer.get("urls")]
    return [blob["digest"] for blob in (manifest.get("config", {}), *layers) if "digest" in blob]


def _referenced_layers(image: StoredImage) -> list[str]:
    return [] if _media_type(image) in _LISTS else _blobs(json.loads(image.image_manifest))


def _lists_with(repository: Repository, image: StoredImage) -> list[str]:
    lists = (other for other in _images(repository) if _media_type(other) in _LISTS)
    return [str(one.image_digest) for one in lists if image.image_digest in _members(json.loads(one.image_manifest))]


def _release_tag(repository: Repository, tag: str) -> None:
    """Takes a tag from the image that has it, which stays, untagged; raises where the tag cannot be moved."""
    holder = _image(repository, tag)
    if holder is None:
        return
    if _is_immutable(repository, tag):
        raise AwsError(
            "ImageTagAlreadyExistsException",
            f"The image tag '{tag}' already exists in the '{repository.name}' repository "
            "and cannot be overwritten because the repository is immutable.",
        )
    holder.remove_tag(tag)


def _is_immutable(repository: Repository, tag: str) -> bool:
    """The exclusion filters turn the repository's setting around for the tags that match them."""
    filters = repository.image_tag_mutability_exclusion_filters or []
    excluded = any(fnmatchcase(tag, each["filter"]) for each in filters)
    return repository.is_tag_immutable() != excluded


def _tag_is_immutable(account: str, region: str, repository: str, tag: str) -> bool:
    found = find_repository(account, region, repository)
    return found is not None and _is_immutable(found, tag)


def _images(repository: Repository) -> list[StoredImage]:
    return cast(list[StoredImage], repository.images)


def _image(repository: Repository, digest_or_tag: str) -> StoredImage | None:
    named = (image for image in _images(repository) if digest_or_tag in (image.image_digest, *image.image_tags))
    return next(named, None)


def _identified(repository: Repository, wanted: Mapping[str, str]) -> StoredImage | None:
    """The image that has the digest and the tag, as far as they are given."""
    names = [wanted[key] for key in ("imageDigest", "imageTag") if key in wanted]
    matches = [_image(repository, name) for name in names]
    return matches[0] if matches and all(match is matches[0] for match in matches) else None


def _failure(repository: Repository, wanted: Mapping[str, str]) -> Answer:
    digest, tag = wanted.get("imageDigest"), wanted.get("imageTag")
    if not digest and not tag:
        code, reason = "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"
    elif digest and not _DIGEST.fullmatch(digest):
        code = "InvalidImageDigest"
        reason = "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
    elif digest and tag and _image(repository, digest) and _image(repository, tag):
        code, reason = "ImageTagDoesNotMatchDigest", "Requested image tag does not match the requested digest"
    else:
        code, reason = "ImageNotFound", "Requested image not found"
    return {"imageId": dict(wanted), "failureCode": code, "failureReason": reason}


def _existing(call: _Call, wanted: Mapping[str, str]) -> StoredImage:
    image = _identified(call.repository, wanted)
    if image is None:
        digest, tag = wanted.get("imageDigest", "null"), wanted.get("imageTag", "null")
        named = f"The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}}"
        raise AwsError("ImageNotFoundException", f"{named} does not exist within the {call.where}")
    return image


def _served(image: StoredImage, accepted: Sequence[str] | None, *, by_digest: bool) -> tuple[str, str] | None:
    """The manifest in a media type that the client accepts, or None.

    By tag ECR converts between Docker's and OCI's form, which changes the digest; by digest it converts nothing
    (ECR User Guide, "Container image manifest format support in Amazon ECR").
    """
    media_type = _media_type(image)
    if accepted is None or media_type in accepted:
        return str(image.image_manifest), media_type
    other_names = {_DOCKER_MANIFEST: _OCI_OF_DOCKER, _OCI_MANIFEST: _DOCKER_OF_OCI}.get(media_type)
    if by_digest or other_names is None or other_names[media_type] not in accepted:
        return None
    manifest = json.loads(image.image_manifest)
    for part in (manifest, manifest["config"], *manifest["layers"]):
        part["mediaType"] = other_names.get(part.get("mediaType", media_type), part.get("mediaType"))
    return json.dumps(manifest), other_names[media_type]


def _shown(call: _Call, image: StoredImage, identity: Mapping[str, str | None], text: str, media_type: str) -> Answer:
    identity = {key: value for key, value in identity.items() if value is not None}
    return call.place | {"imageId": identity, "imageManifest": text, "imageManifestMediaType": media_type}


def _detail(call: _Call, image: StoredImage) -> Answer:
    manifest = json.loads(image.image_manifest)
    return call.place | {
        "imageDigest": image.image_digest,
        "imageTags": list(image.image_tags) or None,
        "imageSizeInBytes": _size(call.repository, manifest),
        "imagePushedAt": image.image_pushed_at,
        "imageManifestMediaType": _media_type(image),
        "artifactMediaType": manifest.get("config", {}).get("mediaType"),
    }


def _size(repository: Repository, manifest: Mapping[str, Any]) -> int:
    """Of a list the largest of its images (ImageDetail$imageSizeInBytes)."""
    if "manifests" in manifest:
        members = [_image(repository, digest) for digest in _members(manifest)]
        return max((_size(repository, json.loads(m.image_manifest)) for m in members if m), default=0)
    return sum(repository.layers[digest] for digest in _blobs(manifest))


def _identities(image: StoredImage) -> Iterator[Answer]:
    tagged = [{"imageDigest": image.image_digest, "imageTag": tag} for tag in image.image_tags]
    yield from tagged or [{"imageDigest": image.image_digest}]


def _has_status(image: StoredImage, params: Mapping[str, Any]) -> bool:
    status = params.get("filter", {}).get("tagStatus", "ANY")
    return bool(status == "ANY" or (status == "TAGGED") == bool(image.image_tags))


def _page(items: Sequence[Any], params: Mapping[str, Any]) -> tuple[Sequence[Any], Answer]:
    """A page of at most `maxResults` items, 100 unless told otherwise (DescribeImages, ListImages)."""
    try:
        first = int(base64.b64decode(params.get("nextToken", "MA=="), validate=True))
    except ValueError:
        raise _invalid_parameter("nextToken", "must be a token of an earlier answer") from None
    last = first + int(params.get("maxResults", 100))
    more = {"nextToken": base64.b64encode(str(last).encode()).decode()} if last < len(items) else {}
    return items[first:last], more


def _media_type(image: StoredImage) -> str:
    return str(image.image_manifest_media_type)
