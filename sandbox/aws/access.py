"""Who may call the embedded AWS: the holder of its access key, and of keys that this AWS itself has issued.

Other users of the machine reach loopback too, and so does a web page whose name an attacker points to 127.0.0.1 (DNS
rebinding). Signatures are those of Signature Version 4, calculated by botocore.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox.aws.protocol import AwsError, HttpRequest
from sandbox.aws.routing import Signature

#: How far the clocks of a client and of AWS may differ ("Signature Version 4 request elements", IAM User Guide).
_SKEW: Final = timedelta(minutes=15)
_TIMESTAMP: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class AccessKey:
    """A pair of credentials of the AWS account."""

    id: str
    secret: str

    @classmethod
    def generate(cls) -> AccessKey:
        """Of the form of AWS's own: AKIA and 16 letters and digits of base32, and a secret of 40 characters."""
        name = "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(16))
        return cls(f"AKIA{name}", secrets.token_urlsafe(30))

    @property
    def authorization(self) -> dict[str, str]:
        """The header that the paths below `/_sandbox/` require (Basic)."""
        return {"Authorization": f"Basic {base64.b64encode(f'{self.id}:{self.secret}'.encode()).decode()}"}

    def authorizes(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries `authorization`; names of headers are lower case."""
        given = headers.get("authorization", "").encode(errors="replace")
        return hmac.compare_digest(given, self.authorization["Authorization"].encode())


def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine: a loopback address, localhost or a name below it (RFC 6761, 6.3)."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name == "localhost" or name.endswith(".localhost"):
            return True
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def not_signed(protocol: str) -> AwsError:
    """The answer to a request without a signature, in the words of a protocol."""
    code = "AccessDenied" if protocol == "rest-xml" else "MissingAuthenticationToken"
    return AwsError(code, "Request is missing Authentication Token", 403)


def unknown_key(protocol: str) -> AwsError:
    """The answer to a request that is signed with a key of somebody else."""
    code = {"rest-xml": "InvalidAccessKeyId", "query": "InvalidClientTokenId", "ec2": "AuthFailure"}.get(
        protocol, "UnrecognizedClientException"
    )
    message = "The access key is not one of this sandbox. `python -m sandbox env` prints the sandbox's own."
    return AwsError(code, message, 403)


def check_signature(signed: Signature, request: HttpRequest, secret: str) -> None:
    """Raises `AwsError` 403 unless the request was signed with this secret, with this body and not long ago.

    AWS's rules: "Authenticating Requests: Using the Authorization Header" and "Using Query Parameters" (S3's API).
    """
    if not hmac.compare_digest(_signature(signed, request, secret), signed.signature):
        raise AwsError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
            403,
        )
    claimed = request.headers.get("x-amz-content-sha256", "")
    if re.fullmatch("[0-9a-f]{64}", claimed) and claimed != hashlib.sha256(request.body).hexdigest():
        raise AwsError("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header is not the body's.")
    age = datetime.now(UTC) - datetime.strptime(signed.timestamp, _TIMESTAMP).replace(tzinfo=UTC)
    if not -_SKEW <= age <= (_SKEW if signed.expires is None else timedelta(seconds=signed.expires)):
        code = "AccessDenied" if signed.service == "s3" else "SignatureDoesNotMatch"
        raise AwsError(code, "Request has expired", 403)


def _signature(signed: Signature, request: HttpRequest, secret: str) -> str:
    """What the holder of the secret puts into a request such as this."""
    s3 = S3SigV4Auth if signed.expires is None else S3SigV4QueryAuth
    auth = (s3 if signed.service == "s3" else SigV4Auth)(
        Credentials(signed.access_key, secret), signed.service, signed.region
    )
    again = AWSRequest(
        method=request.method,
        url=f"http://{request.headers.get('host', '')}{request.path}",
        params=[pair for pair in parse_qsl(request.query, keep_blank_values=True) if pair[0] != "X-Amz-Signature"],
        data=request.body,
        headers={name: request.headers.get(name, "") for name in signed.signed_headers},
    )
    again.context["timestamp"] = signed.timestamp
    return str(auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again))
