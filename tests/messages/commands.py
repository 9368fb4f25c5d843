"""Commands: what `python -m infra …` prints if it fails, or warns."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from infra.aws.s3_location import S3Location
from infra.aws.session import AwsSession
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile
from infra.cost import usage as usage_types
from infra.cost.compare import measurement
from infra.cost.price_file import read as read_prices
from infra.cost.price_file import write
from infra.cost.price_list import PriceList
from infra.invocation import transform_input
from infra.invocation.async_request import MAX_INLINE_BYTES
from infra.settings.bounds import MAX_BYTES
from infra.triton.repository import ModelRepository
from infra.triton.serve_script import ServeError
from tests.infra.cost.products import product
from tests.infra.triton.archives import archive, member
from tests.messages.account import ANSWERS, JOB, MODEL, NOT_FOUND, STACK, Account, refusal
from tests.messages.golden import Example

REQUEST = '{"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}'
ASYNCHRONOUS = {
    **ANSWERS["describe_endpoint_config"],
    "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://sagemaker-models/async/ranking/output"}},
}
QUEUED = {
    "OutputLocation": "s3://sagemaker-models/async/ranking/output/1.out",
    "FailureLocation": "s3://sagemaker-models/async/ranking/failure/1-error.out",
}
NO_KEY = refusal("GetObject", "NoSuchKey", "The specified key does not exist.")
UNREACHABLE = EndpointConnectionError(endpoint_url="https://api.sagemaker.ap-northeast-1.amazonaws.com/")
UNANSWERED = ReadTimeoutError(endpoint_url="https://runtime.sagemaker.ap-northeast-1.amazonaws.com/")
DENIED = refusal(
    "InvokeEndpoint",
    "AccessDeniedException",
    "User: arn:aws:iam::123456789012:user/you is not authorized to perform: sagemaker:InvokeEndpoint",
)
MODEL_ERROR = refusal(
    "InvokeEndpoint",
    "ModelError",
    'Received client error (400) from primary with message "{"error":"unexpected shape for input \'x\'"}"',
    OriginalStatusCode=400,
    OriginalMessage='{"error":"unexpected shape for input \'x\'"}',
)
PROVIDER = "config:\n  aws:region: ap-northeast-1\n"


@dataclass(frozen=True)
class Section:
    """The examples of a command."""

    TITLE: str
    examples: Callable[[], Iterator[Example]]


def stack_files() -> Iterator[Example]:
    """Files and projects of any command."""
    with Account.made() as account:
        run = account.run
        yield run("status -s staging")
        yield run("validate Pulumi.staging.yaml")
        account.write("Pulumi.large.yaml", "#" * (MAX_BYTES + 1))
        yield run("validate Pulumi.large.yaml")
        account.write("Pulumi.latin.yaml", b"config: {p:tags: {Team: M\xfcnchen}}")
        yield run("validate Pulumi.latin.yaml")
        account.write("Pulumi.dev.yaml", STACK.replace("min: 2", "min: 12"))
        yield run("cost -s dev")
        yield run("release history -s dev", "a release can be followed and stopped all the same")
        account.write(
            "Pulumi.dev.yaml", STACK.replace("  aws:region: ap-northeast-1\n", "") + "environment: [shared]\n"
        )
        yield run("cost -s dev")
        account.write("schema", "a file")
        yield run("schema")
    for project in ("runtime: python\n", "name: [\n", "name: p\nconfig:\n  tags: {CostEnv: dev}\n", None):
        with Account.made() as account:
            (account.directory / "Pulumi.yaml").unlink()
            if project is not None:
                account.write("Pulumi.yaml", project)
            (account.directory / "Pulumi.dev.yaml").unlink()
            yield account.run("validate", f"Pulumi.yaml: {project!r}" if project else "without Pulumi.yaml")
    with Account.made() as account:
        (account.directory / "Pulumi.dev.yaml").unlink()
        yield account.run("validate", "without a stack file")


def sessions() -> Iterator[Example]:
    """Credentials and the `aws` provider's configuration."""
    with Account.made() as account:

        def of(text: str, **settings: Any) -> Callable[[], object]:
            file = StackFile.read(Path("Pulumi.dev.yaml"), f"{PROVIDER}{text}")
            return partial(aws_session, file)

        refused = account.failing
        for written in (
            "aws:secretKey: {secure: AAABAJ0hW7pK3mX9qR2tLw8vZ5dY1cN4A+==}",
            "aws:allowedAccountIds: ['210987654321']",
            "aws:forbiddenAccountIds: ['123456789012']",
            "aws:sharedConfigFiles: [a, b]",
        ):
            yield refused(written, of(f"  {written}\n"))
        session = AwsSession({"aws:region": "ap-northeast-1"})
        yield refused("pulumi up, with other credentials for boto3", lambda: session.require_account("210987654321"))
        role = [{"roleArn": "arn:aws:iam::123456789012:role/ci", "duration": "1 hour"}]
        yield refused(
            "aws:assumeRoles: [{duration: 1 hour, …}]", lambda: AwsSession({"aws:assumeRoles": role})._session
        )
        without = StackFile.read(Path("Pulumi.dev.yaml"), "config: {}\n")
        with patch.object(AwsSession, "region", None):
            yield refused("aws:region is not set", lambda: aws_session(without))


