"""Names, labels and limits that more than one part must agree on. Plain: the pods use it too."""

from __future__ import annotations

import zlib

from seatrial.api import families

GROUP = "seatrial.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "IntegrationTestRun"
PLURAL = "integrationtestruns"
SINGULAR = "integrationtestrun"
SHORT_NAME = "itr"
CATEGORY = "seatrial"

FINALIZER = f"{GROUP}/environment"
FIELD_MANAGER = "seatrial-operator"

# Labels. The first three are on everything a run creates, namespaces included.
LABEL_RUN_UID = f"{GROUP}/run-uid"
LABEL_RUN_NAME = f"{GROUP}/run"  # cut to 63 characters; for people, never for look-ups
LABEL_RUN_NAMESPACE = f"{GROUP}/run-namespace"
LABEL_COMPONENT = f"{GROUP}/component"  # one of the COMPONENT_ values
LABEL_SERVICE = f"{GROUP}/service"  # spec.services[].name, on workloads and their pods
LABEL_TEST = f"{GROUP}/test"  # spec.tests[].name, on test pods
# A ConfigMap or Secret beside a run is read only when it carries this label.
LABEL_READABLE = f"{GROUP}/readable-by"
LABEL_READABLE_VALUE = "runs"
ANNOTATION_SEAL = f"{GROUP}/seal"  # on a run's namespace: drawn, known to nobody before it is made
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY_VALUE = "seatrial"

COMPONENT_ENVIRONMENT = "environment"  # the namespace, its quota, policies, accounts
COMPONENT_CONDUCTOR = "conductor"
COMPONENT_JOURNAL = "journal"  # the ConfigMaps the conductor writes and the operator watches
COMPONENT_GATEWAY = "gateway"
COMPONENT_SERVICE = "service"  # the system under test
COMPONENT_TEST = "test"  # pytest and container pods
COMPONENT_REPORT = "report"  # the ConfigMap that outlives the namespace

# Objects in the run's namespace. Fixed names: a retried create meets its own object.
CONDUCTOR = "seatrial-conductor"  # pod, ServiceAccount, RoleBinding, Service, ClusterRole (chart)
CONDUCTOR_PORT = 7777
# ClusterRoles of the chart that the conductor is bound to in runs that declare such a fault.
CONDUCTOR_ROLES = {
    "seatrial-conductor-gateway": families.GATEWAY,  # the token of the gateway's control
    "seatrial-conductor-evict": ("evict",),
    "seatrial-conductor-services": ("noEndpoints",),
    "seatrial-conductor-configuration": ("configuration",),
    "seatrial-conductor-agents": families.POD,  # ephemeral containers
    "seatrial-conductor-delegated": families.DELEGATED,
}
# And those of runs with such a step: a command in a pod, what is read, what is made and deleted.
EXEC_ROLE = "seatrial-conductor-exec"
READ_ROLE = "seatrial-conductor-read"
WRITE_ROLE = "seatrial-conductor-write"
STEP_ROLES = (EXEC_ROLE, READ_ROLE, WRITE_ROLE)
# Deployment, Service of its control, Secret of its token, ConfigMap of Envoy; its pod has the label
# of its component.
GATEWAY = "seatrial-gateway"
GATEWAY_PORT = 7778  # its control; the ports it carries begin at GATEWAY_FIRST_LISTEN
GATEWAY_FIRST_LISTEN = 20001
ENVOY_ADMIN_PORT = 7779  # of Envoy beside it, on loopback
ENVOY_FIRST_LISTEN = 30001  # on loopback
ENVOY_DIRECTORY = "/run/seatrial"  # a volume that it shares with the gateway
ENVOY_SWITCHES = "switches"  # there: which faults are on, until when, and for which share
ENVOY_DRAWS = 2147483647  # a fault's draw begins with a number between 0 and this
ENVOY_MET = "met.jsonl"  # there: requests that have met a fault, as they come
ENVOY_LOG = "requests.jsonl"  # there: the same when they are over, and what no fault can meet
ENVOY_SWITCHBOARD = "switchboard.sock"  # there: answers when Envoy serves
ENVOY_MARK = "/mark/"  # path of a request there that is written into the log
ENVOY_HEADER = "x-seatrial-on"  # of a request inside of Envoy: the faults that it may meet
ENVOY_CONFIG = "envoy.json"  # key of ConfigMap GATEWAY
# In the answer to a probe by Envoy: name of the fault that it has met.
PROBE_HEADER = "x-seatrial-fault"
AGENT_PORT = 17779  # control of the agent in a pod under test
AGENT_PREFIX = "seatrial-agent"  # names of its ephemeral containers
# Local ports from which the conductor's own probes connect: the gateway knows them by these.
PROBE_PORTS = range(61000, 61512)
# And those from which it makes checks, of probes and of recovery, and listens for taps: these meet
# faults as traffic of the tests does, and are not counted. NB: above the ports that a kernel
# chooses by itself.
CHECK_PORTS = range(61512, 65536)
# The Service on which services call the webhooks of scenarios, http://seatrial-webhooks/NAME, and
# the conductor's port behind it.
WEBHOOKS = "seatrial-webhooks"
WEBHOOKS_PORT = 7780
WORKLOAD_ACCOUNT = "seatrial-workload"  # ServiceAccount of everything else; no token, no rights
RUN_CONFIGMAP = "seatrial-run"  # operator -> conductor: keys RUN_KEY and CONTROL_KEY
RUN_KEY = "run.json"
CONTROL_KEY = "control.json"
JOURNAL_CONFIGMAP = "seatrial-journal"  # conductor -> operator: keys SUMMARY_KEY and ENTRIES_KEY
SUMMARY_KEY = "summary.json"
ENTRIES_KEY = "entries.jsonl"
REPORT_CONFIGMAP = "seatrial-report"  # conductor -> operator: REPORT_KEYS, gzip, binaryData
# The last only where a scenario has listened to messages.
REPORT_KEYS = ("report.json.gz", "junit.xml.gz", "logs.json.gz", "messages.json.gz")
ACCESS_SECRET = "seatrial-access"  # noqa: S105 - a name; test pods -> conductor, a key per test
# Passwords of presets and URLs with them: NAME.password, NAME.url; and all URLs as JSON.
CONNECTIONS_SECRET = "seatrial-connections"  # noqa: S105 - a name
CONNECTIONS_KEY = "connections.json"
TOKEN_KEY = "token"  # noqa: S105 - a key's name, in Secret CONDUCTOR

