"""The step ``http``: one request."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from seatrial.api.fields import (
    HeaderName,
    HttpMethod,
    Model,
    RelaxedObject,
    Rule,
    ShortText,
    Text,
    Wait,
    one_of,
)
from seatrial.api.steps.web import BasicAuth, OAuth2, Receive, Tls, Url

HTTP_VERBS = ("get", "post", "put", "patch", "delete", "head", "options")
_BODIES = ("body", "bodyBase64", "form", "multipart")
_AUTH = ("basicAuth", "bearer", "oauth2")


class NamedMethod(Model):
    """A request by a method that has no field of its own."""

    method: HttpMethod = Field(description="Method, such as PROPFIND.")
    url: Url = Field(description="URL.")


class Part(Model):
    """One part of a multipart body: a field, or a file if it has a filename."""

    __rules__ = (one_of("text", "base64", required=True),)

    name: ShortText = Field(description="Name of the field.")
    text: Annotated[str, Field(max_length=65536)] | None = Field(None, description="As text.")
    base64: Annotated[str, Field(max_length=65536)] | None = Field(
        None, description="As bytes, written in base64."
    )
    filename: ShortText | None = Field(None, description="Name of the file.")
    content_type: ShortText | None = Field(
        None, description="Media type. Default of a file: application/octet-stream."
    )


class HttpRequest(Model):
    """One HTTP request. Every text may hold ``{{ captured }}`` values."""

    __rules__ = (
        one_of(*HTTP_VERBS, "request", required=True),
        one_of(*_BODIES, required=False),
        one_of(*_AUTH, required=False),
        # CEL does not see a field that may hold any JSON.
        Rule(
            "give at most one of: json, body, bodyBase64, form, multipart",
            check=lambda self: self.json_ is None or not any(map(self.given, _BODIES)),
        ),
    )

    get: Url | None = Field(None, description="URL to GET.")
    post: Url | None = Field(None, description="URL to POST to.")
    put: Url | None = Field(None, description="URL to PUT to.")
    patch: Url | None = Field(None, description="URL to PATCH.")
    delete: Url | None = Field(None, description="URL to DELETE.")
    head: Url | None = Field(None, description="URL to ask for with HEAD.")
    options: Url | None = Field(None, description="URL to ask for with OPTIONS.")
    request: NamedMethod | None = Field(None, description="Any other method, with its URL.")
    headers: dict[HeaderName, Text] = Field(
        default_factory=dict, max_length=64, description="Request headers by name."
    )
    query: dict[HeaderName, Text] = Field(
        default_factory=dict, max_length=64, description="Query parameters, encoded for you."
    )
    json_: Annotated[JsonValue, RelaxedObject] = Field(
        None, alias="json", description="JSON body; sets Content-Type: application/json."
    )
    body: Annotated[str, Field(max_length=65536)] | None = Field(
        None, description="Body as text, sent as it is."
    )
    body_base64: Annotated[str, Field(max_length=65536)] | None = Field(
        None, description="Body as bytes, written in base64."
    )
    form: dict[HeaderName, Text] | None = Field(
        None, max_length=64, description="Form fields, sent URL-encoded."
    )
    multipart: list[Part] | None = Field(
        None, min_length=1, max_length=32, description="Fields and files, as multipart/form-data."
    )
    basic_auth: BasicAuth | None = Field(None, description="HTTP basic authentication.")
    bearer: Text | None = Field(None, description="Token of an Authorization: Bearer header.")
    oauth2: OAuth2 | None = Field(None, description="A token by OAuth 2 client credentials.")
    tls: Tls | None = Field(None, description="Own authorities and client certificates.")
    http2: bool = Field(False, description="HTTP/2; on http:// without asking first.")
    timeout: Wait | None = Field(
        None, description="Longest time for the whole exchange. Default 10s."
    )
    follow_redirects: bool = Field(False, description="Follow 3xx answers.")
    stream: Receive | None = Field(
        None,
        description="Read the body as it comes, as response.events: server-sent events, or lines;"
        " until sees response.event, the last one.",
    )