def invoke() -> Iterator[Example]:
    """`invoke`."""
    with Account.made() as account:
        run, answers = account.run, account.answers
        yield run("invoke -s dev --input missing.json")
        account.write("request.json", "{inputs: []}")
        yield run("invoke -s dev --input request.json")
        yield run("invoke -s dev --variant Trial")
        yield run("invoke -s dev --concurrency 8")
        yield run("invoke -s dev --bench 60 --concurrency many")
        account.write("request.json", REQUEST)
        for error in (MODEL_ERROR, DENIED, UNREACHABLE, UNANSWERED):
            answers["invoke_endpoint"] = error
            yield run("invoke -s dev --input request.json")
        answers["describe_endpoint"] = NOT_FOUND
        yield run("invoke -s dev")
        yield run("invoke -s dev search")
        failed = {
            "EndpointStatus": "Failed",
            "FailureReason": "The primary container did not pass the ping health check.",
        }
        answers["describe_endpoint"] = {**ANSWERS["describe_endpoint"], **failed}
        yield run("invoke -s dev")
        answers["describe_endpoint"] = ANSWERS["describe_endpoint"]
        answers["describe_endpoint_config"] = refusal(
            "DescribeEndpointConfig", "ValidationException", "Could not find endpoint configuration"
        )
        yield run("invoke -s dev")
        answers["describe_endpoint_config"] = ASYNCHRONOUS
        yield run("invoke -s dev --variant AllTraffic")
        answers |= {"invoke_endpoint_async": QUEUED, "get_object": NO_KEY}
        yield run("invoke -s dev --input request.json", "an asynchronous endpoint that does not answer")
        answers["get_object"] = lambda Bucket, Key: (
            {"Body": io.BytesIO(b'{"error":"no weights"}')} if "failure" in Key else _raise(NO_KEY)
        )
        yield run("invoke -s dev --input request.json", "an asynchronous endpoint that answers with an error")
        account.write("Pulumi.dev.yaml", STACK.replace("  triton-sagemaker:bucket: {name: sagemaker-models}\n", ""))
        account.write("request.json", REQUEST.ljust(MAX_INLINE_BYTES + 1))
        variants = [{"VariantName": "AllTraffic", "InstanceType": "ml.c5.xlarge"}]
        places = {"OutputConfig": {"S3OutputPath": "s3://answers/ranking"}}
        answers["describe_endpoint_config"] = {"ProductionVariants": variants, "AsyncInferenceConfig": places}
        yield run("invoke -s dev --input request.json", "a large request, and nothing names the bucket")
    with Account.made() as account:
        account.write("models/iris/config.pbtxt", MODEL.replace("TYPE_FP32", "TYPE_BF16"))
        yield account.run("invoke -s dev")
        account.write("models/iris/config.pbtxt", MODEL)
        account.write("models/other/config.pbtxt", MODEL)
        yield account.run("invoke -s dev", "the models are not on this machine, and the artifact was deleted")
        two = archive(member("a/config.pbtxt"), member("b/config.pbtxt"))
        account.answers |= {
            "head_object": {"ContentLength": len(two), "ETag": '"1"'},
            "get_object": lambda **_: {"Body": io.BytesIO(two)},
        }
        yield account.run("invoke -s dev", "the artifact has two models")
        account.write("Pulumi.dev.yaml", STACK + "    search:\n      model: {artifact: a.tar.gz}\n")
        yield account.run("invoke -s dev")
        account.answers["list_tags"] = {"Tags": []}
        yield account.run("invoke -s dev serach")
        account.write(
            "Pulumi.dev.yaml",
            STACK.replace(
                "      instanceType: ml.c5.xlarge\n      autoscaling: {min: 2, max: 10}\n", "      batch: {}\n"
            ),
        )
        yield account.run("invoke -s dev")


