"""Random runs: good ones, and good ones with something done to them."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from tests.support.builders import a_fault, a_service, a_step

_NAMES = ("orders", "payments", "db", "a-1")
_durations = st.sampled_from(["1s", "250ms", "1m30s", "0.5s", "10m"])
_texts = st.text(max_size=20)
_keys = st.text(min_size=1, max_size=10)
_expressions = st.sampled_from(["response.status == 200", "true", "size(response.json) > 1", "a"])
_urls = st.sampled_from(["http://orders:8080/x", "http://{{ host }}/x", "https://example.com"])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=5,
)
_bodies = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | st.text("abc {}", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def _requests(draw: st.DrawFn) -> dict[str, Any]:
    verb = draw(st.sampled_from(["get", "post", "put", "delete"]))
    optional = {
        "headers": st.dictionaries(st.sampled_from(["Accept", "X-A"]), _texts),
        "timeout": _durations,
        "followRedirects": st.booleans(),
    }
    body = draw(st.sampled_from([None, "json", "body", "form"]))
    bodies = {"json": _bodies, "body": _texts, "form": st.dictionaries(_keys, _texts)}
    chosen = {body: draw(bodies[body])} if body else {}
    return {verb: draw(_urls), **draw(st.fixed_dictionaries({}, optional=optional)), **chosen}


@st.composite
def _leaves(draw: st.DrawFn) -> dict[str, Any]:
    action = draw(st.sampled_from(["http", "set", "expect"]))
    step: dict[str, Any] = {}
    if action == "http":
        step["http"] = draw(_requests())
    elif action == "set":
        step["set"] = draw(st.dictionaries(st.sampled_from(["a", "b_1"]), _expressions, min_size=1))
    else:
        step["expect"] = [draw(_expressions)]
    optional = {
        "name": st.text(min_size=1, max_size=10),
        "when": _expressions,
        "retries": st.integers(0, 10),
        "eventually": st.fixed_dictionaries({"within": _durations}),
    }
    return {**step, **draw(st.fixed_dictionaries({}, optional=optional))}


_branches = st.fixed_dictionaries({"steps": st.lists(_leaves(), min_size=1, max_size=2)})
_groups = st.fixed_dictionaries(
    {"steps": st.lists(_leaves(), min_size=1, max_size=2)},
    optional={
        "forEach": st.fixed_dictionaries({"in": _expressions, "item": st.just("each")}),
        "name": st.text(min_size=1, max_size=10),
    },
)
_steps = (
    _leaves()
    | _groups
    | st.builds(lambda inner: {"steps": [inner], "always": {"for": "1s"}}, _groups)
    | st.builds(lambda inner: {"steps": [inner], "repeat": {"times": 2}}, _leaves())
    | st.builds(
        lambda branches: {"parallel": branches}, st.lists(_branches, min_size=1, max_size=2)
    )
)


@st.composite
def _tests(draw: st.DrawFn, name: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(["scenario", "scenario", "pytest", "container"]))
    content: dict[str, Any] = {
        "scenario": st.lists(_steps, min_size=1, max_size=3),
        "pytest": st.just({"configMap": "suite"}),
        "container": st.just({"image": "x:1", "junit": "/results/*.xml"}),
    }
    optional = {"timeout": _durations, "retries": st.integers(0, 5)}
    test = {"name": name, kind: draw(content[kind])}
    if kind == "scenario" and draw(st.booleans()):
        test["matrix"] = {"sku": draw(st.lists(_bodies, min_size=1, max_size=3))}
        test["vars"] = draw(st.dictionaries(st.sampled_from(["x", "y_2"]), _bodies, max_size=2))
        test["teardown"] = draw(st.lists(_steps, min_size=1, max_size=2))
        test["tags"] = draw(st.sampled_from([[], ["smoke"], ["smoke", "slow"]]))
    return {**test, **draw(st.fixed_dictionaries({}, optional=optional))}


# By kind: what it does, with ``for`` where it lasts.
_API_KINDS: list[dict[str, Any]] = [
    {"kill": {}},
    {"evict": {}},
    {"restart": {}},
    {"scale": {"replicas": 0}, "for": "5s"},
    {"outage": {}, "for": "5s"},
    {"noEndpoints": {}, "for": "5s"},
    {"configuration": {"configMap": "app", "set": {"a.b": "c"}, "restart": True}, "for": "5s"},
    {"configuration": {"secret": "app", "remove": {"keys": ["a"]}}, "for": "5s"},
    {"configuration": {"secret": "app", "expireCertificate": {}}, "for": "5s"},
]
_NETWORK_KINDS: list[dict[str, Any]] = [
    {"latency": {"delay": "1s", "jitter": "0.1s", "distribution": "normal"}, "for": "5s"},
    {"blackhole": {"direction": "response"}, "for": "5s"},
    {"refuse": {}, "for": "5s"},
    {"reset": {"after": "1s"}, "for": "5s"},
    {"bandwidth": {"rate": "64Ki"}, "for": "5s"},
    {"slowClose": {"delay": "1s"}, "for": "5s"},
    {"connectionLimit": {"connections": 0}, "for": "5s"},
    {"corrupt": {"share": "0.1%"}, "for": "5s"},
]
_HTTP_KINDS: list[dict[str, Any]] = [
    {"http": {"abort": {"status": 503}, "share": "50%"}, "for": "5s"},
    {"http": {"match": {"methods": ["GET"], "headers": {"A": "b"}}, "delay": "1s"}, "for": "5s"},
    {"http": {"match": {"pathPrefix": "/o"}, "body": {"truncate": 3}}, "for": "5s"},
]
GATEWAY_KINDS = [*_NETWORK_KINDS, *_HTTP_KINDS]
_PLAIN_KINDS = [*_API_KINDS, *GATEWAY_KINDS]


@st.composite
def _faults(draw: st.DrawFn, name: str, services: list[str], tests: list[str]) -> dict[str, Any]:
    whens = (
        {},
        {"after": "3s"},
        {"test": draw(st.sampled_from(tests))},
        {"manual": {}},
        {"every": "10s", "times": 2},
    )
    kind = draw(st.sampled_from(_PLAIN_KINDS))
    target: dict[str, Any] = {"service": draw(st.sampled_from(services))}
    if kind.keys() & {"kill", "evict"}:
        several = {"pods": st.sampled_from([1, "50%", "all"]), "podLabels": st.just({"role": "a"})}
        target |= draw(st.fixed_dictionaries({}, optional=several))
    if kind in GATEWAY_KINDS:
        others = [each for each in (*services, "tests") if each != target["service"]]
        origin = st.lists(st.sampled_from(others), min_size=1, unique=True)
        aims = {"port": st.just("http"), "from": origin}
        if kind in _NETWORK_KINDS:
            aims["connections"] = st.sampled_from(["50%", "0.1%"])
        target |= draw(st.fixed_dictionaries({}, optional=aims))
    fault = a_fault(
        name, target=target, **copy.deepcopy({**kind, "when": draw(st.sampled_from(whens))})
    )
    return {**fault, **draw(st.fixed_dictionaries({}, optional={"seed": st.integers(0, 9)}))}


_probes = st.fixed_dictionaries(
    {"name": st.just("well")},
    optional={"every": _durations, "duringFaults": st.sampled_from(["Tolerate", "MustHold"])},
).flatmap(
    lambda probe: st.sampled_from(
        [{**probe, "tcp": "orders:8080"}, {**probe, "http": {"get": "http://orders:8080"}}]
    )
)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Make a spec that the schema accepts; whether it can work is another question."""
    names = draw(st.lists(st.sampled_from(_NAMES), unique=True, max_size=3))
    services = [
        a_service(name, dependsOn=draw(st.sampled_from([[], names[:index]])))
        for index, name in enumerate(names)
    ]
    tests = draw(st.lists(st.sampled_from(["t-1", "t-2", "9"]), unique=True, min_size=1))
    faults = draw(st.lists(st.sampled_from(["f", "g"]), unique=True)) if names else []
    optional = {
        "timeout": _durations,
        "priority": st.integers(-1000, 1000),
        "suspend": st.booleans(),
        "keepEnvironment": st.fixed_dictionaries({}, optional={"onFailure": _durations}),
        "probes": st.lists(_probes, max_size=1),
        "timeouts": st.fixed_dictionaries({}, optional={"tests": _durations}),
    }
    return {
        "services": services,
        "tests": [draw(_tests(name)) for name in tests],
        "faults": [draw(_faults(name, names, tests)) for name in faults],
        **draw(st.fixed_dictionaries({}, optional=optional)),
    }


@st.composite
def spoiled_specs(draw: st.DrawFn) -> Any:
    """Make a spec and do something to one place of it; most are wrong afterwards, not all."""
    spec = draw(specs())
    spec["tests"][0].setdefault("scenario", [a_step()])
    places = list(_places(spec))
    container, key = draw(st.sampled_from(places))
    match draw(st.sampled_from(["replace", "remove", "add", "repeat"])):
        case "replace":
            container[key] = draw(json_values)
        case "remove":
            del container[key]
        case "add" if isinstance(container, dict):
            container[draw(st.sampled_from(["replica", "", "get", "name", "é", "a b"]))] = draw(
                json_values
            )
        case _ if isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        case _:
            return draw(json_values)
    return spec


def _places(value: Any) -> list[tuple[Any, Any]]:
    places: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        for key, each in value.items():
            places += [(value, key), *_places(each)]
    elif isinstance(value, list):
        for index, each in enumerate(value):
            places += [(value, index), *_places(each)]
    return places
