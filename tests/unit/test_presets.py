"""A preset is a service like any other, with credentials that only those who need them get."""

import dataclasses
import json
import struct
from urllib.parse import unquote, urlsplit

import pytest
from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.api.run import parse_run
from seatrial.api.services import Preset
from seatrial.plan.blueprint import bare, draw
from seatrial.plan.objects import Mode, conductor_pod, environment
from seatrial.plan.presets import RECIPES, PresetImages, connections_of, with_presets

from tests.support.builders import a_fault, a_run, a_service, a_test
from tests.unit.test_plan_objects import FOUND, SETTINGS, STARTED, made, pods

SCENARIO = a_test(scenario=[{"expect": ["true"]}])
SCHEMES = {
    "postgres": "postgresql",
    "mysql": "mysql",
    "redis": "redis",
    "rabbitmq": "amqp",
    "kafka": "kafka",
    "nats": "nats",
    "mosquitto": "mqtt",
    "mongodb": "mongodb",
    "minio": "http",
}


def a_preset(preset="postgres", name="db", **fields):
    return {"name": name, "preset": preset, **fields}


def objects_of(*services, tests=(SCENARIO,), settings=SETTINGS, **spec):
    ready = [each["name"] for each in services]
    return made(settings, ready=ready, services=list(services), tests=list(tests), **spec)


def pod_of(objects, name="db"):
    kind = next(kind for kind in ("StatefulSet", "Deployment") if (kind, name) in objects)
    return objects[kind, name].body["spec"]["template"]["spec"]


def container_of(objects, name="db"):
    return pod_of(objects, name)["containers"][0]


def variables(container):
    """Give the values, and the keys of Secrets."""
    return {
        each["name"]: each.get(
            "value", each.get("valueFrom", {}).get("secretKeyRef", {}).get("key")
        )
        for each in container["env"]
    }


def secret_of(objects):
    return objects["Secret", names.CONNECTIONS_SECRET]


def connection(**fields):
    run = parse_run(a_run(services=[a_preset(**fields)], tests=[SCENARIO]))
    return connections_of(with_presets(run.spec, PresetImages()).services)[0]


def test_every_preset_has_a_recipe_and_a_url_that_steps_can_read():
    assert set(RECIPES) == set(Preset)
    for preset in Preset:
        url = connection(preset=preset).url
        parts = urlsplit(url.replace("$(db.password)", "drawn"))
        assert parts.scheme == SCHEMES[preset]
        assert (parts.hostname, parts.port) == ("db", RECIPES[preset].ports[0].port)
        assert parts.username
        assert parts.password == "drawn"


@pytest.mark.parametrize("preset", list(Preset))
def test_a_preset_runs_as_restricted_pods_do(preset):
    objects = objects_of(a_preset(preset))
    pod, container = pod_of(objects), container_of(objects)

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["runAsUser"] == RECIPES[preset].user != 0
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    if preset is not Preset.KAFKA:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"]


@pytest.mark.parametrize("preset", list(Preset))
def test_what_a_preset_stores_outlives_its_pod_and_the_rest_begins_empty(preset):
    objects = objects_of(a_preset(preset))
    volumes = {each["name"]: each for each in pod_of(objects)["volumes"]}
    mounts = {
        each["mountPath"]: volumes[each["name"]] for each in container_of(objects)["volumeMounts"]
    }

    assert "persistentVolumeClaim" in mounts.pop(RECIPES[preset].data)
    assert all("emptyDir" in each for each in mounts.values())
    assert ("StatefulSet", "db") in objects


@pytest.mark.parametrize("preset", list(Preset))
def test_a_preset_is_ready_when_it_answers(preset):
    container = container_of(objects_of(a_preset(preset)))
    probes = [container["readinessProbe"], container.get("startupProbe", {})]
    # An open port alone says nothing: some image opens it while it makes the database.
    assert any("exec" in each or "httpGet" in each for each in probes)


def test_the_order_to_mongodb_is_one_that_it_can_read():
    script = RECIPES[Preset.MONGODB].startup.exec.command[-1]
    sent = script.split("printf '")[1].split("'")[0]
    message = sent.encode().decode("unicode_escape").encode("latin-1")
    length, _, _, opcode, flags, kind = struct.unpack_from("<iiiiIb", message)
    assert (length, opcode, flags, kind) == (len(message), 2013, 0, 0)
    (document,) = struct.unpack_from("<i", message, 21)
    assert document == len(message) - 21