def _raise(error: Exception) -> Any:
    raise error


def batch() -> Iterator[Example]:
    """`batch`."""
    with Account.made() as account:
        run, answers, write = account.run, account.answers, account.write
        command = "batch -s dev --input"
        yield run(f"{command} missing.jsonl")
        yield run(f"{command} s3:/bucket/records.jsonl")
        yield run(f"{command} {'x' * 256}")
        write("empty/a.jsonl", "")
        yield run(f"{command} empty")
        yield run(f"{command} missing.jsonl --max-retries many")
        for text in ("\n{}", "{} {}", "{inputs: []}", '{"inputs": []}', "1" * 6_000_001):
            write("records.jsonl", text)
            yield run(f"{command} records.jsonl", f"a line is {text[:20].strip()!r}")
        yield run(f"{command} records.jsonl --whole-files", "a file of 6 MB")
        write("records.jsonl", REQUEST)
        yield run(f"{command} records.jsonl --input-filter $.request")
        yield run(f"{command} records.jsonl --output-filter $.model_name")
        write("binary/a", REQUEST + "data")
        yield run(f"{command} binary --whole-files --join-input --output-filter $.outputs")
        write("binary/b", REQUEST + " ")
        yield run(f"{command} binary --whole-files")
        yield run(f"{command} records.jsonl --max-retries 7 --max-payload-mb 200")
        of_virginia = "arn:aws:kms:us-east-1:123456789012:key/1234abcd"
        yield run(f"{command} records.jsonl --kms-key-arn {of_virginia}")
        yield run(f"{command} records.jsonl --instance-type ml.p2.xlarge")
        yield run(f"{command} records.jsonl --name nightly")
        yield run(f"{command} records.jsonl --name ranking-{'x' * 60}")
        yield run(f"{command} records.jsonl --env KEY")
        answers["create_transform_job"] = {}
        healthy = dict(answers)
        answers["describe_model"] = {"ModelName": "ranking-1a2b3c4", "Containers": [{}, {}]}
        yield run(f"{command} records.jsonl", "the Model has two containers")
        components = {"ProductionVariants": [{"VariantName": "AllTraffic", "InstanceType": "ml.c5.xlarge"}]}
        answers["describe_endpoint_config"] = components
        yield run(f"{command} records.jsonl", "the endpoint serves inference components")
        answers |= healthy
        yield run(f"{command} records.jsonl --output elsewhere/out")
        denied = refusal("CreateMultipartUpload", "AccessDenied", "Access Denied")
        answers["create_multipart_upload"] = denied
        yield run(f"{command} records.jsonl --output s3://elsewhere/out")
        contents = [
            {"Key": key, "Size": 9, "LastModified": ANSWERS["describe_model"]["CreationTime"]}
            for key in ("in/a.jsonl", "in/a.jsonl.bak")
        ]
        answers["list_objects_v2"] = {"Contents": contents}
        yield run(f"{command} s3://sagemaker-models/in/a.jsonl")
        answers["describe_transform_job"] = JOB
        yield run(f"{command} records.jsonl --name ranking-20261128")
        yield run("batch stop -s dev ranking-20261128")
        answers["describe_transform_job"] = {**JOB, "TransformJobStatus": "Completed"}
        yield run("batch stop -s dev ranking-20261128")
        answers["list_tags"] = {"Tags": [{"Key": "triton-sagemaker:stack", "Value": "triton-sagemaker/prod"}]}
        yield run("batch stop -s dev ranking-20261128")
        answers["describe_transform_job"] = ANSWERS["describe_transform_job"]
        yield run("batch status -s dev ranking-1")
        write(
            "Pulumi.dev.yaml",
            STACK.replace("autoscaling: {min: 2, max: 10}", "batch: {}").replace(
                "      instanceType: ml.c5.xlarge\n", ""
            ),
        )
        yield run(f"{command} records.jsonl")
        yield run(f"{command} records.jsonl --variant Trial")
        records = transform_input.local_input(Path("records.jsonl"))
        client, place = account.client(), S3Location("sagemaker-models", "batch/")
        answers["upload_file"] = FileNotFoundError(2, "No such file or directory")
        yield account.failing(
            "a file that is deleted during the upload",
            lambda: transform_input.upload(client, Path("records.jsonl"), records, place),
        )
        Path("records.jsonl").unlink()
        yield account.failing("a file that is deleted before", lambda: records.first_record(True, 6))


