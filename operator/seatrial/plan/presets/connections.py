"""How clients connect to a service with a preset, as far as it is known before it is made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from seatrial.api.services import Service
from seatrial.plan.presets.recipe import Recipe
from seatrial.plan.presets.table import recipe_of


@dataclass(frozen=True)
class Connection:
    """A service that others connect to with credentials; their names are keys of a Secret."""

    service: str
    recipe: Recipe
    username: str
    password: str | None  # None: it is drawn
    database: str
    own: frozenset[str]  # variables that the service sets itself

    @property
    def password_key(self) -> str:
        """Key of the password in Secret CONNECTIONS_SECRET."""
        return f"{self.service}.password"

    @property
    def url_key(self) -> str:
        """Key of the URL, with the password in it."""
        return f"{self.service}.url"

    @property
    def url(self) -> str:
        """The URL; a password that is yet to be drawn is written as ``$(KEY)``."""
        drawn = f"$({self.password_key})"
        return self.recipe.url.format(
            username=quote(self.username, safe=""),
            password=drawn if self.password is None else quote(self.password, safe=""),
            host=self.service,
            port=self.recipe.ports[0].port,
            database=quote(self.database, safe=""),
        )

    @property
    def secrets(self) -> dict[str, str]:
        """Keys of the Secret by the variables of the service's own container."""
        keys = {name: f"{self.service}.{name}" for name in self.recipe.drawn}
        if self.recipe.variables.password:
            keys[self.recipe.variables.password] = self.password_key
        return {name: key for name, key in keys.items() if name not in self.own}

    @property
    def drawn(self) -> tuple[str, ...]:
        """Keys whose values are drawn."""
        return tuple(self.secrets.values())

    @property
    def texts(self) -> dict[str, str]:
        """Keys whose values are written; ``$(KEY)`` stands for what is drawn."""
        given = {} if self.password is None else {self.password_key: self.password}
        return {**given, self.url_key: self.url}

    def public_variables(self) -> dict[str, str]:
        """Give the variables of dependants that are no secret."""
        prefix = variable_prefix(self.service)
        values = {
            f"{prefix}_HOST": self.service,
            f"{prefix}_PORT": str(self.recipe.ports[0].port),
            f"{prefix}_USERNAME": self.username,
            f"{prefix}_DATABASE": self.database,
        }
        return {name: value for name, value in values.items() if value}

    def secret_variables(self) -> dict[str, str]:
        """Give the keys of those that are, by variable."""
        prefix = variable_prefix(self.service)
        return {f"{prefix}_PASSWORD": self.password_key, f"{prefix}_URL": self.url_key}


def connections_of(services: Iterable[Service]) -> tuple[Connection, ...]:
    """Work out the connections of services whose presets are filled in."""
    found = ((service, recipe_of(service.preset)) for service in services)
    return tuple(_connection(service, recipe) for service, recipe in found if recipe is not None)


def all_urls(connections: Iterable[Connection]) -> str:
    """Write SEATRIAL_CONNECTIONS: JSON, the URL of each service by its name."""
    urls: Mapping[str, str] = {each.service: each.url for each in connections}
    return json.dumps(urls, separators=(",", ":"))


def variable_prefix(service: str) -> str:
    """Give what the variables of a service's dependants begin with: ``ORDER_DB`` of order-db."""
    return service.upper().replace("-", "_")


def has_connections(services: Iterable[Service]) -> bool:
    """Tell whether Secret CONNECTIONS_SECRET is made."""
    return any(service.preset is not None for service in services)


def _connection(service: Service, recipe: Recipe) -> Connection:
    env, variables = service.env or {}, recipe.variables
    return Connection(
        service=service.name,
        recipe=recipe,
        username=env.get(variables.username, recipe.username),
        password=env.get(variables.password),
        database=env.get(variables.database, recipe.database),
        own=frozenset(env),
    )
