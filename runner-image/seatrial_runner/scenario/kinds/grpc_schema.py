"""Methods and messages of gRPC services: from the server's reflection, or from .proto files."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from seatrial_runner.scenario.action import Call, StepFailure
from seatrial_runner.scenario.kinds.grpc_channel import Link

_COMPILE_S = 30.0
_MAX_FILES = 1000
# NB: as ProtoFile of the API; what begins with - or @ is an option of the compiler.
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*\.proto")
# The same messages under both names; servers have one or both.
_REFLECTION = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
Metadata = list[tuple[str, str | bytes]]


@dataclass(frozen=True)
class Types:
    """
    What services and their messages are made of.

    NB: the classes of messages are held as long as their descriptors. One that nobody holds goes
    with the next collection of garbage, and is given out by its descriptor until it is gone: who
    gets it in another thread meanwhile reads freed memory (protobuf 7.36, upb).
    """

    pool: DescriptorPool
    classes: list[type]


@dataclass(frozen=True)
class Method:
    """A method of a service, and how its messages are written."""

    descriptor: Any
    types: Types

    @property
    def path(self) -> str:
        """As it stands in a request."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def takes_many(self) -> bool:
        """Whether the client may send a stream."""
        return bool(self.descriptor.client_streaming)

    def check_count(self, count: int) -> None:
        """Refuse a number of messages that the method does not take."""
        if count != 1 and not self.takes_many:
            text = f"{self.path[1:]} takes one message, not {count}: give message"
            raise StepFailure(text, permanent=True)

    def encode(self, message: Any, index: int) -> bytes:
        """
        Write a message.

        Raises:
            StepFailure: It has other fields, or values of other types.
        """
        made = message_factory.GetMessageClass(self.descriptor.input_type)()
        try:
            json_format.ParseDict(message, made, descriptor_pool=self.types.pool)
        except (json_format.ParseError, ValueError, TypeError, AttributeError) as error:
            where = f"messages[{index}]" if self.takes_many else "message"
            wanted = self.descriptor.input_type
            names = ", ".join(each.json_name for each in wanted.fields) or "none"
            raise StepFailure(
                f"{where} is no {wanted.full_name}: {error} (its fields are: {names})",
                permanent=True,
            ) from error
        encoded: bytes = made.SerializeToString()
        return encoded

    def decode(self, raw: bytes) -> Any:
        """
        Read a message, as JSON; fields that are not set have their defaults.

        Raises:
            StepFailure: It is none of this type.
        """
        kind = self.descriptor.output_type
        try:
            made = message_factory.GetMessageClass(kind).FromString(raw)
            return json_format.MessageToDict(
                made, descriptor_pool=self.types.pool, always_print_fields_with_no_presence=True
            )
        except (DecodeError, json_format.SerializeToJsonError, ValueError, TypeError) as error:
            text = f"the answer of {len(raw)} bytes is no {kind.full_name}: {error}"
            raise StepFailure(text, answered=True) from error


def method_of(
    document: dict[str, Any], link: Link, metadata: Metadata, deadline: float, call: Call
) -> Method:
    """
    Find the method of a step.

    Raises:
        StepFailure: It is not there; the message says which are.
    """
    service, _, name = document["method"].partition("/")
    if "protos" in document:
        types = _compiled(
            {file: call.text(text) for file, text in document["protos"].items()}, call
        )
    else:
        key = ("grpc-schema", link.target, service)
        types = call.tools.resources.get(
            key, lambda: _Reflection(link, metadata, deadline).types(service), lambda _: None
        )
    try:
        found = types.pool.FindServiceByName(service)
    except KeyError as error:
        where = "no file of protos has a" if "protos" in document else f"{link.target} has no"
        raise StepFailure(
            f"{where} service {service!r}: is its package before it, and is it a service?",
            permanent=True,
        ) from error
    method = found.methods_by_name.get(name)
    if method is None:
        names = ", ".join(sorted(found.methods_by_name)) or "none"
        text = f"service {service} has no method {name!r}; its methods are: {names}"
        raise StepFailure(text, permanent=True)
    return Method(method, types)


# By reflection -----------------------------------------------------------------------------------


class _Refused(Exception):  # noqa: N818 - a status that is looked at
    def __init__(self, code: str, details: str) -> None:
        self.code, self.details = code, details
        super().__init__(f"{code}: {details}")


