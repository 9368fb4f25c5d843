"""Hundreds of stack files, and thousands with `make soak`: valid ones deploy, broken ones are reported at their key and
line, and none ends in a traceback."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

import pulumi
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pulumi.runtime.proto.source_pb2 import StackTrace

from infra.cli.stack_file import StackFile
from infra.cli.validate import check
from infra.diagnostics.problem import Location, key_of
from infra.settings.schema import stack_schema
from tests.infra.mock_runtime import ROOT, run

SCHEMA = Draft202012Validator(stack_schema("triton-sagemaker"))

PROJECT = "triton-sagemaker"
DRIVERS = ["al2-ami-sagemaker-inference-gpu-2-1", "al2-ami-sagemaker-inference-gpu-3-1"]

TIMES = 8
"""How often a stack is broken or mangled, each time at another place."""


def stacks_generated(quick: int) -> pytest.MarkDecorator:
    """How many stacks a test generates: a few, and 300 with `make soak`."""
    return pytest.mark.parametrize("count", [quick, pytest.param(300, marks=pytest.mark.soak)])


Value = TypeVar("Value")


def for_many(count: int, values: st.SearchStrategy[Value], check: Callable[[Value], None]) -> None:
    """Check generated values, the same ones in every run; a smaller counterexample is not worth minutes."""
    given(values)(
        settings(
            max_examples=count,
            phases=[Phase.generate],
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(lambda value: check(value))
    )()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack file to write, in a project with the example's models."""
    root = tmp_path_factory.mktemp("project")
    (root / "Pulumi.yaml").write_text(f"name: {PROJECT}\n")  # the project's own is slower to read
    (root / "examples").symlink_to(ROOT / "examples")
    return root / "Pulumi.x.yaml"


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Halve the time of a deployment: without the position of each resource in the program, Pulumi's own logs, and
    garbage collection of everything imported."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulumi.runtime.resource, "_get_stack_trace", StackTrace)
        patch.setattr(pulumi.log, "debug", lambda *_, **__: None)
        yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def names(most: int) -> st.SearchStrategy[str]:
    return st.from_regex(rf"[a-zA-Z0-9](-?[a-zA-Z0-9]){{0,{most}}}", fullmatch=True)


def some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


steps = st.one_of(  # of 2 to 10 instances at most half, and at least a tenth
    st.fixed_dictionaries({"percent": st.integers(10, 33)}), st.just({"instances": 1})
)
waits = st.integers(0, 60)
seconds = st.integers(60, 600)
blue_green = {"terminationWaitSeconds": waits}
late = {"timeoutSeconds": st.just(28_800)}


def in_steps(strategy: str, more: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda step, rest: step | rest, steps, some({"strategy": st.just(strategy)} | late, more))


at_once = some({}, blue_green | late | {"strategy": st.just("allAtOnce"), "bakeSeconds": waits})
releases = st.one_of(
    at_once,
    in_steps("canary", blue_green | {"bakeSeconds": waits}),
    in_steps("linear", blue_green | {"intervalSeconds": waits}),
    in_steps("rolling", {"intervalSeconds": waits, "rollbackPercent": st.integers(5, 100)}),
)
models = st.one_of(
    st.fixed_dictionaries({"path": st.just("examples/models")}, optional={"defaultModelName": st.just("iris")}),
    some(
        {"artifact": st.from_regex(r"artifacts/[a-z0-9_]{1,20}\.tar\.gz", fullmatch=True)},
        {"defaultModelName": names(20)},
    ),
)
a_secret = st.just({"secure": "v1:AAAA:AAAA"})
environments = st.dictionaries(
    st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True).filter(lambda name: not name.startswith("SAGEMAKER")),
    st.one_of(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20), a_secret),
    max_size=3,
)
scalings = st.builds(
    lambda low, more, rest: {"min": low, "max": low + more, **rest},
    st.integers(2, 5),
    st.integers(0, 5),
    some(
        {},
        {
            "invocationsPerInstance": st.integers(1, 1000),
            "scaleInCooldown": st.integers(0, 900),
            "scaleOutCooldown": st.integers(0, 900),
            "policyName": names(20),
        },
    ),
)
of_any_type: dict[str, Any] = {
    "initialVariantWeight": st.floats(0, 10, allow_nan=False),
    "startupHealthCheckSeconds": seconds,
    "modelDataDownloadSeconds": seconds,
    "environment": environments,
    "allowSingleInstance": st.booleans(),
}
types = st.sampled_from(["ml.c5.xlarge", "ml.r5.xlarge", "ml.m5.large", "ml.c7i.xlarge"])
fleets = st.one_of(
    some({}, of_any_type | {"instanceType": types, "volumeSizeGb": st.integers(1, 512)}),
    some({"instanceType": st.just("ml.g5.xlarge")}, of_any_type | {"inferenceAmiVersion": st.sampled_from(DRIVERS)}),
)
alarms = some(
    {"errorRatePercent": st.floats(0.1, 99)},
    {
        "serverErrorRatePercent": st.floats(0.1, 99),
        "p99ModelLatencyMilliseconds": st.integers(1, 10_000),
        "evaluationMinutes": st.integers(1, 60),
        "existing": st.lists(names(20), unique=True, max_size=3),
        "minimumInvocations": some({"count": st.integers(1, 1000)}, {"otherwise": st.sampled_from(["warn", "fail"])}),
    },
)


