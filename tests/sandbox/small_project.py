"""A Pulumi project that needs nothing but Python: its resources are files' worth of nothing, but they can be held."""

from __future__ import annotations

from pathlib import Path

PROGRAM = """
import pulumi
from thing import Thing

config = pulumi.Config()
if problem := config.get("problem"):
    raise pulumi.RunError(problem)
protect = config.get_bool("protect")
things = {
    name: Thing(
        name,
        {"value": value, "hold": config.get("hold"), "error": config.get("error")},
        pulumi.ResourceOptions(protect=protect, retain_on_delete=protect),
    )
    for name, value in config.require_object("things").items()
}
pulumi.export("things", {name: thing.value for name, thing in things.items()})
pulumi.export("key", config.get("key"))
"""

THING = """
import os
import sys
import threading
import time

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider, UpdateResult


class ThingProvider(ResourceProvider):
    serialize_as_secret_always = False

    def configure(self, request):
        sys.tracebacklimit = 0
        engine = os.getppid()

        def end_with_the_engine():
            while os.getppid() == engine:
                time.sleep(0.05)
            os._exit(1)

        threading.Thread(target=end_with_the_engine, daemon=True).start()

    def create(self, props):
        if props.get("error"):
            raise Exception(props["error"])
        if hold := props.get("hold"):
            open(hold, "w").close()
            while os.path.exists(hold):
                time.sleep(0.02)
        return CreateResult(f"id-{int(props['value'])}", props)

    def update(self, id, olds, news):
        return UpdateResult(news)


class Thing(Resource, module="small", name="Thing"):
    value: pulumi.Output[int]

    def __init__(self, name, props, opts):
        super().__init__(ThingProvider(), name, props, opts)
"""

STACK_FILE = """\
secretsprovider: awskms://alias/pulumi
encryptedkey: AQICAHh
config:
  small:things: {a: 1, b: 2}
  small:key:
    secure: AAABAKk
  aws:profile: production
"""


def write_small_project(directory: Path) -> Path:
    """The project with a stack file `dev`.

    Its configuration: `things` (name to value), `problem` (an error that the program raises), `error` (one that every
    creation raises), `protect`, and `hold`: a file that a creation writes, and then waits until it is removed.
    """
    directory.mkdir(parents=True)
    (directory / "Pulumi.yaml").write_text("name: small\nruntime: {name: python, options: {virtualenv: .venv}}\n")
    (directory / "Pulumi.dev.yaml").write_text(STACK_FILE)
    (directory / "__main__.py").write_text(PROGRAM)
    (directory / "thing.py").write_text(THING)
    return directory
