"""The resource provider protocol over the table of types."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any, TypeVar

import grpc
from botocore.exceptions import BotoCoreError, ClientError
from google.protobuf import any_pb2, empty_pb2
from google.protobuf.message import Message
from pulumi.runtime.proto import plugin_pb2, status_pb2
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderServicer

from infra.aws.session import AwsSession, AwsSessionRefused
from sandbox.provider import lifecycle, table
from sandbox.provider.difference import Change, changes, planned, written_as
from sandbox.provider.inputs import completed, imported, named_by_program, refreshed, without_notes
from sandbox.provider.invokes import UnknownFunction, invoke
from sandbox.provider.lifecycle import AwsCallFailed, Clients, Work
from sandbox.provider.resource_type import InvalidId, ResourceType, top_level
from sandbox.provider.wire import UNKNOWN, decode, encode, plain, seal, secrets

_REFUSALS = (
    *(AwsCallFailed, AwsSessionRefused, BotoCoreError, ClientError, InvalidId, OSError),
    *(UnknownFunction, table.UnknownType),
)

_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response")


class _InitializationFailed(Exception):
    """The resource exists, and something that belongs to it failed: the engine must keep it."""

    def __init__(self, reason: str, id_: str, properties: dict[str, Any], inputs: dict[str, Any]) -> None:
        super().__init__(reason)
        self.detail = proto.ErrorResourceInitFailed(
            id=id_, reasons=[reason], properties=encode(properties), inputs=encode(inputs)
        )


def _refusing(
    method: Callable[[AwsProvider, _Request], _Response],
) -> Callable[[AwsProvider, _Request, grpc.ServicerContext], _Response]:
    """Turns an expected error into the call's status: people see its message alone, with secrets blotted out."""

    @functools.wraps(method)
    def refusing(self: AwsProvider, request: _Request, context: grpc.ServicerContext) -> _Response:
        try:
            return method(self, request)
        except _InitializationFailed as error:
            detail = any_pb2.Any()
            detail.Pack(error.detail)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except _REFUSALS as error:
            context.abort(grpc.StatusCode.UNKNOWN, _blot(str(error), _secrets_in(request)))
        raise AssertionError("abort raises")

    return refusing