def on_fleets(required: dict[str, Any], more: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda fleet, rest: fleet | rest, fleets, some({"model": models} | required, more or {}))


variants = st.dictionaries(names(6), on_fleets({"autoscaling": scalings}), min_size=1, max_size=2)
modes = st.one_of(
    on_fleets(
        {
            "asynchronous": some(
                {}, {"maxConcurrentInvocationsPerInstance": st.integers(1, 1000), "notify": st.booleans()}
            ),
            "alarms": alarms,
        }
    ).map(lambda endpoint: {key: value for key, value in endpoint.items() if key != "allowSingleInstance"}),
    some(
        {
            "model": models,
            "serverless": some(
                {"memoryMb": st.integers(1, 6).map(lambda gb: 1024 * gb), "maxConcurrency": st.integers(20, 200)},
                {"provisionedConcurrency": st.integers(1, 20)},
            ),
        },
        {"environment": environments},
    ),
    some(
        {
            "model": models,
            "batch": some(
                {},
                {
                    "instanceType": st.sampled_from(["ml.m5.xlarge", "ml.c5.xlarge", "ml.g5.xlarge"]),
                    "instanceCount": st.integers(1, 100),
                    "maxConcurrentTransforms": st.integers(1, 10),
                    "maxPayloadMb": st.integers(1, 10),
                    "outputLocations": st.just(["s3://answers-of-ours/batch"]),
                },
            ),
        },
        {"environment": environments},
    ),
)
endpoints = st.one_of(
    modes,
    on_fleets({"autoscaling": scalings, "alarms": alarms}, {"release": releases}),
    on_fleets({"initialInstanceCount": st.integers(2, 4), "alarms": alarms}),
    some({"variants": variants, "alarms": alarms}, {}),
)
of_one_instance = on_fleets({}, {"initialInstanceCount": st.just(1), "alarms": alarms, "release": at_once})


def by_name(endpoint: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """One endpoint, or two with different names of their resources."""
    apart = st.lists(names(20), min_size=1, max_size=2).filter(
        lambda each: len(each) == 1 or not each[0].lower().startswith(each[1].lower())
    )
    return apart.map(sorted).flatmap(lambda each: st.fixed_dictionaries(dict.fromkeys(each, endpoint)))


def of_stack(environments: list[str], endpoint: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "aws:region": st.sampled_from(["ap-northeast-1", "us-east-1", "eu-central-1"]),
            f"{PROJECT}:environment": st.sampled_from(environments),
            f"{PROJECT}:tags": st.fixed_dictionaries({"CostEnv": names(8), "CostService": names(8)}),
            f"{PROJECT}:endpoints": by_name(endpoint),
        },
        optional={
            "aws:profile": names(10),
            f"{PROJECT}:image": st.one_of(
                some({}, {"version": st.sampled_from(["23.10-py3", "23.08-py3", "22.09-py3"])}),
                st.fixed_dictionaries({"source": st.just("nvcr.io/nvidia/tritonserver:24.05-py3")}),
            ),
            f"{PROJECT}:role": some({}, {"name": names(20)}),
            f"{PROJECT}:vpc": st.just({"subnetIds": ["subnet-0a", "subnet-0b"], "securityGroupIds": ["sg-0a"]}),
            f"{PROJECT}:freezeWindows": st.lists(
                st.fixed_dictionaries(
                    {
                        "schedule": st.sampled_from(["0 18 * * FRI", "0 0 1 * *"]),
                        "durationMinutes": st.integers(1, 3720),
                        "timeZone": st.sampled_from(["Asia/Tokyo", "UTC"]),
                        "reason": names(20),
                    }
                ),
                max_size=2,
            ),
        },
    ).map(_without_vpc_of_serverless)


def _without_vpc_of_serverless(config: dict[str, Any]) -> dict[str, Any]:
    """Serverless endpoints have no VPC."""
    serverless = any("serverless" in endpoint for endpoint in config[f"{PROJECT}:endpoints"].values())
    return {key: value for key, value in config.items() if not (serverless and key == f"{PROJECT}:vpc")}


