"""The API server's answers as errors, and what follows from each."""

import json

import pytest
from seatrial.api.errors import ClusterError, ConflictError, ForbiddenError, NotFoundError
from seatrial.cluster.errors import (
    AlreadyExistsError,
    InvalidObjectError,
    NotYetError,
    error_from,
)


def answer(reason, message=""):
    return json.dumps({"kind": "Status", "reason": reason, "message": message}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, answer("NotFound"), NotFoundError),
        (409, answer("AlreadyExists"), AlreadyExistsError),
        (409, answer("Conflict"), ConflictError),
        (403, answer("Forbidden", "exceeded quota"), ForbiddenError),
        (403, answer("Forbidden", "status unknown for quota: seatrial"), NotYetError),
        (401, answer("Unauthorized"), ForbiddenError),
        (422, answer("Invalid"), InvalidObjectError),
        (400, answer("BadRequest"), InvalidObjectError),
        (413, b"too large", InvalidObjectError),
        (429, answer("TooManyRequests"), ClusterError),
        (500, b"<html>", ClusterError),
        (
            500,
            answer("InternalError", "failed to create typed patch object (a/b): duplicate entries"),
            InvalidObjectError,
        ),
        (503, b"[]", ClusterError),
    ],
)
def test_an_answer_becomes_the_error_that_says_what_to_do(status, body, kind):
    error = error_from(status, body, "POST /api/v1/pods")
    assert type(error) is kind
    assert error.status == status
    assert str(error).startswith("POST /api/v1/pods: ")


def test_what_will_never_be_accepted_is_not_tried_again():
    assert error_from(422, answer("Invalid"), "x").retry_after is None
    assert error_from(500, b"", "x").retry_after is not None