def test_credentials_are_drawn_and_stand_in_one_secret_alone():
    client = a_service("orders", dependsOn=["db"])
    tests = [SCENARIO, a_test("any", container={"image": "x:1"})]
    objects = objects_of(a_preset(), client, tests=tests)
    secret = secret_of(objects)

    assert secret.mode is Mode.CREATE
    assert secret.random_keys == ("db.password",)
    url = "postgresql://app:$(db.password)@db:5432/app"
    assert secret.texts == {
        "db.url": url,
        names.CONNECTIONS_KEY: json.dumps({"db": url}, separators=(",", ":")),
    }
    for (kind, name), manifest in objects.items():
        if (kind, name) != ("Secret", names.CONNECTIONS_SECRET):
            assert "app:$(" not in json.dumps(manifest.body), name


def test_the_secret_is_there_before_whatever_needs_it():
    secret = secret_of(objects_of(a_preset()))
    assert secret.of_everyone


def test_those_that_depend_on_it_are_told_and_others_are_not():
    objects = objects_of(
        a_preset(),
        a_service("orders", dependsOn=["db"]),
        a_service("mail"),
        a_preset("redis", "the-cache"),
    )
    told = variables(container_of(objects, "orders"))
    assert told == {
        "DB_URL": "db.url",
        "DB_HOST": "db",
        "DB_PORT": "5432",
        "DB_USERNAME": "app",
        "DB_PASSWORD": "db.password",
        "DB_DATABASE": "app",
    }
    assert variables(container_of(objects, "mail")) == {}


def test_what_comes_from_a_secret_of_the_user_stays_too():
    orders = a_service("orders", dependsOn=["db"], envFrom=[{"secret": "keys"}])
    found = {**FOUND, ("Secret", "keys"): {**FOUND["Secret", "keys"], "data": {"DB_URL": "eA=="}}}
    run = parse_run(a_run(services=[a_preset(), orders], tests=[SCENARIO]))
    blueprint = draw(run.metadata, run.spec, found, SETTINGS)
    manifests = environment(blueprint, SETTINGS, started=STARTED, seal="drawn", ready=["db"])
    objects = {(each.key.kind, each.key.name): each for each in manifests}
    told = variables(container_of(objects, "orders"))
    assert "DB_URL" not in told
    assert told["DB_HOST"] == "db"


def test_a_name_with_a_dash_becomes_one_of_a_variable():
    objects = objects_of(
        a_preset("nats", "order-events"), a_service("orders", dependsOn=["order-events"])
    )
    told = variables(container_of(objects, "orders"))
    assert told["ORDER_EVENTS_URL"] == "order-events.url"
    assert "ORDER_EVENTS_DATABASE" not in told  # it has none


def test_what_a_service_sets_itself_stays_and_may_refer_to_the_rest():
    env = {"DB_HOST": "elsewhere", "DATABASE_URL": "$(DB_URL)?sslmode=disable"}
    container = container_of(
        objects_of(a_preset(), a_service("orders", dependsOn=["db"], env=env)), "orders"
    )
    listed = [each["name"] for each in container["env"]]
    assert listed.count("DB_HOST") == 1
    assert variables(container)["DB_HOST"] == "elsewhere"
    # The kubelet expands only what was defined before.
    assert listed.index("DB_URL") < listed.index("DATABASE_URL")


def test_pods_of_tests_are_told_of_every_preset():
    tests = [
        a_test("any", container={"image": "x:1", "env": {"DB_HOST": "mine"}}),
        a_test("suite", pytest={"configMap": "suite"}),
    ]
    objects = objects_of(a_preset(), a_preset("nats", "events"), tests=tests)
    container = variables(dict(pods(objects))["test-any"]["containers"][0])
    suite = variables(dict(pods(objects))["test-suite"]["containers"][0])

    assert (container["DB_HOST"], container["DB_URL"], container["EVENTS_URL"]) == (
        "mine",
        "db.url",
        "events.url",
    )
    assert names.ENV_CONNECTIONS not in container
    assert suite["DB_URL"] == "db.url"
    assert suite[names.ENV_CONNECTIONS] == names.CONNECTIONS_KEY


