"""Names of ``protos`` are those of files, never options of the compiler."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import pytest
from google.protobuf import message_factory
from pydantic import ValidationError
from seatrial.api.explain import explain
from seatrial.api.steps.grpc import GrpcStep
from seatrial_runner.scenario.action import StepFailure
from seatrial_runner.scenario.kinds.grpc_schema import _compile

OPTIONS = [
    "--plugin=protoc-gen-x=x.proto",
    "-I.proto",
    "@args.proto",
    "../a.proto",
    "a b.proto",
    "a.proto\n",
    "a.txt",
]
FILE = 'syntax = "proto3"; package a;'


def a_step(name: str) -> GrpcStep:
    return GrpcStep.model_validate(
        {"target": "orders:50051", "method": "shop.Orders/Get", "protos": {name: FILE}}
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_no_name_of_a_file_is_refused_before_the_run(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        a_step(name)
    [problem] = explain(refused.value, "grpc")
    assert "such as shop/orders.proto" in str(problem)


@pytest.mark.parametrize("name", [*OPTIONS, "a/../../a.proto"])
def test_what_is_no_name_of_a_file_never_reaches_the_compiler(name: str) -> None:
    call = SimpleNamespace(seconds=lambda: 10.0)
    with pytest.raises(StepFailure, match="is no name of a file") as refused:
        _compile({name: FILE}, call)  # type: ignore[arg-type]
    assert refused.value.permanent


@pytest.mark.parametrize("name", ["orders.proto", "google/api/http-1.v2.proto", "_a.proto"])
def test_names_of_files_are_taken(name: str) -> None:
    assert a_step(name).protos == {name: FILE}
    call = SimpleNamespace(seconds=lambda: 10.0)
    _compile({name: FILE}, call)  # type: ignore[arg-type]


def test_classes_of_messages_live_as_long_as_their_descriptors() -> None:
    text = f"""{FILE}
    import "google/protobuf/timestamp.proto";
    message Order {{
      message Line {{ string sku = 1; }}
      map<string, Line> lines = 1;
      google.protobuf.Timestamp placed_at = 2;
    }}"""
    call = SimpleNamespace(seconds=lambda: 10.0)
    types = _compile({"orders.proto": text}, call)  # type: ignore[arg-type]
    names = ("a.Order", "a.Order.Line", "a.Order.LinesEntry", "google.protobuf.Timestamp")
    seen = [
        weakref.ref(message_factory.GetMessageClass(types.pool.FindMessageTypeByName(name)))
        for name in names
    ]
    gc.collect()
    assert [name for name, kind in zip(names, seen, strict=True) if kind() is None] == []
