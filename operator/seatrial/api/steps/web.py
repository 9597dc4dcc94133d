"""What requests of every kind have in common: addresses, credentials, TLS."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seatrial.api.fields import CEL, Model, Rule, ShortText, Text, Wait

Url = Annotated[str, Field(min_length=1, max_length=2048)]
Pem = Annotated[str, Field(min_length=1, max_length=65536)]


class BasicAuth(Model):
    """User name and password of HTTP basic authentication."""

    username: ShortText = Field(description="User name.")
    password: ShortText = Field(description="Password.")


class OAuth2(Model):
    """A token by OAuth 2 client credentials, kept for the scenario and renewed before its end."""

    token_url: Url = Field(description="URL of the token endpoint.")
    client_id: ShortText = Field(description="Client ID.")
    client_secret: Text = Field(description="Client secret.")
    scope: Text | None = Field(None, description="Scopes, with spaces between them.")
    audience: Text | None = Field(None, description="Audience, where the endpoint wants one.")
    in_body: bool = Field(
        False, description="Send ID and secret in the body, not as basic authentication."
    )


class Tls(Model):
    """How a server is verified, and what the client shows. PEM texts."""

    __rules__ = (
        Rule(
            "give cert and key together",
            "has(self.cert) == has(self.key)",
            lambda self: (self.cert is None) == (self.key is None),
        ),
    )

    ca: Pem | None = Field(
        None, description="Certificates to trust, such as {{ env['ca.crt'] }}. Default: system's."
    )
    cert: Pem | None = Field(None, description="The client's certificate, and its chain.")
    key: Pem | None = Field(None, description="Key of cert, without a passphrase.")
    server_name: ShortText | None = Field(
        None, description="Name that the certificate must have. Default: the host of the URL."
    )
    verify: bool = Field(True, description="false: take any certificate.")


class Receive(Model):
    """How much of a stream to take: until one of these holds."""

    count: int | None = Field(None, ge=1, le=10000, description="So many have come.")
    until: CEL | None = Field(None, description="This is true of what has come so far.")
    for_: Wait | None = Field(None, alias="for", description="So long; it is no failure then.")