def test_the_conductor_is_told_also_when_its_pod_is_made_again():
    run = parse_run(a_run(services=[a_preset()], tests=[SCENARIO]))
    first = conductor_pod(draw(run.metadata, run.spec, FOUND, SETTINGS), SETTINGS)
    again = conductor_pod(bare(run.metadata, run.spec), SETTINGS)

    assert first.body == again.body
    assert (
        variables(first.body["spec"]["containers"][0])[names.ENV_CONNECTIONS]
        == names.CONNECTIONS_KEY
    )
    plain = variables(objects_of()["Pod", names.CONDUCTOR].body["spec"]["containers"][0])
    assert names.ENV_CONNECTIONS not in plain


def test_a_run_without_presets_has_no_secret_of_them():
    assert ("Secret", names.CONNECTIONS_SECRET) not in objects_of(a_service())


MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: mail}
spec:
  selector: {matchLabels: {app: mail}}
  template:
    metadata: {labels: {app: mail}}
    spec:
      initContainers: [{name: migrate, image: mail:1}]
      containers:
      - name: mail
        image: mail:1
        env: [{name: DB_HOST, value: mine}, {name: DSN, value: $(DB_URL)}]
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: mail}, data: {a: b}}
"""


def test_workloads_from_manifests_are_told_too_and_keep_their_own():
    mail = {"name": "mail", "manifests": {"inline": MANIFESTS}}
    objects = objects_of(a_preset(), {**mail, "dependsOn": ["db"]})
    pod = pod_of(objects, "mail")
    assert variables(pod["initContainers"][0])["DB_URL"] == "db.url"
    listed = [each["name"] for each in pod["containers"][0]["env"]]
    assert listed.count("DB_HOST") == 1
    assert variables(pod["containers"][0])["DB_HOST"] == "mine"
    assert listed.index("DB_URL") < listed.index("DSN")
    assert "env" not in objects["ConfigMap", "mail"].body

    alone = pod_of(objects_of(a_preset(), mail), "mail")
    assert "env" not in alone["initContainers"][0]


@pytest.mark.parametrize("container", ["x", {"env": "x"}, {"env": ["x", {"value": "y"}]}])
def test_what_is_no_container_is_left_to_the_api_server(container):
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "mail"},
        "spec": {"containers": [container]},
    }
    text = json.dumps(body)
    mail = {"name": "mail", "manifests": {"inline": text}, "dependsOn": ["db"]}
    try:
        objects_of(a_preset(), mail)
    except InvalidSpecError:
        return  # refused before anything is made


def test_a_service_decides_its_own_names_and_everybody_is_told():
    env = {"POSTGRES_USER": "o'hara", "POSTGRES_DB": "shop/eu"}
    given = connection(env=env)
    assert given.url == "postgresql://o%27hara:$(db.password)@db:5432/shop%2Feu"
    assert given.public_variables()["DB_USERNAME"] == "o'hara"
    objects = objects_of(a_preset(env=env))
    assert variables(container_of(objects))["POSTGRES_PASSWORD"] == "db.password"


def test_a_password_that_is_given_is_not_drawn():
    env = {"POSTGRES_PASSWORD": "p@ss/word"}
    secret = secret_of(objects_of(a_preset(env=env)))
    assert secret.random_keys == ()
    assert secret.texts["db.password"] == "p@ss/word"
    assert unquote(urlsplit(secret.texts["db.url"]).password) == "p@ss/word"
    container = container_of(objects_of(a_preset(env=env)))
    assert [each["value"] for each in container["env"] if each["name"] == "POSTGRES_PASSWORD"] == [
        "p@ss/word"
    ]


def test_mysql_has_a_root_password_that_nobody_else_is_told():
    objects = objects_of(a_preset("mysql"), a_service("orders", dependsOn=["db"]))
    assert variables(container_of(objects))["MYSQL_ROOT_PASSWORD"] == "db.MYSQL_ROOT_PASSWORD"
    assert "db.MYSQL_ROOT_PASSWORD" in secret_of(objects).random_keys
    assert "db.MYSQL_ROOT_PASSWORD" not in variables(container_of(objects, "orders")).values()


def test_a_service_may_say_how_it_differs_from_its_preset():
    objects = objects_of(
        a_preset(
            image="postgres:16",
            args=["-c", "max_connections=20"],
            resources={"limits": {"memory": "1Gi"}},
            volumes=[{"path": "/var/lib/postgresql/data", "size": "5Gi"}, {"path": "/more"}],
            files={"/docker-entrypoint-initdb.d/schema.sql": "create table orders (id int)"},
            runAsUser=70,
        )
    )
    container = container_of(objects)
    assert container["image"] == "postgres:16"
    assert container["args"] == ["-c", "max_connections=20"]
    assert container["resources"] == {"limits": {"memory": "1Gi"}}
    assert container["securityContext"]["runAsUser"] == 70
    sizes = [
        each.body["spec"]["resources"]["requests"]["storage"]
        for (kind, _), each in objects.items()
        if kind == "PersistentVolumeClaim"
    ]
    assert sizes == ["5Gi", "1Gi"]
    assert "/docker-entrypoint-initdb.d/schema.sql" in {
        each["mountPath"] for each in container["volumeMounts"]
    }


def test_arguments_come_after_those_of_the_preset():
    args = container_of(objects_of(a_preset("redis", args=["--maxmemory", "10mb"])))["args"]
    assert args[0] == "redis-server"
    assert args[-2:] == ["--maxmemory", "10mb"]


def test_a_readiness_of_its_own_replaces_the_probes_of_the_preset():
    own = {"exec": {"command": ["true"]}}
    container = container_of(objects_of(a_preset(readinessProbe=own)))
    assert container["readinessProbe"]["exec"]["command"] == ["true"]
    assert "startupProbe" not in container


def test_the_brokers_of_kafka_are_advertised_by_the_name_of_the_service():
    env = variables(container_of(objects_of(a_preset("kafka", "events")), "events"))
    assert env["KAFKA_ADVERTISED_LISTENERS"] == "LOGIN://events:9092,PLAIN://events:9094"


def test_filling_in_twice_changes_nothing():
    services = [a_preset(preset, f"the-{preset}") for preset in Preset]
    spec = parse_run(a_run(services=services, tests=[SCENARIO])).spec
    once = with_presets(spec, PresetImages())
    assert with_presets(once, PresetImages(registry="mirror.example")) == once


@pytest.mark.parametrize(
    ("given", "registry", "image"),
    [
        pytest.param({}, "", "docker.io/library/postgres:17", id="as-published"),
        pytest.param({"postgres": "postgres:16"}, "", "postgres:16", id="of-the-cluster"),
        pytest.param(
            {}, "mirror.example/hub", "mirror.example/hub/library/postgres:17", id="mirror"
        ),
        pytest.param(
            {"postgres": "postgres:16"}, "m.example", "m.example/library/postgres:16", id="short"
        ),
        pytest.param(
            {"postgres": "bitnami/postgresql:16"},
            "m.example:5000",
            "m.example:5000/bitnami/postgresql:16",
            id="two-parts",
        ),
        pytest.param(
            {"postgres": "quay.io/a/b@sha256:00"},
            "m.example",
            "m.example/a/b@sha256:00",
            id="another-registry",
        ),
    ],
)
def test_the_administrator_decides_where_images_come_from(given, registry, image):
    settings = dataclasses.replace(SETTINGS, presets=PresetImages(given, registry))
    assert container_of(objects_of(a_preset(), settings=settings))["image"] == image
    own = a_preset(image="mine.example/postgres:1")
    assert container_of(objects_of(own, settings=settings))["image"] == "mine.example/postgres:1"


def test_faults_find_a_preset_s_ports_and_volume():
    outage = a_fault("down", target={"service": "db"}, outage={}, **{"for": "5s"})
    slow = a_fault("slow", target={"service": "db"}, latency={"delay": "1s"}, **{"for": "5s"})
    objects = objects_of(a_preset(), faults=[outage, slow])
    assert ("Service", "seatrial-direct-db") in objects


def test_the_chart_has_the_same_images():
    import yaml

    from tests.unit.test_chart_agrees_with_the_code import CHART

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["presets"]["images"] == {each.value: RECIPES[each].image for each in Preset}
