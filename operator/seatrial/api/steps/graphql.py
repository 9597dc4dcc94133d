"""The step ``graphql``: one operation, or what comes of a subscription."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from seatrial.api.fields import HeaderName, Model, RelaxedObject, Text, Wait, one_of
from seatrial.api.steps.web import BasicAuth, OAuth2, Receive, Tls, Url


class GraphqlStep(Model):
    """
    One GraphQL operation over HTTP, or with ``receive`` a subscription over WebSocket.

    Every text may hold ``{{ captured }}`` values.
    """

    __rules__ = (one_of("basicAuth", "bearer", "oauth2", required=False),)

    url: Url = Field(description="URL of the endpoint.")
    query: Annotated[str, Field(min_length=1, max_length=65536)] = Field(
        description="Query, mutation or subscription."
    )
    variables: Annotated[JsonValue, RelaxedObject] = Field(
        None, description="Its variables, as a map."
    )
    operation_name: HeaderName | None = Field(
        None, description="Which operation, where query has several."
    )
    headers: dict[HeaderName, Text] = Field(
        default_factory=dict, max_length=64, description="Request headers by name."
    )
    basic_auth: BasicAuth | None = Field(None, description="HTTP basic authentication.")
    bearer: Text | None = Field(None, description="Token of an Authorization: Bearer header.")
    oauth2: OAuth2 | None = Field(None, description="A token by OAuth 2 client credentials.")
    tls: Tls | None = Field(None, description="Own authorities and client certificates.")
    receive: Receive | None = Field(
        None,
        description="Subscribe, by graphql-transport-ws: results are response.events, and the last"
        " one response.data.",
    )
    timeout: Wait | None = Field(
        None, description="Longest time for the whole exchange. Default 10s."
    )
