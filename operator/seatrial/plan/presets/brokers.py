"""Message brokers."""

from __future__ import annotations

from seatrial.api.services import ExecCheck, PortCheck, Probe
from seatrial.plan.presets.recipe import Recipe, Variables, a_port, asking, getting

RABBITMQ = Recipe(
    image="docker.io/library/rabbitmq:4.1",
    ports=(a_port("amqp", 5672),),
    user=999,
    data="/var/lib/rabbitmq/mnesia",
    # Its own tool takes a second of CPU; and what asks the port without logging in fills the log.
    startup=Probe(
        exec=ExecCheck(command=["rabbitmq-diagnostics", "-q", "check_port_listener", "5672"]),
        period_seconds=2,
        timeout_seconds=15,
        failure_threshold=300,
    ),
    readiness=Probe(tcp_socket=PortCheck(port=5672), timeout_seconds=3),
    url="amqp://{username}:{password}@{host}:{port}/{database}",
    variables=Variables("RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS", "RABBITMQ_DEFAULT_VHOST"),
    database="/",
    # The folder of its data has the name of the node, which must not change with the pod.
    env={"RABBITMQ_NODENAME": "rabbit@localhost", "RABBITMQ_LOGS": "-"},
    # Its home is no part of the volume: the cookie there must be readable by its owner alone,
    # which the volume's group would change.
    scratch=("/var/lib/rabbitmq", "/var/log/rabbitmq", "/tmp"),  # noqa: S108 - in the container
    memory="256Mi",
    memory_limit="1Gi",
)

# ApiVersions, version 0, and the length of its answer, which has something in it. The broker opens
# its ports when it can serve; its own tools take three seconds of CPU.
_API_VERSIONS = r"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff"
# One node that is broker and controller. Port 9092 asks for a password (SASL PLAIN); 9094 is for
# clients that cannot give one.
KAFKA = Recipe(
    image="docker.io/apache/kafka:4.1.1",
    ports=(a_port("kafka", 9092), a_port("kafka-plain", 9094)),
    user=1000,
    data="/var/lib/kafka/data",
    **asking(
        f"exec 3<>/dev/tcp/127.0.0.1/9094 && printf '{_API_VERSIONS}' >&3"
        ' && [ "$(head -c 4 <&3 | wc -c)" = 4 ]',
        interpreter="bash",
    ),
    url="kafka://{username}:{password}@{host}:{port}",
    variables=Variables("BROKER_USERNAME", "BROKER_PASSWORD"),
    database="",
    env={
        "CLUSTER_ID": "c2VhdHJpYWwtcHJlc2V0cw",
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "LOGIN://:9092,PLAIN://:9094,CONTROLLER://localhost:9093",
        "KAFKA_ADVERTISED_LISTENERS": "LOGIN://{service}:9092,PLAIN://{service}:9094",
        # NB: the image wants more variables when the name of a listener holds SASL_.
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
            "LOGIN:SASL_PLAINTEXT,PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAIN",
        "KAFKA_SASL_ENABLED_MECHANISMS": "PLAIN",
        "KAFKA_LISTENER_NAME_LOGIN_PLAIN_SASL_JAAS_CONFIG": (
            "org.apache.kafka.common.security.plain.PlainLoginModule required"
            ' user_$(BROKER_USERNAME)="$(BROKER_PASSWORD)";'
        ),
        # A folder of its own: what is not of a topic there ends the broker.
        "KAFKA_LOG_DIRS": "/var/lib/kafka/data/logs",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "5",  # 50 of them take longer to make than to use
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "5",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",  # a test waits for nobody else
        "KAFKA_HEAP_OPTS": "-Xms128m -Xmx512m",
    },
    scratch=("/tmp",),  # noqa: S108 - in the container
    read_only=False,  # the image writes its configuration beside what it comes with
    memory="384Mi",
    memory_limit="1Gi",
)

NATS = Recipe(
    image="docker.io/library/nats:2.12-alpine",
    ports=(a_port("nats", 4222),),
    user=1000,
    data="/data",
    readiness=getting("/healthz", 8222),  # JetStream's too
    url="nats://{username}:{password}@{host}:{port}",
    variables=Variables("NATS_USER", "NATS_PASSWORD"),
    database="",
    args=(
        *("--jetstream", "--store_dir", "/data", "--http_port", "8222"),
        *("--user", "$(NATS_USER)", "--pass", "$(NATS_PASSWORD)"),
    ),
    memory="32Mi",
    memory_limit="512Mi",
)

# The image takes a file with hashed passwords, and no variable. What the user gives in the place
# of its configuration is read after ours. By default it drops what is beyond 1,000 messages for a
# client, without a word to anyone: a test must see them all, and the pod's memory bounds them.
_MOSQUITTO_START = """\
set -eu
umask 077
mosquitto_passwd -b -c /tmp/passwords "$MOSQUITTO_USERNAME" "$MOSQUITTO_PASSWORD"
cat > /tmp/mosquitto.conf <<END
listener 1883
allow_anonymous false
password_file /tmp/passwords
persistence true
persistence_location /mosquitto/data/
autosave_interval 1
autosave_on_changes true
connection_messages false
max_queued_messages 0
END
[ ! -e /mosquitto/config/mosquitto.conf ] || cat /mosquitto/config/mosquitto.conf >> /tmp/mosquitto.conf
exec mosquitto -c /tmp/mosquitto.conf "$@"
"""  # noqa: E501
MOSQUITTO = Recipe(
    image="docker.io/library/eclipse-mosquitto:2.0",
    ports=(a_port("mqtt", 1883),),
    user=1883,
    data="/mosquitto/data",
    **asking(
        'exec mosquitto_sub -h 127.0.0.1 -u "$MOSQUITTO_USERNAME" -P "$MOSQUITTO_PASSWORD"'
        " -t '$SYS/broker/version' -C 1 -W 3"
    ),
    url="mqtt://{username}:{password}@{host}:{port}",
    variables=Variables("MOSQUITTO_USERNAME", "MOSQUITTO_PASSWORD"),
    database="",
    command=("sh", "-c", _MOSQUITTO_START, "mosquitto"),
    scratch=("/tmp",),  # noqa: S108 - in the container
    memory="16Mi",
    memory_limit="128Mi",
)
