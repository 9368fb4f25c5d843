"""The errors of copying an image. No message contains a signed URL or a token.

Whatever goes wrong with a registry or an image, the functions of infra/image raise an `ImageCopyError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.diagnostics.printable import printable
from infra.errors import UserError

RUN_AGAIN = "Run the command again."
RESUME = "Run the command again: it continues where the copy ended."


class ImageCopyError(UserError):
    """The image was not copied. The message names the image, the rule and the way out, and escapes what a registry sent
    (`printable`)."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(printable, message.split("\n"))))


class InvalidImageReference(ImageCopyError, ValueError):
    """The text is not an image reference that can be copied."""


class UnknownImage(ImageCopyError, ValueError):
    """AWS does not publish that version of the Triton image, or none in that region."""


class ImageNotFound(ImageCopyError):
    """The registry does not have the image."""


class UnsupportedImage(ImageCopyError):
    """The image exists, but SageMaker cannot run it as it is."""


class ImageNotVerified(UnsupportedImage):
    """The image exists, but does not serve Triton on SageMaker: it fails `mirror --verify`."""

    exit_code = 1


class ImageTagConflict(ImageCopyError):
    """The tag of an immutable repository already names another image."""


class DigestMismatch(ImageCopyError):
    """The received bytes do not have the expected digest."""


class TransferFailed(ImageCopyError):
    """A download or upload still failed after all retries."""


class RegistryRefused(ImageCopyError):
    """A registry other than ECR refused a request."""


class EcrRefused(ImageCopyError):
    """ECR refused a call. The message names operation, repository, AWS's code and message, and the way out.

    Attributes:
        code: AWS's error code.
        details: the modelled fields of the error, such as `lastValidByteReceived`.
    """

    def __init__(
        self, operation: str, resource: str, code: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        self.operation = operation
        self.code = code
        self.details = dict(details or {})
        way_out = next((hint.format(operation=operation) for codes, hint in _WAYS_OUT if code in codes), "")
        reason = printable(message).rstrip(".")
        super().__init__(f"{resource}: {operation} was refused: {code}: {reason}. {way_out}".rstrip())


_WAYS_OUT = (
    (
        {"AccessDeniedException", "AccessDenied", "DENIED"},
        "Check account and region, and allow the caller ecr:{operation}; across accounts, the repository's policy must "
        "allow it too.",
    ),
    (
        {"RepositoryNotFoundException", "NAME_UNKNOWN"},
        "Check account, region and name. A destination repository must exist before the copy.",
    ),
    (
        {"ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException", "NoCredentials"},
        f"Renew the AWS credentials. {RUN_AGAIN}",
    ),
    (
        {"LayerInaccessibleException"},
        "Push the image again, or, if it is archived, restore it with `aws ecr update-image-storage-class`.",
    ),
    ({"InvalidLayerException", "ImageDigestDoesNotMatchException"}, f"It changed in transit. {RUN_AGAIN}"),
    ({"KmsException", "KmsError"}, "Allow the caller to use the repository's KMS key."),
    ({"LimitExceededException"}, "Request a higher quota of Amazon ECR, or delete images."),
)