@dataclass
class _Reflection:
    """
    Asks a server what it serves.

    Source: grpc, src/proto/grpc/reflection/v1/reflection.proto.
    """

    link: Link
    metadata: Metadata
    deadline: float
    files: dict[str, descriptor_pb2.FileDescriptorProto] = field(default_factory=dict)
    path: str = ""

    def types(self, service: str) -> Types:
        """Give everything that a service's messages are made of."""
        self._take(self._ask(service, file_containing_symbol=service))
        missing = self._missing()
        while missing:
            for name in missing:
                self._take(self._ask(service, file_by_filename=name))
            if len(self.files) > _MAX_FILES:
                raise StepFailure(f"{service} is made of more than {_MAX_FILES} files")
            left = self._missing()
            if left & missing:
                raise StepFailure(f"the server's reflection does not give {sorted(left)[0]}")
            missing = left
        return types_of(self.files)

    def _missing(self) -> set[str]:
        needed = {name for each in self.files.values() for name in each.dependency}
        return needed - self.files.keys()

    def _take(self, answer: Any) -> None:
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(raw)
            self.files[file.name] = file

    def _ask(self, service: str, **request: str) -> Any:
        for path in [self.path] if self.path else _REFLECTION:
            try:
                answer = self._asked(path, **request)
            except _Refused as refused:
                if refused.code == "UNIMPLEMENTED" and path != _REFLECTION[-1] and not self.path:
                    continue
                raise self._failure(refused) from refused
            self.path = path
            if answer.HasField("error_response"):
                raise self._unknown(service, answer.error_response)
            return answer
        raise AssertionError

    def _asked(self, path: str, **request: str) -> Any:
        message = reflection_pb2.ServerReflectionRequest(**request).SerializeToString()
        running = self.link.start(path, [message], self.metadata, self.deadline)
        try:
            for raw in running:
                return reflection_pb2.ServerReflectionResponse.FromString(raw)
        except grpc.RpcError:
            pass
        except DecodeError as error:
            raise StepFailure("the server's reflection answers what cannot be read") from error
        finally:
            running.cancel()
        raise _Refused(running.code().name, running.details() or "")

    def _failure(self, refused: _Refused) -> StepFailure:
        target = self.link.target
        if problem := self.link.problem(refused.details):
            return StepFailure(problem)
        if refused.code == "UNIMPLEMENTED":
            text = f"the server at {target} has no reflection: give its files as protos"
            return StepFailure(text, answered=True)
        if self.deadline <= time.monotonic():
            return StepFailure(f"no answer came in time from {target}", out_of_time=True)
        return StepFailure(f"the reflection of {target} answers {refused}", answered=True)

    def _unknown(self, service: str, error: Any) -> StepFailure:
        try:
            answer = self._asked(self.path, list_services="*")
            names = sorted(each.name for each in answer.list_services_response.service)
        except (_Refused, StepFailure):
            names = []
        known = f"; its services are: {', '.join(names)}" if names else f": {error.error_message}"
        return StepFailure(f"{self.link.target} has no service {service!r}{known}", answered=True)


# By files ----------------------------------------------------------------------------------------


def _compiled(files: dict[str, str], call: Call) -> Types:
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
    return call.tools.resources.get(
        ("grpc-protos", digest), lambda: _compile(files, call), lambda _: None
    )


def _compile(files: dict[str, str], call: Call) -> Types:
    with tempfile.TemporaryDirectory(prefix="seatrial-protos-", dir=_scratch()) as folder:
        root = Path(folder).resolve() / "protos"
        for name, text in files.items():
            path = (root / name).resolve()
            if not _FILE.fullmatch(name) or not path.is_relative_to(root):
                problem = f"protos: {name!r} is no name of a file: write orders.proto"
                raise StepFailure(problem, permanent=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        out = Path(folder) / "descriptors"
        # A process of its own: its problems come by the standard error alone.
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", "--include_imports"),
            *(f"--descriptor_set_out={out}", *sorted(files)),
        ]
        limit = min(max(call.seconds(), 1.0), _COMPILE_S)
        try:
            run = subprocess.run(  # noqa: S603 - our own interpreter; names were checked
                command, capture_output=True, text=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise StepFailure("protos: compiling took too long", out_of_time=True) from error
        if run.returncode:
            lines = run.stderr.replace(f"{root}/", "").splitlines()
            first = next((line for line in lines if ".proto" in line), "it cannot be compiled")
            problem = f"protos: {first}"
            if "No module named" in run.stderr:
                problem = "grpc needs the extra: pip install 'seatrial[grpc]'"
            raise StepFailure(problem, "\n".join(lines), permanent=True)
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return types_of({file.name: file for file in found.file})


def _scratch() -> str:
    """Give a directory to write to: in a pod whose file system is read-only, that in memory."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return "/dev/shm"  # noqa: S108 - a directory of our own is made in it


def types_of(files: dict[str, descriptor_pb2.FileDescriptorProto]) -> Types:
    """
    Make types of files, each after those that it needs.

    Raises:
        StepFailure: They do not fit together.
    """
    pool, added, pending = DescriptorPool(), set[str](), list(files.values())
    while pending:
        ready = [each for each in pending if added.issuperset(each.dependency)]
        if not ready:
            raise StepFailure(f"{pending[0].name} needs files that need it", answered=True)
        for each in ready:
            try:
                pool.Add(each)
            except TypeError as error:
                raise StepFailure(f"{each.name} cannot be used: {error}", answered=True) from error
            added.add(each.name)
        pending = [each for each in pending if each.name not in added]
    found = [pool.FindFileByName(name).message_types_by_name for name in added]
    return Types(pool, [each for named in found for each in classes_of(named.values())])


def classes_of(kinds: Iterable[Any]) -> Iterator[type]:
    """Give the classes of messages, and of those within them."""
    for kind in kinds:
        yield message_factory.GetMessageClass(kind)
        yield from classes_of(kind.nested_types)
