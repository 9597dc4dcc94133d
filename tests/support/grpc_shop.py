"""A real gRPC server on loopback: orders, with all four kinds of methods, and reflection or not."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection
from seatrial_runner.scenario.kinds.grpc_schema import classes_of

TYPES = """syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
message Line { string sku = 1; int32 count = 2; }
enum State { PENDING = 0; PAID = 1; }
message Order {
  string id = 1; State state = 2; repeated Line lines = 3; int64 cents = 4;
  google.protobuf.Timestamp placed_at = 5; map<string, string> labels = 6;
}
"""
ORDERS = """syntax = "proto3";
package shop;
import "types.proto";
message Id { string id = 1; }
message Summary { int32 orders = 1; }
service Orders {
  rpc Get(Id) returns (Order);
  rpc Watch(Id) returns (stream Order);
  rpc Place(stream Order) returns (Summary);
  rpc Chat(stream Id) returns (stream Id);
}
"""
FILES = {"types.proto": TYPES, "orders.proto": ORDERS}
SERVICE = "shop.Orders"


def pool() -> DescriptorPool:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in FILES.items():
            (Path(folder) / name).write_text(text)
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", "--include_imports"]
        subprocess.run([*command, f"--descriptor_set_out={out}", *FILES], check=True)
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    made = DescriptorPool()
    for file in found.file:
        made.Add(file)
    return made


class Shop(grpc.GenericRpcHandler):
    """Gives orders to whoever has the token."""

    def __init__(self, types: DescriptorPool, token: str = "") -> None:
        self._types, self._token = types, token
        # NB: held, or a thread may get one that the collector of garbage is taking apart.
        kinds = [
            kind
            for file in ("types.proto", "orders.proto", "google/protobuf/timestamp.proto")
            for kind in types.FindFileByName(file).message_types_by_name.values()
        ]
        self._held = list(classes_of(kinds))
        self.over = threading.Event()
        self.metadata: list[dict[str, Any]] = []

    def _message(self, name: str) -> Any:
        return message_factory.GetMessageClass(self._types.FindMessageTypeByName(f"shop.{name}"))

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if not details.method.startswith(f"/{SERVICE}/"):
            return None
        self.metadata.append(dict(details.invocation_metadata))
        kinds = {
            "Get": (grpc.unary_unary_rpc_method_handler, self.get, "Id"),
            "Watch": (grpc.unary_stream_rpc_method_handler, self.watch, "Id"),
            "Place": (grpc.stream_unary_rpc_method_handler, self.place, "Order"),
            "Chat": (grpc.stream_stream_rpc_method_handler, self.chat, "Id"),
        }
        make, behaviour, takes = kinds[details.method.rpartition("/")[2]]
        handler: grpc.RpcMethodHandler = make(
            behaviour,
            request_deserializer=self._message(takes).FromString,
            response_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
        )
        return handler

    def _enter(self, context: grpc.ServicerContext) -> None:
        given = dict(context.invocation_metadata()).get("authorization")
        if self._token and given != f"Bearer {self._token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

    def get(self, asked: Any, context: grpc.ServicerContext) -> Any:
        self._enter(context)
        context.send_initial_metadata((("x-served-by", "orders-0"),))
        context.set_trailing_metadata((("x-cost", "3"), ("trace-bin", b"\x00\x01")))
        match asked.id:
            case "slow":
                self.over.wait(10)
            case "garbage":
                return b"\xff\xff\xff"
            case "none":
                context.abort(grpc.StatusCode.NOT_FOUND, "no such order")
            case "away":
                context.abort(grpc.StatusCode.UNAVAILABLE, "come back later")
        order = self._message("Order")(id=asked.id, state=1, cents=2**40)
        order.lines.add(sku="A1", count=2)
        order.placed_at.FromJsonString("2026-01-02T03:04:05Z")
        for name, value in context.invocation_metadata():
            if name.startswith("label-"):
                order.labels[name] = value.hex() if isinstance(value, bytes) else value
        return order

    def watch(self, asked: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        kind = self._message("Order")
        for n in range(3):
            yield kind(id=asked.id, cents=n)
        if asked.id == "breaks":
            context.abort(grpc.StatusCode.DATA_LOSS, "torn")
        while asked.id == "endless":
            yield kind(id="x" * 1000)
        if asked.id == "open":
            context.add_callback(self.over.set)
            self.over.wait(10)

    def place(self, orders: Iterator[Any], context: grpc.ServicerContext) -> Any:
        self._enter(context)
        return self._message("Summary")(orders=len(list(orders)))

    def chat(self, asked: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        self._enter(context)
        for each in asked:
            if each.id == "nonsense":
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "say it better")
            if each.id == "quiet":
                continue
            if each.id == "bye":
                return
            yield self._message("Id")(id=each.id.upper())
            while each.id == "flood" and context.is_active():
                yield self._message("Id")(id="x" * 100_000)


@contextlib.contextmanager
def a_shop(
    types: DescriptorPool,
    *,
    token: str = "",
    reflects: bool = True,
    tls: grpc.ServerCredentials | None = None,
) -> Iterator[tuple[str, Shop]]:
    """Serve; give HOST:PORT and the shop."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    shop = Shop(types, token)
    server.add_generic_rpc_handlers((shop,))
    if reflects:
        names = (SERVICE, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server, pool=types)
    where = "127.0.0.1:0"
    port = server.add_secure_port(where, tls) if tls else server.add_insecure_port(where)
    server.start()
    try:
        yield f"127.0.0.1:{port}", shop
    finally:
        shop.over.set()
        server.stop(0).wait()
