"""Images of random bytes, and the fastest way to push one: `python -m benchmarks.image DIRECTORY URL REPOSITORY TAG`.

It imports the standard library alone, so that the start of the command costs little.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_GZIP = b"\x1f\x8b\x08"  # by which skopeo recognizes a compressed layer


@dataclass(frozen=True)
class Image:
    """An image in a directory: a file for each blob, named by its digest.

    Attributes:
        digests: of the configuration and the layers.
    """

    directory: Path
    manifest: bytes
    digests: tuple[str, ...]

    @classmethod
    def create(cls, directory: Path, layers: Sequence[int]) -> Image:
        """An image with layers of these sizes in bytes."""
        directory.mkdir()
        descriptors = [_blob(directory, _LAYER, size) for size in layers]
        config = {"os": "linux", "architecture": "amd64", "config": {}}
        rootfs = {"type": "layers", "diff_ids": [descriptor["digest"] for descriptor in descriptors]}
        content = json.dumps({**config, "rootfs": rootfs}).encode()
        named = _blob(directory, _CONFIG, len(content), content)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": named, "layers": descriptors}
        (directory / "manifest.json").write_text(json.dumps(manifest))
        return cls.open(directory)

    @classmethod
    def open(cls, directory: Path) -> Image:
        """The image that was created in a directory."""
        manifest = (directory / "manifest.json").read_bytes()
        parts = json.loads(manifest)
        return cls(directory, manifest, tuple(part["digest"] for part in (*parts["layers"], parts["config"])))

    @property
    def size(self) -> int:
        """Bytes of its layers."""
        return sum(layer["size"] for layer in json.loads(self.manifest)["layers"])

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"

    def push(self, url: str, repository: str, tag: str, token: str | None = None) -> None:
        """Push it with as little work as possible, four blobs at once: files are sent by the kernel and not hashed."""
        headers = {"Authorization": f"Basic {token}"} if token else {}
        host = url.removeprefix("http://")

        def push_blob(digest: str) -> None:
            connection = HTTPConnection(host, timeout=60)
            connection.request("POST", f"/v2/{repository}/blobs/uploads/", headers=headers)
            answer = connection.getresponse()
            answer.read()
            location = str(answer.headers["Location"])
            location += ("&" if "?" in location else "?") + f"digest={digest}"
            path = location.removeprefix(f"http://{host}")
            file = self.directory / digest.removeprefix("sha256:")
            connection.putrequest("PUT", path)
            for name, value in {**headers, "Content-Length": str(file.stat().st_size)}.items():
                connection.putheader(name, value)
            connection.endheaders()
            with file.open("rb") as content:
                connection.sock.sendfile(content)
            answer = connection.getresponse()
            if answer.status != 201:
                raise OSError(f"{path}: {answer.status} {answer.read()!r}")
            answer.read()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(push_blob, self.digests))
        connection = HTTPConnection(host, timeout=60)
        headers |= {"Content-Type": MANIFEST}
        connection.request("PUT", f"/v2/{repository}/manifests/{tag}", self.manifest, headers)
        answer = connection.getresponse()
        if answer.status != 201:
            raise OSError(f"{repository}:{tag}: {answer.status} {answer.read()!r}")

    def delete(self) -> None:
        shutil.rmtree(self.directory)


def _blob(directory: Path, media_type: str, size: int, content: bytes | None = None) -> dict[str, Any]:
    """Write a blob, of random bytes unless they are given, and describe it."""
    sha256, partial = hashlib.sha256(), directory / "partial"
    with partial.open("wb") as file:
        while file.tell() < size:
            block = content or (b"" if file.tell() else _GZIP) + os.urandom(min(MIB, size - file.tell()))
            block = block[: size - file.tell()]
            sha256.update(block)
            file.write(block)
    partial.rename(directory / sha256.hexdigest())
    return {"mediaType": media_type, "size": size, "digest": f"sha256:{sha256.hexdigest()}"}


if __name__ == "__main__":
    Image.open(Path(sys.argv[1])).push(*sys.argv[2:])
