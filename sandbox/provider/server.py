"""The resource provider protocol over the table of types."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2
from google.protobuf.message import Message
from pulumi.runtime.proto import plugin_pb2, status_pb2
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderServicer

from infra.aws_session import AwsSession, AwsSessionRefused
from sandbox.provider import lifecycle, table
from sandbox.provider.difference import Change, changes, inputs_after_refresh, with_computed, written_as
from sandbox.provider.invokes import UnknownFunction, invoke
from sandbox.provider.lifecycle import AwsCallFailed, Clients, Work
from sandbox.provider.resource_type import ResourceType, top_level
from sandbox.provider.wire import UNKNOWN, contains_unknown, decode, encode, plain, seal, secrets

_DEFAULTS = "__defaults"
"""Which inputs `Check` filled in: Pulumi's Terraform bridge keeps the list among the inputs, under this name."""

_REFUSALS = (AwsCallFailed, AwsSessionRefused, UnknownFunction, table.UnknownType, ValueError)


class _InitializationFailed(Exception):
    """The resource exists, and something that belongs to it failed: the engine must keep it."""

    def __init__(self, reason: str, id_: str, properties: dict[str, Any], inputs: dict[str, Any]) -> None:
        super().__init__(reason)
        self.detail = proto.ErrorResourceInitFailed(
            id=id_, reasons=[reason], properties=encode(properties), inputs=encode(inputs)
        )


_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response")