def models() -> Iterator[Example]:
    """`model`."""
    with Account.made() as account:
        run = account.run
        yield run("model check missing")
        yield run("model check s3://sagemaker-models/a.tar.gz")
        yield run("model check s3://sagemaker-models")
        yield run("model check models --instance-type g5.xlarge")
        yield run("model check models --image latest")
        yield run("model check models --json --format text")
        yield run("model list missing")
        yield account.failing("model.path: missing", lambda: ModelRepository.read("missing"))
        unreadable = PermissionError(13, "Permission denied", "models/iris")
        with patch.object(ModelRepository, "read", lambda *_: _raise(unreadable)):
            yield run("model list models", "a directory that you may not read")
        yield run("model pack models -o missing/model.tar.gz")
        (account.directory / "models/iris/weights").symlink_to("/mnt/weights")
        yield run("model pack models -o model.tar.gz")
        (account.directory / "models/iris/weights").unlink()
        with patch("infra.triton.repository.MAX_ENTRIES", 2):
            yield run("model pack models -o model.tar.gz", "a directory with many files")
        with patch(
            "infra.triton.repository.write_archive", lambda *_: _raise(FileNotFoundError("models/iris/1/model.py"))
        ):
            yield run("model pack models -o model.tar.gz", "while files are deleted")
        triton = "infra.triton.server"
        with patch(f"{triton}.unavailable", lambda: "nvidia-pytriton's Triton runs on Linux x86_64 only"):
            yield run("model test models")
        with patch(f"{triton}.unavailable", lambda: None):
            yield run("model test models --default-model other")
            account.write("models/other/config.pbtxt", MODEL)
            yield run("model test models")
            shutil.rmtree("models/other")
            with patch(f"{triton}.TritonServer", partial(_Triton, refusal=ServeError("ERROR: no model"))):
                yield run("model test models", "serve ends")
            with patch(f"{triton}.TritonServer", partial(_Triton, exited=1)):
                yield run("model test models", "the model does not load")
            error = ConnectionError("Triton ended")
            answers: list[Any] = [(500, {}, b'{"error":"no weights"}'), (200, {}, b"?"), error]
            for answer in answers:
                with patch(f"{triton}.TritonServer", partial(_Triton, answer=answer)):
                    yield run("model test models", f"the answer is {answer!r}")


