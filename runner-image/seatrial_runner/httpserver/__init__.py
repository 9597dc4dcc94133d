"""A small HTTP/1.1 server, bounded in every direction."""

from seatrial_runner.httpserver.messages import Handler, ProblemError, Reply, Request
from seatrial_runner.httpserver.server import MAX_BODY, HttpServer

__all__ = ["MAX_BODY", "Handler", "HttpServer", "ProblemError", "Reply", "Request"]