def of_region(config: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Settings that depend on the region and the endpoints of a stack."""
    aws = f"{config['aws:region']}:123456789012"
    secrets = st.dictionaries(st.from_regex(r"secret_[a-z]{1,8}", fullmatch=True), a_secret, max_size=2)
    return some(
        {},
        {
            f"{PROJECT}:bucket": some(
                {},
                {
                    "name": st.just("models-of-ours"),
                    "noncurrentVersionExpirationDays": st.integers(1, 365),
                    "releasesKept": st.integers(1, 100),
                    "kmsKeyArn": st.just(f"arn:aws:kms:{aws}:key/1234abcd"),
                },
            ),
            f"{PROJECT}:notifications": st.just({"topicArn": f"arn:aws:sns:{aws}:releases"}),
            f"{PROJECT}:secretEnvironment": some({}, dict.fromkeys(config[f"{PROJECT}:endpoints"], secrets)),
        },
    ).map(lambda more: config | more)


def adoptions(config: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Stacks that adopt resources, where these have the required names."""
    options: dict[str, Any] = {"repository": st.booleans()}
    if "name" in config.get(f"{PROJECT}:role", {}):
        options["role"] = st.booleans()
    named = [name for name, each in config[f"{PROJECT}:endpoints"].items() if _can_be_adopted(each)]
    sections = [some({}, options)]
    if named:
        sections.append(some({"endpoints": st.just(named)}, options | {"autoscaling": st.booleans()}))
    if "name" in config.get(f"{PROJECT}:bucket", {}) and config["aws:region"] == "ap-northeast-1":  # the mock's region
        inside = {"bucketPolicy": st.booleans(), "bucketLifecycle": st.booleans()}
        sections.append(some({"bucket": st.just(True)}, options | inside))
    adopted = some({}, {f"{PROJECT}:adopt": st.one_of(sections)})
    return adopted.map(lambda adopt: {"config": config | adopt})


def _can_be_adopted(endpoint: dict[str, Any]) -> bool:
    variants = endpoint.get("variants", {"AllTraffic": endpoint})
    return "batch" not in endpoint and all(
        "policyName" in variant.get("autoscaling", {"policyName"}) for variant in variants.values()
    )


stacks = (
    st.one_of(
        of_stack(["production", "staging", "development"], endpoints),
        of_stack(["staging", "development"], of_one_instance),
    )
    .flatmap(of_region)
    .flatmap(adoptions)
)


class Written:
    """A stack file as text: in blocks down to a depth, and from there on each value on the line of its key."""

    def __init__(self, document: dict[str, Any], depth: int) -> None:
        self._lines: list[str] = []
        self._line_of: dict[Location, int] = {}
        self._write(document, (), depth)
        self.text = "\n".join(self._lines) + "\n"

    def line_of(self, place: Location) -> int:
        """The line of the last of these keys that exists."""
        there = (place[:length] for length in range(len(place), 0, -1) if place[:length] in self._line_of)
        return self._line_of[next(there)]

    def _write(self, value: dict[str, Any], above: Location, depth: int) -> None:
        for key, each in value.items():
            head = f"{'  ' * len(above)}{json.dumps(key, ensure_ascii=False)}:"
            in_block = isinstance(each, dict) and each and depth > len(above)
            self._lines.append(head if in_block else f"{head} {json.dumps(each, ensure_ascii=False)}")
            self._line_of[(*above, key)] = len(self._lines)
            if in_block:
                self._write(each, (*above, key), depth)
            else:
                self._line_of.update({(*above, key, *below): len(self._lines) for below in _places(each)})


layouts = st.integers(1, 8)


@stacks_generated(12)
def test_a_valid_stack_deploys_and_the_schema_accepts_it(file: Path, count: int) -> None:
    def check_valid(generated: tuple[dict[str, Any], int]) -> None:
        document, layout = generated
        file.write_text(Written(document, layout).text, encoding="utf-8")
        assert [str(problem) for problem in check(file) if problem.severity == "error"] == []
        assert [error.json_path for error in SCHEMA.iter_errors(document)] == []
        stack = StackFile.read(file)
        deployed = run("x", stack.config, [*stack.secret_keys])
        endpoints = stack.config[f"{PROJECT}:endpoints"]
        served = {name for name, endpoint in endpoints.items() if '"batch"' not in json.dumps(endpoint)}
        assert {endpoint.name for endpoint in deployed.all("dynamic/infra:Endpoint")} == served
        assert {model.name for model in deployed.all(":TritonModel")} == endpoints.keys() - served

    for_many(count, st.tuples(stacks, layouts), check_valid)


@st.composite
def broken_stacks(draw: st.DrawFn) -> list[tuple[dict[str, Any], Location]]:
    """A stack that is broken at one place, and the keys that lead there; some times over."""
    valid = draw(stacks)
    places = [place for place in _places(valid["config"]) if place[0] != "aws:profile" and place[-1] != "secure"]
    broken = []
    for _ in range(TIMES):
        document = deepcopy(valid)
        how = draw(st.sampled_from([_unknown_key, _wrong_type, _negative, _missing]))
        broken.append((document, how(draw, document["config"], places)))
    return broken


def _unknown_key(draw: st.DrawFn, config: Any, places: list[Location]) -> Location:
    free = ("tags", "environment", "endpoints", "variants", "secretEnvironment")
    sections = [place for place in places if _is_section(config, place) and not _ends(place, free)]
    section = draw(st.sampled_from([place for place in sections if not _of_secrets(place, _at(config, place))]))
    key = draw(st.sampled_from(["xyzzy", "Min", "instance_type", "a.b", "5", "null", "ключ"]))
    _at(config, section)[key] = draw(st.sampled_from([1, "x", None, [], {}]))
    return (*section, key)


def _wrong_type(draw: st.DrawFn, config: Any, places: list[Location]) -> Location:
    place = draw(st.sampled_from(places))
    value = _at(config, place)
    options: list[Any] = [5.5] if _is_secret(value) else ["text", 5.5]
    if isinstance(value, str):
        options = [[value], {"x": [value]}]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        options = ["text", [value], {"x": value}]
    _at(config, place[:-1])[place[-1]] = draw(st.sampled_from(options))
    return place


def _negative(draw: st.DrawFn, config: Any, places: list[Location]) -> Location:
    config[f"{PROJECT}:bucket"] = {"abortIncompleteMultipartUploadDays": 1}
    place = draw(st.sampled_from([place for place in _places(config) if _is_number(config, place)]))
    _at(config, place[:-1])[place[-1]] = draw(st.sampled_from([-1, -10, float("nan"), float("-inf")]))
    return place


def _missing(draw: st.DrawFn, config: Any, places: list[Location]) -> Location:
    required = ("aws:region", "tags", "endpoints", "min", "max", "count", "model")
    needed = [place for place in places if _ends(place, required) and not _ends(place[:1], ("adopt",))]
    place = draw(st.sampled_from(needed))
    del _at(config, place[:-1])[place[-1]]
    return place


def _is_section(config: Any, place: Location) -> bool:
    return isinstance(_at(config, place), dict)


def _of_secrets(place: Location, section: dict[str, Any]) -> bool:
    return _is_secret(section) or _ends(place[:1], ("secretEnvironment",))


def _is_secret(value: Any) -> bool:
    return isinstance(value, dict) and "secure" in value


def _is_number(config: Any, place: Location) -> bool:
    value = _at(config, place)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ends(place: Location, names: tuple[str, ...]) -> bool:
    return str(place[-1]).removeprefix(f"{PROJECT}:") in names


def _places(value: Any, above: Location = ()) -> Iterator[Location]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*above, key)
        yield from _places(each, (*above, key))