class _Triton:
    """A Triton that logs an error, and answers what an example needs."""

    def __init__(self, _archive: Path, _environment: Any, _directory: Path, log: Any, **behaviour: Any) -> None:
        self.exited, self._answer = behaviour.get("exited"), behaviour.get("answer")
        self._refusal = behaviour.get("refusal")
        log("I1128 09:00:00.000001 7 server.cc:1] loading: iris:1")
        log("error: creating server: Internal - failed to load all models")

    def start(self) -> None:
        if self._refusal:
            raise self._refusal

    def ping(self) -> bool:
        return self.exited is None

    def stop(self, grace_seconds: float) -> None: ...

    def invoke(self, *_: Any) -> Any:
        return _raise(self._answer) if isinstance(self._answer, Exception) else self._answer


def operations() -> Iterator[Example]:
    """`release`, `status`, `logs`."""
    with Account.made() as account:
        run, answers = account.run, account.answers
        answers["describe_endpoint"] = NOT_FOUND
        yield run("release status -s dev")
        answers["describe_endpoint"] = UNREACHABLE
        yield run("release status -s dev")
        answers["describe_endpoint"] = NoCredentialsError()
        yield run("release status -s dev")
        answers["describe_endpoint"] = {**ANSWERS["describe_endpoint"], "ProductionVariants": []}
        yield run("release stop -s dev")
        answers["describe_endpoint"]["EndpointStatus"] = "Creating"
        yield run("release stop -s dev", "the first creation is in progress")
        updating = {
            "EndpointStatus": "Updating",
            "ProductionVariants": [],
            "PendingDeploymentSummary": {"EndpointConfigName": "ranking-5d6e7f8", "ProductionVariants": []},
        }
        answers["describe_endpoint"] = {**ANSWERS["describe_endpoint"], **updating}
        answers["describe_alarms"] = {"MetricAlarms": [], "CompositeAlarms": []}
        yield run("release stop -s dev")
        alarms = [{"AlarmName": "ranking-5d6e7f8-stop"}]
        deployment = {"AutoRollbackConfiguration": {"Alarms": alarms}}
        answers["describe_endpoint"]["LastDeploymentConfig"] = deployment
        yield run("release stop -s dev")
        answers["set_alarm_state"] = {}
        yield run("release stop -s dev --yes", "SageMaker does not roll back")
        yield run("status -s dev search")
        yield run("status -s dev --watch --json")
        denied = refusal("FilterLogEvents", "ResourceNotFoundException", "The specified log group does not exist.")
        answers["filter_log_events"] = denied
        yield run("logs -s dev")
        answers["describe_endpoint"] = NOT_FOUND
        yield run("logs -s dev serach")
        answers["filter_log_events"] = refusal(
            "FilterLogEvents", "InvalidParameterException", "Invalid filter pattern."
        )
        yield run("logs -s dev --filter model.py")
        yield run("logs -s dev --since yesterday")
    with Account.made(
        STACK.replace("autoscaling: {min: 2, max: 10}", "batch: {}").replace("      instanceType: ml.c5.xlarge\n", "")
    ) as account:
        yield account.run("status -s dev")


def dashboards() -> Iterator[Example]:
    """`dashboard`."""
    with Account.made() as account:
        yield account.run("dashboard -s dev")
    with Account.made(f"{STACK}  triton-sagemaker:monitoring: {{dashboard: true}}\n") as account:
        missing = refusal("GetDashboard", "ResourceNotFound", "Dashboard does not exist")
        account.answers["get_dashboard"] = missing
        yield account.run("dashboard -s dev --json")
        account.answers["get_dashboard"] = {"DashboardBody": '{"widgets": []}'}
        yield account.run("dashboard -s dev --png d.png --since yesterday")
        yield account.run("dashboard -s dev --since 7d")
        yield account.run("dashboard -s dev --png missing/d.png")
        with patch.dict(sys.modules, {"matplotlib": None}):
            sys.modules.pop("infra.monitoring.picture", None)
            yield account.run("dashboard -s dev --png d.png", "matplotlib is not installed")


def policy() -> Iterator[Example]:
    """`policy`."""
    with Account.made() as account:
        yield account.run("policy deployr -s dev")
        yield account.run("policy deployer -s dev --account 1234")
        yield account.run("policy deployer -s dev --also old.endpoint_1")


