"""``metrics``: reads what a service exposes to Prometheus, or asks a Prometheus server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from seatrial.api.duration import parse_duration
from seatrial.api.names import direct_service
from seatrial.api.step_objects import BY_KIND

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.exchange import ExchangeError, Response
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.request import DEFAULT_TIMEOUT_S, Request

MAX_SAMPLES = 2000
_SERVICE_NAME = "kubernetes.io/service-name"  # label of an EndpointSlice


@dataclass(frozen=True)
class Sample:
    """
    One line of an exposition.

    Attributes:
        counts: It only grows: where it is less than before, it has begun anew. What a query
            computes may be no counter, and the sum of several does not begin anew because one of
            them does.
    """

    instance: str
    name: str
    labels: Mapping[str, str]
    value: float
    counts: bool = False

    @property
    def series(self) -> tuple[str, str, str]:
        """What names it over time."""
        return self.instance, self.name, json.dumps(self.labels, sort_keys=True)


@dataclass(frozen=True)
class _First:
    """What was there before the first step."""

    at: float  # on the clock of monotonic
    samples: dict[tuple[str, str, str], float]


def title(document: dict[str, Any]) -> str:
    """Say which metric, and of what."""
    where = document.get("service") or document.get("url")
    return f"metrics of {where}: {document.get('name') or document.get('query')}"


def before_first_step(documents: list[dict[str, Any]], call: Call) -> None:
    """Read what a change is a change from."""
    for document in documents:
        if document.get("of", "value") != "value":
            _first(document, call)


def act(document: dict[str, Any], call: Call) -> Observation:
    """Read it once."""
    first = _first(document, call) if document.get("of", "value") != "value" else None
    now = call.tools.world.monotonic()
    found, why_none = (_asked if "query" in document else _exposed)(document, call)
    if why_none:
        return _seen(None, found[:MAX_SAMPLES], why_none)
    value = sum(each.value for each in found)
    if first is not None:
        value = sum(_grown(each, first) for each in found)
        if document["of"] == "rate":
            value /= max(now - first.at, 1e-3)
    return _seen(value, found)


def _exposed(document: dict[str, Any], call: Call) -> tuple[list[Sample], str]:
    """Give the samples of a name, and why they are no value."""
    samples = list(_scrape(document, call))
    labels = {key: call.text(text) for key, text in (document.get("labels") or {}).items()}
    name = call.text(document["name"])
    found = [each for each in samples if each.name == name and _has(each.labels, labels)]
    if len(found) > MAX_SAMPLES:
        text = f"{len(found)} samples are more than the {MAX_SAMPLES} that a scenario takes"
        raise StepFailure(f"{text}: choose with labels", permanent=True)
    return found, "" if found else _why_none(name, labels, samples)


def _seen(value: float | None, samples: list[Sample], why_none: str = "") -> Observation:
    notes = {"value": why_none} if why_none else {}
    if not samples:
        return Observation({"value": value, "samples": []}, why_none, notes)
    shown = [
        {"name": e.name, "labels": dict(e.labels), "value": e.value, "instance": e.instance}
        for e in samples
    ]
    lines = [f"{_series(e.name, e.labels)} {e.value:g}  ({e.instance})" for e in samples[:40]]
    text = "\n".join([f"value {value}", "of:", *lines])
    return Observation({"value": value, "samples": shown}, text, notes)


def _grown(sample: Sample, first: _First) -> float:
    """Tell by how much a sample has grown; less than nothing, if it does not count."""
    before = first.samples.get(sample.series, 0.0)
    anew = sample.counts and sample.value < before
    return sample.value if anew else sample.value - before


def _first(document: dict[str, Any], call: Call) -> _First:
    """Give what was there at first; read it now if this is the first time."""

    def read() -> _First:
        at = call.tools.world.monotonic()
        samples = _asked(document, call)[0] if query else _scrape(document, call)
        return _First(at, {each.series: each.value for each in samples})

    query = call.text(document.get("query", ""))
    where = tuple(str(document.get(key)) for key in ("service", "port", "url", "path"))
    return call.tools.resources.get(("metrics", query, *where), read, lambda first: None)


def _scrape(document: dict[str, Any], call: Call) -> Iterator[Sample]:
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError as error:
        text = "metrics needs the extra: pip install 'seatrial[metrics]'"
        raise StepFailure(text, permanent=True) from error
    path = call.text(document.get("path") or "/metrics")
    for url in _places(document, call, path):
        response = _answer(url, document, call)
        instance = urlsplit(url).netloc
        try:
            for family in text_string_to_metric_families(response.text):
                for each in family.samples:
                    # Of a summary, the quantiles rise and fall as gauges do.
                    counts = family.type != "gauge" and "quantile" not in each.labels
                    yield Sample(instance, each.name, each.labels, float(each.value), counts)
        except MemoryError:
            raise
        # The parser raises whatever a malformed line makes it stumble over.
        except Exception as error:
            text = f"{url} answers what is no Prometheus exposition: {cut(str(error), 300)}"
            raise StepFailure(text, cut(response.text, 2000)) from error


def _places(document: dict[str, Any], call: Call, path: str) -> list[str]:
    if url := document.get("url"):
        given = call.text(url)
        plain = urlsplit(given).path in ("", "/")
        return [given.rstrip("/") + path if plain or document.get("path") else given]
    return [f"{base}{path}" for base in _instances(document, call)]


def _instances(document: dict[str, Any], call: Call) -> list[str]:
    """Give the address of each pod of a service; of the service where no cluster can be asked."""
    service = _service(document, call)
    port = document.get("port") or next(iter(service.get("ports") or {}), None)
    return _pods(service["host"], port, call) or [_service_url(document, call)]


def _pods(host: str, port: str | None, call: Call) -> list[str]:
    from seatrial_runner.scenario.world import ClusterStepError

    ask = call.tools.world.cluster
    if ask is None:
        return []
    try:
        cluster = ask()
        # Behind a gateway, the pods are those of the second Service.
        for name in (direct_service(host), host):
            kind = BY_KIND["EndpointSlice"]
            slices = cluster.find(kind, {_SERVICE_NAME: name}, seconds=call.seconds())
            if found := sorted(_addresses(slices, port)):
                return found
    except ClusterStepError as error:
        raise StepFailure(str(error), permanent=error.permanent) from error
    return []


def _addresses(slices: list[dict[str, Any]], port: str | None) -> Iterator[str]:
    for each in slices:
        numbers = [p["port"] for p in each.get("ports") or [] if port in (None, p.get("name"))]
        for endpoint in each.get("endpoints") or []:
            if numbers and (endpoint.get("conditions") or {}).get("ready") is not False:
                address = endpoint["addresses"][0]
                host = f"[{address}]" if ":" in address else address
                yield f"http://{host}:{numbers[0]}"


def _service(document: dict[str, Any], call: Call) -> Mapping[str, Any]:
    services = call.tools.world.services
    name = document["service"]
    if name not in services:
        known = ", ".join(sorted(services)) or "none"
        text = f"no service {name!r} is known; known are: {known}"
        raise StepFailure(f"{text}. Outside of a run: --service {name}=URL", permanent=True)
    found: Mapping[str, Any] = services[name]
    return found


def _service_url(document: dict[str, Any], call: Call) -> str:
    service = _service(document, call)
    if (name := document.get("port")) is None:
        return str(service["url"]).rstrip("/")
    ports = service.get("ports") or {}
    if name not in ports:
        text = f"service {document['service']} has no port {name!r}: it has {', '.join(ports)}"
        raise StepFailure(text, permanent=True)
    return f"http://{service['host']}:{ports[name]}"


def _answer(url: str, document: dict[str, Any], call: Call) -> Response:
    call.tools.redactor.learn_url(url)
    timeout = document.get("timeout")
    seconds = parse_duration(timeout).total_seconds() if timeout else DEFAULT_TIMEOUT_S
    # Not the format of OpenMetrics, which some would choose by themselves.
    headers = {"Accept": "text/plain;version=0.0.4"}
    # NB: no redirects. What is asked is the system under test, and it must not lead the conductor,
    # which reaches more than the run's namespace, to elsewhere.
    request = Request("GET", url, headers, b"", seconds, follow_redirects=False)
    try:
        response = call.tools.client.send(request, at_most_s=call.seconds())
    except ExchangeError as error:
        raise StepFailure(
            f"{url}: {error}", permanent=error.permanent, out_of_time=error.out_of_time
        ) from error
    if 300 <= response.status < 400:
        text = f"answers {response.status}, a redirect, which metrics does not follow"
        raise StepFailure(f"{url.partition('?')[0]} {text}: give the address it leads to")
    if response.status >= 400:
        said = (response.json or {}).get("error") if isinstance(response.json, dict) else None
        text = f"{url.partition('?')[0]} answers {response.status}: {said or response.reason}"
        raise StepFailure(text, cut(response.text, 2000))
    return response


def _asked(document: dict[str, Any], call: Call) -> tuple[list[Sample], str]:
    """Give the results of a query, and why they are no value."""
    query = call.text(document["query"])
    base = call.text(document.get("url") or "") or _service_url(document, call)
    url = f"{base.rstrip('/')}/api/v1/query?{urlencode({'query': query})}"
    response = _answer(url, document, call)
    try:
        data = response.json["data"]
        samples = list(_results(data, urlsplit(url).netloc))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        text = f"{base} does not answer as a Prometheus server does"
        raise StepFailure(text, cut(response.text, 2000)) from error
    if not samples:
        return samples, f"{query} has no result"
    if len(samples) > 1:
        return samples, f"{query} has {len(samples)} results: use samples, or sum(...)"
    return samples, ""


def _results(data: Mapping[str, Any], instance: str) -> Iterator[Sample]:
    match data["resultType"]:
        case "scalar":
            yield Sample(instance, "", {}, float(data["result"][1]))
        case "vector":
            for each in data["result"]:
                labels = {key: str(value) for key, value in each["metric"].items()}
                name = labels.pop("__name__", "")
                yield Sample(instance, name, labels, float(each["value"][1]))
        case other:
            raise StepFailure(
                f"the query gives a {other}, and not a value for each series", permanent=True
            )


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())


def _why_none(name: str, labels: dict[str, str], samples: list[Sample]) -> str:
    of_name = [each for each in samples if each.name == name]
    if of_name:
        there = "; ".join(_series(each.name, each.labels) for each in of_name[:5])
        return f"no sample is {_series(name, labels)}; there are: {there}"
    near = sorted({each.name for each in samples if name[:6] in each.name})[:5]
    known = f"; there are: {', '.join(near)}" if near else ""
    return f"there is no metric {name}{known}"


def _series(name: str, labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inner}}}" if inner else name
