"""The least that a copy of an image in Python can be: `python -m benchmarks.thin_copy SOURCE URL REPOSITORY TAG TOKEN`.

It reads, hashes and sends the layers as `python -m infra mirror` does, with the standard library and nothing else: no
TLS, proxies, retries, resuming, progress or AWS API.
"""

from __future__ import annotations

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from typing import Any

BLOCK_BYTES = 1024 * 1024
LANES = 8
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def copy(source: str, url: str, repository: str, tag: str, token: str) -> None:
    """Copy an image that is one Docker schema 2 manifest."""
    (host, _, path), to = source.partition("/"), url.removeprefix("http://")
    name, _, source_tag = path.partition(":")
    authorization = {"Authorization": f"Basic {token}"}

    def copy_blob(blob: dict[str, Any]) -> None:
        digest, left = blob["digest"], blob["size"]
        content = _get(host, f"/v2/{name}/blobs/{digest}", {})
        connection = HTTPConnection(to)
        connection.request("POST", f"/v2/{repository}/blobs/uploads/", headers=authorization)
        started = connection.getresponse()
        started.read()
        upload = str(started.headers["Location"]).removeprefix(url)
        connection.putrequest("PUT", f"{upload}{'&' if '?' in upload else '?'}digest={digest}")
        for header, value in {**authorization, "Content-Length": str(left)}.items():
            connection.putheader(header, value)
        connection.endheaders()
        sha256 = hashlib.sha256()
        while left:
            block = content.read1(min(left, BLOCK_BYTES))
            sha256.update(block)
            connection.sock.sendall(block)
            left -= len(block)
        assert f"sha256:{sha256.hexdigest()}" == digest
        assert connection.getresponse().status == 201

    manifest = _get(host, f"/v2/{name}/manifests/{source_tag}", {"Accept": MANIFEST}).read()
    parts = json.loads(manifest)
    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(copy_blob, [*parts["layers"], parts["config"]]))
    connection = HTTPConnection(to)
    connection.request("PUT", f"/v2/{repository}/manifests/{tag}", manifest, authorization | {"Content-Type": MANIFEST})
    assert connection.getresponse().status == 201


def _get(host: str, path: str, headers: dict[str, str]) -> HTTPResponse:
    connection = HTTPConnection(host)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    assert response.status == 200, path
    return response


if __name__ == "__main__":
    copy(*sys.argv[1:])
