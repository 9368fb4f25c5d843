"""`python -m sandbox.aws --home DIR [--port N]`: serves the embedded AWS until SIGTERM."""

from __future__ import annotations

import argparse
from pathlib import Path

from sandbox.aws.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.aws", description="An AWS on this machine, until SIGTERM.")
    parser.add_argument("--home", type=Path, required=True, help="where aws.json appears once it serves")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    arguments = parser.parse_args()
    serve(arguments.home, arguments.port)


if __name__ == "__main__":
    main()