class AwsProvider(ResourceProviderServicer):
    """`pulumi-resource-aws` for the types in the table. The engine calls `Configure` before anything on resources."""

    _session: AwsSession
    _clients: Clients
    _default_tags: dict[str, str]

    # The provider itself

    def Handshake(self, request: proto.ProviderHandshakeRequest, context: Any) -> proto.ProviderHandshakeResponse:
        return proto.ProviderHandshakeResponse(accept_secrets=True, supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=version("pulumi-aws"))

    def GetSchema(self, request: proto.GetSchemaRequest, context: Any) -> proto.GetSchemaResponse:
        return proto.GetSchemaResponse(schema=json.dumps({"name": "aws", "version": version("pulumi-aws")}))

    def CheckConfig(self, request: proto.CheckRequest, context: Any) -> proto.CheckResponse:
        return proto.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: proto.DiffRequest, context: Any) -> proto.DiffResponse:
        """No change replaces the provider and with it everything it made; a new region replaces each resource."""
        before = request.old_inputs if request.HasField("old_inputs") else request.olds
        old, new = plain(decode(before)), plain(decode(request.news))
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        return proto.DiffResponse(changes=_verdict(changed), diffs=changed)

    @_refusing
    def Configure(self, request: proto.ConfigureRequest) -> proto.ConfigureResponse:
        config = plain(decode(request.args))
        self._session = AwsSession({f"aws:{key}": value for key, value in config.items()})
        self._clients = Clients(self._session)
        self._default_tags = dict(json.loads(config.get("defaultTags") or "{}").get("tags") or {})
        return proto.ConfigureResponse(acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True)

    def Cancel(self, request: empty_pb2.Empty, context: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    @_refusing
    def Invoke(self, request: proto.InvokeRequest) -> proto.InvokeResponse:
        result = invoke(request.tok, plain(decode(request.args)), self._clients)
        return proto.InvokeResponse(**{"return": encode(result)})

    # Resources

    @_refusing
    def Check(self, request: proto.CheckRequest) -> proto.CheckResponse:
        type_, given = _type_of(request), decode(request.news)
        inputs, problems = completed(
            type_,
            plain(given),
            plain(decode(request.olds)),
            lambda inputs: type_.autoname.propose(request, _name_of(request), inputs) if type_.autoname else "",
            self._default_tags,
        )
        problems += lifecycle.problems(type_, self._clients, without_notes(inputs))
        return proto.CheckResponse(
            inputs=encode(seal({**given, "tagsAll": given.get("tags")}, inputs)),
            failures=[
                proto.CheckFailure(property=problem.path, reason=_blot(problem.reason, secrets(given)))
                for problem in problems
            ],
        )

    @_refusing
    def Diff(self, request: proto.DiffRequest) -> proto.DiffResponse:
        type_ = _type_of(request)
        outputs, inputs = plain(decode(request.olds)), plain(decode(request.news))
        found = _changes(type_, outputs, inputs, request.ignoreChanges)
        if "region" in outputs and outputs["region"] != inputs.get("region", self._clients.region):
            found["region"] = Change.UPDATE
        found = {path: change for path, change in found.items() if top_level(path) not in request.ignoreChanges}
        replacing = {path for path in found if type_.forces_replacement(path)}
        kinds = {path: change.value + "_REPLACE" * (path in replacing) for path, change in found.items()}
        return proto.DiffResponse(
            changes=_verdict(found),
            diffs=sorted({top_level(path) for path in found}),
            replaces=sorted({top_level(path) for path in replacing}),
            deleteBeforeReplace=bool(replacing) and (type_.delete_before_replace or named_by_program(type_, inputs)),
            hasDetailedDiff=True,
            detailedDiff={
                path: proto.PropertyDiff(kind=proto.PropertyDiff.Kind.Value(kind), inputDiff=True)
                for path, kind in kinds.items()
            },
        )

    @_refusing
    def Create(self, request: proto.CreateRequest) -> proto.CreateResponse:
        type_, inputs = _type_of(request), decode(request.properties)
        given = without_notes(plain(inputs))
        if request.preview:
            return proto.CreateResponse(properties=encode(seal(inputs, self._expected(type_) | given)))
        work = Work(type_, self._clients, given, given)
        lifecycle.create(work)
        outputs = self._after(work, inputs, lambda: lifecycle.finish(work))
        return proto.CreateResponse(id=work.id, properties=encode(outputs))

    @_refusing
    def Read(self, request: proto.ReadRequest) -> proto.ReadResponse:
        type_, before, inputs = _type_of(request), decode(request.properties), decode(request.inputs)
        state, given = plain(before), plain(inputs)
        work = Work(type_, self._clients, state or type_.identify(request.id), given)
        if (outputs := self._outputs(work, state)) is None:
            return proto.ReadResponse()
        found = refreshed(type_, given, outputs) if inputs else imported(type_, outputs)
        return proto.ReadResponse(
            id=work.id, properties=encode(seal(before, outputs)), inputs=encode(seal(inputs or before, found))
        )

    @_refusing
    def Update(self, request: proto.UpdateRequest) -> proto.UpdateResponse:
        type_, inputs = _type_of(request), decode(request.news)
        olds, given = plain(decode(request.olds)), plain(inputs)
        changed = {top_level(path) for path in _changes(type_, olds, given, request.ignoreChanges)}
        given = planned(without_notes(given), olds, type_.rules, type_.input_names)
        state = {name: value for name, value in olds.items() if name not in changed} | given
        if request.preview:
            renewed = dict.fromkeys(type_.renewed.split() if changed else (), UNKNOWN)
            return proto.UpdateResponse(properties=encode(seal(inputs, state | renewed)))
        if not changed:  # an earlier attempt failed half-way: nothing is certain but that the resource exists
            changed, olds = set(given), {}
        work = Work(type_, self._clients, state, given, frozenset(changed))
        return proto.UpdateResponse(
            properties=encode(self._after(work, inputs, lambda: lifecycle.update(work, olds.get("tagsAll") or {})))
        )

    @_refusing
    def Delete(self, request: proto.DeleteRequest) -> empty_pb2.Empty:
        lifecycle.delete(Work(_type_of(request), self._clients, plain(decode(request.properties))))
        return empty_pb2.Empty()

    # What these have in common

    def _expected(self, type_: ResourceType) -> dict[str, Any]:
        """What a preview knows of the properties that no input gives."""
        by_aws = set(type_.outputs.split()) | (type_.rules.computed & type_.input_names)
        return dict.fromkeys(by_aws, UNKNOWN) | ({"region": self._clients.region} if type_.regional else {})

    def _after(self, work: Work, inputs: dict[str, Any], step: Callable[[], None]) -> dict[str, Any]:
        """The outputs after a step on a resource that exists; if the step fails, the engine keeps the resource."""
        known = {name: value for name, value in work.state.items() if name in work.type.properties}
        try:
            step()
            if (outputs := self._outputs(work, work.given)) is None:
                raise AwsCallFailed(work.type.reads[0].operation, work.id, "", "not found right after it was made")
        except AwsCallFailed as error:
            reason = _blot(str(error), secrets(inputs))
            raise _InitializationFailed(reason, work.id, seal(inputs, known), inputs) from error
        sealed: dict[str, Any] = seal(inputs, outputs)
        return sealed

    def _outputs(self, work: Work, model: Mapping[str, Any]) -> dict[str, Any] | None:
        """All outputs as AWS has them, written as in `model` where that means the same; None if there is nothing."""
        kept = {name: model[name] for name in work.type.write_only.split() if name in model}
        if (live := lifecycle.read(work)) is None:
            return None
        if work.type.tags:
            own, defaults = model.get("tags") or {}, self._default_tags
            tags = live["tagsAll"]
            live["tags"] = {key: value for key, value in tags.items() if key in own or defaults.get(key) != value}
        if work.type.regional:
            live["region"] = work.client.meta.region_name
        outputs: dict[str, Any] = kept | written_as(model, live, work.type.rules)
        return outputs


def _type_of(request: Any) -> ResourceType:
    return table.find(str(request.type or request.urn.split("::")[2].split("$")[-1]))


def _name_of(request: Any) -> str:
    return str(request.name or request.urn.split("::", 3)[3])


def _changes(
    type_: ResourceType, outputs: Mapping[str, Any], inputs: Mapping[str, Any], ignored: Iterable[str]
) -> dict[str, Change]:
    """What the inputs ask to be changed in the state, which holds what AWS answered, as in Terraform's plan."""
    state = {name: value for name, value in outputs.items() if name in type_.input_names | {"tagsAll"}}
    found = changes(state, without_notes(inputs), type_.rules)
    return {path: change for path, change in found.items() if not any(_within(path, other) for other in ignored)}


def _within(path: str, other: str) -> bool:
    return path.startswith(other) and path[len(other) : len(other) + 1] in ("", ".", "[")


def _verdict(found: Iterable[str]) -> proto.DiffResponse.DiffChanges.ValueType:
    return proto.DiffResponse.DIFF_SOME if list(found) else proto.DiffResponse.DIFF_NONE


def _secrets_in(request: Message) -> Iterable[Any]:
    for descriptor, value in request.ListFields():
        if descriptor.message_type is not None and descriptor.message_type.full_name == "google.protobuf.Struct":
            yield from secrets(decode(value))


def _blot(text: str, hidden: Iterable[Any]) -> str:
    for value in hidden:
        if isinstance(value, str) and len(value) > 2:  # shorter ones would only garble the text (Pulumi's own limit)
            text = text.replace(value, "[secret]")
    return text