def cost() -> Iterator[Example]:
    """`cost`."""
    with Account.made() as account:
        run, answers = account.run, account.answers
        yield run("cost")
        yield run("cost -s dev --request-bytes 4000")
        yield run("cost -s dev --idle 0")
        yield run("cost -s dev --idle 14 --diff")
        yield run("cost -s dev update-prices")
        yield run("cost compare -s dev ranking --bench missing.json")
        yield run("cost compare -s dev search")
        yield run("cost compare -s dev ranking ml.c5.9large")
        answers["get_products"] = refusal("GetProducts", "AccessDeniedException", "You are not authorized.")
        yield run("cost -s dev")
        yield run("cost update-prices -s dev")
        answers["get_products"] = {"PriceList": []}
        yield run("cost update-prices -s dev")
        nowhere = Path("missing/prices.ap-northeast-1.json")
        yield account.failing(
            "cost update-prices, in a directory that does not exist", lambda: write(nowhere, iter([]))
        )
        account.write("directory/prices.ap-northeast-1.json/file", "")
        yield account.failing(
            "cost, with a directory as price file", lambda: read_prices(Path("directory"), "ap-northeast-1")
        )
        account.write("prices.ap-northeast-1.json", "[{}]")
        yield run("cost -s dev")
        pools = [{"VariantName": "AllTraffic", "ModelName": "ranking", "InstancePools": []}]
        answers["describe_endpoint_config"] = {"ProductionVariants": pools}
        answers["describe_scalable_targets"] = {"ScalableTargets": []}
        account.write("prices.ap-northeast-1.json", "[]")
        yield run("cost -s dev --diff", "an endpoint with instance pools")
        answers["describe_endpoint_config"] = refusal(
            "DescribeEndpointConfig", "ValidationException", "Could not find endpoint configuration"
        )
        yield run("cost -s dev --diff", "an endpoint whose configuration was deleted")
        answers["get_resources"] = refusal("GetResources", "AccessDeniedException", "You are not authorized.")
        yield run("cost -s dev --diff", "a policy of an earlier version")

        def described(EndpointName: str) -> Any:
            if EndpointName == "ranking":
                return ANSWERS["describe_endpoint"]
            raise refusal("DescribeEndpoint", "AccessDeniedException", "You are not authorized.")

        answers["describe_endpoint"] = described
        arn = "arn:aws:sagemaker:ap-northeast-1:123456789012:endpoint/search"
        answers["get_resources"] = {"ResourceTagMappingList": [{"ResourceARN": arn}]}
        yield run("cost -s dev --diff", "the settings no longer have search")
        usage, region = usage_types.instances(usage_types.HOSTING, "ml.c5.xlarge"), "ap-northeast-1"
        one = product("APN1-Host:ml.c5.xlarge", sku="SKU1", instanceName="ml.c5.xlarge", component="Hosting")
        other = product("APN1-Host:ml.c5.xlarge", sku="SKU2")
        for products in ([], [one], [one, other]):
            price = partial(PriceList.of_answers(products).price, usage, region)
            yield account.failing(f"a price list with {len(products)} products", price)
        yield account.failing("--bench missing.json", lambda: measurement(Path("missing.json")))
        for measured in ("{}", '{"responsesPerSecond": 1, "fleet": null}', '{"responsesPerSecond": 0, "fleet": {}}'):
            account.write("bench.json", measured)
            yield account.failing(f"--bench {measured}", lambda: measurement(Path("bench.json")))


SECTIONS = [
    Section("Stack files and projects", stack_files),
    Section("Credentials and the provider's configuration", sessions),
    Section("python -m infra invoke", invoke),
    Section("python -m infra batch", batch),
    Section("python -m infra model", models),
    Section("python -m infra release, status, logs", operations),
    Section("python -m infra dashboard", dashboards),
    Section("python -m infra policy", policy),
    Section("python -m infra cost", cost),
]