# Environment variables of the conductor's pod. No volumes: a pod that has one starts 0.3 s later.
ENV_API_TOKEN = "SEATRIAL_API_TOKEN"  # noqa: S105 - a variable's name; from Secret CONDUCTOR
ENV_API_CA = "SEATRIAL_API_CA"  # certificates the API server is known by, as PEM

# Environment variables of the gateway and of the agent; the token is of Secret GATEWAY, or drawn by
# the conductor for each agent.
ENV_GATEWAY = "SEATRIAL_GATEWAY"  # JSON: control.GatewayDoc
ENV_AGENT = "SEATRIAL_AGENT"  # JSON: agents.AgentDoc
ENV_NODE_IP = "SEATRIAL_NODE_IP"  # of the agent's node
ENV_CONTROL_TOKEN = "SEATRIAL_CONTROL_TOKEN"  # noqa: S105 - a variable's name

MAX_STATUS_BYTES = 64 * 1024
MAX_REPORT_BYTES = 900 * 1024

# Environment variables of test pods (pytest and container).
ENV_CONDUCTOR_URL = "SEATRIAL_URL"
ENV_TOKEN = "SEATRIAL_TOKEN"  # noqa: S105 - a variable's name
ENV_TEST = "SEATRIAL_TEST"
ENV_RUN = "SEATRIAL_RUN"
ENV_NAMESPACE = "SEATRIAL_NAMESPACE"
ENV_SHARD = "SEATRIAL_SHARD"  # "0" to SEATRIAL_SHARDS - 1
ENV_SHARDS = "SEATRIAL_SHARDS"
ENV_SEED = "SEATRIAL_SEED"
ENV_LANE = "SEATRIAL_LANE"  # "2/5": see seatrial.api.lanes
# JSON: URL with credentials by the name of the service.
ENV_CONNECTIONS = "SEATRIAL_CONNECTIONS"
# Of the conductor: before the names of variables from spec.envFrom. What stands before them keeps
# a user's variable from meaning anything to the process itself.
ENV_VARIABLE_PREFIX = "SEATRIAL_ENV_"
ENV_SECRET_PREFIX = "SEATRIAL_SECRET_"  # noqa: S105 - a prefix
ENV_SERVICES = (
    "SEATRIAL_SERVICES"  # JSON: {"orders": {"host", "port", "url", "ports": {"http": 8080}}}
)


def run_namespace(name: str, uid: str) -> str:
    """
    Name the namespace of a run, the same on every attempt.

    Args:
        name: ``metadata.name`` of the run, 1 to 253 characters.
        uid: ``metadata.uid``; its first 8 hex digits keep a re-created run apart.

    Returns:
        A DNS label of at most 63 characters; a long run name loses its end, never the uid.

    Source: Kubernetes documentation, "Object Names and IDs" (RFC 1123 labels).
    """
    readable = name.replace(".", "-")[:50].rstrip("-")
    return f"itr-{readable}-{uid[:8]}"


def direct_service(host: str) -> str:
    """
    Name the Service that leads past the gateway to the pods of Service ``host``.

    Returns:
        A DNS label of at most 63 characters; of a long name, the end is a digest.
    """
    name = f"seatrial-direct-{host}"
    if len(name) <= 63:
        return name
    return f"{name[:54]}-{zlib.crc32(host.encode()):08x}"


def report_name(run_name: str) -> str:
    """
    Name the report ConfigMap beside the run, at most 253 characters.

    Nothing may begin with ``-`` after a dot, so a long name that is cut there loses the dot too.
    NB: the chart's admission policy lets the operator write only this name; change both.
    """
    return f"{run_name[:246].rstrip('-.')}-report"