def _refusing(
    method: Callable[[AwsProvider, _Request], _Response],
) -> Callable[[AwsProvider, _Request, grpc.ServicerContext], _Response]:
    """Turns an expected error into the call's status, so that people see its message alone; secrets are blotted out."""

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
    """`pulumi-resource-aws` for the types in the table."""

    def __init__(self) -> None:
        self._config: dict[str, Any] = {}

    @functools.cached_property
    def _session(self) -> AwsSession:
        return AwsSession({f"aws:{key}": value for key, value in self._config.items()})

    @functools.cached_property
    def _clients(self) -> Clients:
        return Clients(self._session)

    # The provider itself

    def Handshake(self, request: proto.ProviderHandshakeRequest, context: Any) -> proto.ProviderHandshakeResponse:
        return proto.ProviderHandshakeResponse(accept_secrets=True, supports_autonaming_configuration=True)

    def GetPluginInfo(self, request: empty_pb2.Empty, context: Any) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=_version())

    def GetSchema(self, request: proto.GetSchemaRequest, context: Any) -> proto.GetSchemaResponse:
        return proto.GetSchemaResponse(schema=json.dumps({"name": "aws", "version": _version(), "resources": {}}))

    def CheckConfig(self, request: proto.CheckRequest, context: Any) -> proto.CheckResponse:
        return proto.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: proto.DiffRequest, context: Any) -> proto.DiffResponse:
        old, new = (decode(each) for each in (request.old_inputs or request.olds, request.news))
        changed = sorted(key for key in old.keys() | new.keys() if plain(old.get(key)) != plain(new.get(key)))
        kind = proto.DiffResponse.DIFF_SOME if changed else proto.DiffResponse.DIFF_NONE
        return proto.DiffResponse(changes=kind, diffs=changed)

    def Configure(self, request: proto.ConfigureRequest, context: Any) -> proto.ConfigureResponse:
        self._config = {key: value for key, value in plain(decode(request.args)).items() if not contains_unknown(value)}
        return proto.ConfigureResponse(acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True)

    def Cancel(self, request: empty_pb2.Empty, context: Any) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    @_refusing
    def Invoke(self, request: proto.InvokeRequest) -> proto.InvokeResponse:
        return proto.InvokeResponse(
            **{"return": encode(invoke(request.tok, plain(decode(request.args)), self._clients))}
        )

    # Resources

    @_refusing
    def Check(self, request: proto.CheckRequest) -> proto.CheckResponse:
        type_ = table.find(_type_of(request))
        given = decode(request.news)
        inputs, failures = self._complete(type_, request, plain(given), plain(decode(request.olds)))
        found = lifecycle.problems(
            type_, self._clients, {key: value for key, value in inputs.items() if key != _DEFAULTS}
        )
        failures += [(problem.path, problem.reason) for problem in found]
        return proto.CheckResponse(
            inputs=encode(seal(given, inputs)),
            failures=[
                proto.CheckFailure(property=path, reason=_blot(reason, secrets(given))) for path, reason in failures
            ],
        )

    @_refusing
    def Diff(self, request: proto.DiffRequest) -> proto.DiffResponse:
        type_ = table.find(_type_of(request))
        new, outputs = plain(decode(request.news)), plain(decode(request.olds))
        old = with_computed(_without_notes(plain(decode(request.old_inputs))), outputs, type_.rules)
        found = changes(old, _without_notes(new), type_.rules)
        region = outputs.get("region")
        if region and region != new.get("region", self._session.region):
            found["region"] = Change.UPDATE
        return _response(type_, found, named_by_program=_named_by_program(type_, new))

    @_refusing
    def Create(self, request: proto.CreateRequest) -> proto.CreateResponse:
        type_ = table.find(_type_of(request))
        inputs = decode(request.properties)
        given = _without_notes(plain(inputs))
        if request.preview:
            expected = self._expected(type_) | given
            return proto.CreateResponse(properties=encode(seal(inputs, expected)))
        work = Work(type_, self._clients, given, given)
        lifecycle.create(work)
        outputs = self._after(work, inputs, lambda: lifecycle.finish(work))
        return proto.CreateResponse(id=work.id, properties=encode(outputs))

    @_refusing
    def Read(self, request: proto.ReadRequest) -> proto.ReadResponse:
        type_ = table.find(_type_of(request))
        inputs, before = decode(request.inputs), decode(request.properties)
        state = plain(before) or type_.identify(request.id)
        work = Work(type_, self._clients, state, _without_notes(plain(inputs)))
        if (outputs := self._outputs(work, plain(before))) is None:
            return proto.ReadResponse()
        refreshed = self._refreshed_inputs(type_, plain(inputs), outputs)
        return proto.ReadResponse(
            id=work.id, properties=encode(seal(before, outputs)), inputs=encode(seal(inputs or before, refreshed))
        )

    @_refusing
    def Update(self, request: proto.UpdateRequest) -> proto.UpdateResponse:
        type_ = table.find(_type_of(request))
        before, inputs = decode(request.olds), decode(request.news)
        olds, given, old_inputs = (_without_notes(plain(each)) for each in (before, inputs, decode(request.old_inputs)))
        changed = {top_level(path) for path in changes(old_inputs, given, type_.rules)}
        state = {name: value for name, value in olds.items() if name not in changed} | given
        if request.preview:
            expected = dict.fromkeys(type_.renewed.split(), UNKNOWN) if changed else {}
            return proto.UpdateResponse(properties=encode(seal(inputs, state | expected)))
        work = Work(type_, self._clients, state, given)
        if not changed:  # an earlier attempt failed half-way: nothing is certain but that the resource exists
            changed, olds = set(given), {}
        work.changed = frozenset(changed)
        outputs = self._after(work, inputs, lambda: lifecycle.update(work, olds))
        return proto.UpdateResponse(properties=encode(outputs))

    @_refusing
    def Delete(self, request: proto.DeleteRequest) -> empty_pb2.Empty:
        type_ = table.find(_type_of(request))
        state = plain(decode(request.properties))
        lifecycle.delete(Work(type_, self._clients, state, {}))
        return empty_pb2.Empty()

    # What these have in common

    def _complete(
        self, type_: ResourceType, request: proto.CheckRequest, news: dict[str, Any], olds: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """The inputs with what the program left out, and what stands in the way."""
        inputs = {name: _as_document(value) if name in type_.rules.documents else value for name, value in news.items()}
        inputs.pop(_DEFAULTS, None)
        failures, filled_in = [], []
        defaulted_before = set(olds.get(_DEFAULTS) or ())
        if (auto := type_.autoname) and auto.property not in inputs:
            try:
                kept = olds.get(auto.property) if auto.property in defaulted_before else None
                inputs[auto.property] = kept or auto.propose(request, _name_of(request), inputs)
                filled_in.append(auto.property)
            except ValueError as error:
                failures.append((auto.property, str(error)))
        for path, value in type_.defaults.items():
            if _set_default(inputs, path.split("."), value) and "." not in path:
                filled_in.append(path)
        if type_.tags:
            inputs["tagsAll"] = self._all_tags(inputs.get("tags"))
        return {**inputs, _DEFAULTS: sorted(filled_in)}, failures

    def _expected(self, type_: ResourceType) -> dict[str, Any]:
        """What a preview knows of the properties that no input gives."""
        by_aws = set(type_.outputs.split()) | (type_.rules.computed & type_.input_names)
        return dict.fromkeys(by_aws, UNKNOWN) | ({"region": self._session.region} if type_.regional else {})

    def _all_tags(self, tags: Any) -> Any:
        return UNKNOWN if contains_unknown(tags) else {**self._session.default_tags, **(tags or {})}

    def _after(self, work: Work, inputs: dict[str, Any], step: Callable[[], None]) -> dict[str, Any]:
        """The outputs after a step on a resource that exists; if the step fails, the engine keeps the resource."""
        known = {name: value for name, value in work.state.items() if name in work.type.properties}
        try:
            step()
            outputs = self._outputs(work, work.given)
            if outputs is None:
                raise AwsCallFailed(work.type.reads[0].operation, work.id, "", "not found right after it was made")
        except AwsCallFailed as error:
            reason = _blot(str(error), secrets(inputs))
            raise _InitializationFailed(reason, work.id, seal(inputs, known), inputs) from error
        sealed: dict[str, Any] = seal(inputs, outputs)
        return sealed

    def _outputs(self, work: Work, model: Mapping[str, Any]) -> dict[str, Any] | None:
        """All outputs as AWS has them, written as in `model` where that means the same."""
        kept = {name: model[name] for name in work.type.write_only.split() if name in model}
        explicit = model.get("tags") or {}
        if (live := lifecycle.read(work)) is None:
            return None
        if work.type.tags:
            defaults = self._session.default_tags
            live["tags"] = {
                key: value for key, value in live["tagsAll"].items() if key in explicit or defaults.get(key) != value
            }
        if work.type.regional:
            live["region"] = work.client.meta.region_name
        outputs: dict[str, Any] = kept | written_as(_without_notes(model), live, work.type.rules)
        return {name: value for name, value in outputs.items() if value is not None}

    def _refreshed_inputs(
        self, type_: ResourceType, inputs: dict[str, Any], outputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        possible = {name: value for name, value in outputs.items() if name in type_.input_names | {"tagsAll"}}
        if not inputs:  # an import: every input that AWS can tell
            return {
                **type_.rules.defaults,
                **{name: value for name, value in possible.items() if value not in ("", [], {})},
                _DEFAULTS: [],
            }
        notes = {_DEFAULTS: inputs[_DEFAULTS]} if _DEFAULTS in inputs else {}
        refreshed: dict[str, Any] = inputs_after_refresh(_without_notes(inputs), possible, type_.rules)
        return refreshed | notes


def _type_of(request: Any) -> str:
    return str(request.type or request.urn.split("::")[2].split("$")[-1])


def _name_of(request: Any) -> str:
    return str(request.name or request.urn.split("::", 3)[3])


def _without_notes(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name != _DEFAULTS}


def _as_document(value: Any) -> Any:
    """A document given as an object is its JSON; one with an unknown part is unknown."""
    if isinstance(value, str):
        return value
    return UNKNOWN if contains_unknown(value) else json.dumps(value, separators=(",", ":"))


def _set_default(inputs: Any, path: list[str], value: Any) -> bool:
    """Sets the default where the property is left out; inside of lists, in each element."""
    if isinstance(inputs, list):
        return any([_set_default(item, path, value) for item in inputs])
    if not isinstance(inputs, dict) or (len(path) > 1 and path[0] not in inputs):
        return False
    if len(path) > 1:
        return _set_default(inputs[path[0]], path[1:], value)
    return inputs.setdefault(path[0], value) is value if path[0] not in inputs else False


def _named_by_program(type_: ResourceType, inputs: Mapping[str, Any]) -> bool:
    """Whether the program chose the physical name, so that old and new resource cannot exist side by side."""
    auto = type_.autoname
    return bool(auto and not auto.bare and _DEFAULTS in inputs and auto.property not in inputs[_DEFAULTS])


def _response(type_: ResourceType, found: Mapping[str, Change], named_by_program: bool) -> proto.DiffResponse:
    replacing = {path for path in found if type_.forces_replacement(path)}
    kinds = {path: change.value + "_REPLACE" * (path in replacing) for path, change in found.items()}
    return proto.DiffResponse(
        changes=proto.DiffResponse.DIFF_SOME if found else proto.DiffResponse.DIFF_NONE,
        diffs=sorted({top_level(path) for path in found}),
        replaces=sorted({top_level(path) for path in replacing}),
        deleteBeforeReplace=bool(replacing) and (type_.delete_before_replace or named_by_program),
        hasDetailedDiff=True,
        detailedDiff={
            path: proto.PropertyDiff(kind=proto.PropertyDiff.Kind.Value(kind), inputDiff=True)
            for path, kind in kinds.items()
        },
    )


def _secrets_in(request: Message) -> Iterable[Any]:
    for descriptor, value in request.ListFields():
        if descriptor.message_type is not None and descriptor.message_type.full_name == "google.protobuf.Struct":
            yield from secrets(decode(value))


def _blot(text: str, hidden: Iterable[Any]) -> str:
    for value in hidden:
        if isinstance(value, str) and len(value) > 2:  # shorter ones would only garble the text (Pulumi's own limit)
            text = text.replace(value, "[secret]")
    return text


def _version() -> str:
    try:
        return version("pulumi-aws")
    except PackageNotFoundError:
        return "7.0.0"