def _at(value: Any, place: Location) -> Any:
    for part in place:
        value = value[part]
    return value


@stacks_generated(12)
def test_a_broken_stack_is_reported_at_its_key_and_line(file: Path, count: int) -> None:
    def check_broken(generated: tuple[list[tuple[dict[str, Any], Location]], int]) -> None:
        broken, layout = generated
        for document, place in broken:
            written = Written(document, layout)
            file.write_text(written.text, encoding="utf-8")
            errors = [problem for problem in check(file) if problem.severity == "error"]
            key = key_of(place)
            there = [
                problem for problem in errors if problem.key == key or problem.key.startswith((f"{key}.", f"{key}["))
            ]
            assert there, (key, list(map(str, errors)))
            assert written.line_of(("config", *place)) in {problem.line for problem in there}

    for_many(count, st.tuples(broken_stacks(), layouts), check_broken)


snippets = st.one_of(st.text(max_size=5), st.sampled_from(["\t", ": ", "- ", "{", "*a ", "&a ", "!x ", "|", "<<: "]))
changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 10), snippets), min_size=TIMES, max_size=TIMES)


@stacks_generated(30)
def test_a_mangled_text_never_ends_in_a_traceback(file: Path, count: int) -> None:
    def check_mangled(generated: tuple[dict[str, Any], int, list[tuple[float, int, str]]]) -> None:
        document, layout, mangled = generated
        text = Written(document, layout).text
        for where, cut, inserted in mangled:
            at = round(where * len(text))
            file.write_text(text[:at] + inserted + text[at + cut :], encoding="utf-8", errors="surrogatepass")
            assert all(problem.line and problem.column for problem in check(file))

    for_many(count, st.tuples(stacks, layouts, changes), check_mangled)
