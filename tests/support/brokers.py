"""
Real brokers on loopback, from Debian's packages; Kafka from Maven Central.

Each can be stopped, killed and started again with what it has stored, on the same port.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from localcluster.ports import free_port
from tests.support.started import until

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "tester", "s3cret-of-the-broker"


class BrokerProcess:
    """
    A broker.

    Attributes:
        url: As a step takes it, with user and password.
        port: On loopback.
        tls_port: Where it speaks TLS, when it was given a certificate and its key.
        far_port: For a test that puts something before the broker.
        near_port: Where that has to listen; 0: anywhere.
        folder: What it stores.
    """

    scheme = ""
    path = ""

    def __init__(self, certified: tuple[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"seatrial-{self.scheme}-"))
        self.port, self.tls_port = free_port(), free_port()
        self.far_port, self.near_port = self.port, 0
        self.certified = certified
        for name, text in zip(("tls.crt", "tls.key"), certified or (), strict=False):
            (self.folder / name).write_text(text)
        self._process: subprocess.Popen[bytes] | None = None
        self.prepare()

    @property
    def url(self) -> str:
        return self.url_of(USER, PASSWORD)

    def url_of(self, user: str, password: str) -> str:
        return f"{self.scheme}://{user}:{password}@127.0.0.1:{self.port}{self.path}"

    def tls_url(self, scheme: str) -> str:
        return f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{self.tls_port}{self.path}"

    def near_url(self, port: int) -> str:
        """Give the URL of what a test has put before it."""
        return self.url.replace(f":{self.port}", f":{port}")

    def prepare(self) -> None:
        """Write its configuration."""

    def command(self) -> list[str]:
        """Give the command that runs it in the foreground."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def ports(self) -> list[int]:
        """Give those that must be open before it serves."""
        return [self.port, *([self.tls_port] if self.certified else [])]

    def serves(self) -> bool:
        try:
            for port in self.ports():
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            env={**os.environ, **self.environment()},
            start_new_session=True,
        )
        log.close()
        until(self.serves, self._process, self.folder / "log")

    def stop(self, how: int = signal.SIGTERM) -> None:
        """Stop it; with SIGKILL, it has no time to store anything."""
        if self._process is not None:
            os.killpg(self._process.pid, how)
            self._process.wait(timeout=180)  # Kafka writes all that it has
            self._process = None

    def remove(self) -> None:
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(BrokerProcess):
    scheme, path = "redis", "/0"

    def prepare(self) -> None:
        (self.folder / "users").write_text(
            f"user default off\nuser {USER} on >{PASSWORD} ~* &* +@all\n"
            f"user reader on >{PASSWORD} ~other* +@all\n"
        )

    def command(self) -> list[str]:
        return [
            *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--aclfile", str(self.folder / "users"), "--save", ""),
            *("--appendonly", "yes", "--appendfsync", "always", "--dir", str(self.folder)),
            *(self._tls() if self.certified else ()),
        ]

    def _tls(self) -> tuple[str, ...]:
        return (
            *("--tls-port", str(self.tls_port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", "tls.crt", "--tls-key-file", "tls.key"),
        )


class Nats(BrokerProcess):
    scheme = "nats"

    def prepare(self) -> None:
        self.tls_port = self.port  # with TLS, it speaks nothing else

    def command(self) -> list[str]:
        return [
            *("nats-server", "-a", "127.0.0.1", "-p", str(self.port)),
            *("-js", "-sd", str(self.folder / "store"), "--user", USER, "--pass", PASSWORD),
            *(("--tls", "--tlscert", "tls.crt", "--tlskey", "tls.key") if self.certified else ()),
        ]


class Mosquitto(BrokerProcess):
    scheme = "mqtt"

    def prepare(self) -> None:
        words = str(self.folder / "passwords")
        subprocess.run(["mosquitto_passwd", "-c", "-b", words, USER, PASSWORD], check=True)
        (self.folder / "access").write_text(
            f"user {USER}\ntopic readwrite #\ntopic deny secret/#\n"
        )
        (self.folder / "conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\n"
            f"password_file {words}\nacl_file {self.folder}/access\n"
            f"persistence true\npersistence_location {self.folder}/\n"
            # By default it drops what is beyond 1,000 messages, without a word to anyone.
            "max_queued_messages 0\n"
        )
        if self.certified:
            with (self.folder / "conf").open("a") as conf:
                conf.write(f"listener {self.tls_port} 127.0.0.1\n")
                conf.write(f"certfile {self.folder}/tls.crt\nkeyfile {self.folder}/tls.key\n")
        if os.getuid() == 0:  # it gives root up
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, "mosquitto")

    def command(self) -> list[str]:
        return ["/usr/sbin/mosquitto", "-c", str(self.folder / "conf")]


class RabbitMQ(BrokerProcess):
    scheme, path = "amqp", "/"

    def prepare(self) -> None:
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"loopback_users = none\ndefault_user = {USER}\ndefault_pass = {PASSWORD}\n"
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n{self._tls() if self.certified else ''}"
        )
        # A name server of its own, so that nothing is left over and no two tests meet.
        self._names_port = free_port()
        self._between_port = free_port()
        self._names = subprocess.Popen(
            ["epmd", "-port", str(self._names_port), "-address", "127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _tls(self) -> str:
        return (
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\nssl_options.verify = verify_none\n"
            f"ssl_options.certfile = {self.folder}/tls.crt\n"
            f"ssl_options.keyfile = {self.folder}/tls.key\n"
        )

    def command(self) -> list[str]:
        return ["/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "RABBITMQ_BASE": str(self.folder),
            "RABBITMQ_NODENAME": f"seatrial-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._between_port),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def remove(self) -> None:
        super().remove()
        self._names.kill()
        self._names.wait(timeout=60)


class Kafka(BrokerProcess):
    """
    One node, broker and controller.

    Ports ``port`` and ``far_port`` ask for a password; ``plain_port`` does not. It tells clients
    where to go, and who comes to ``far_port`` is sent to ``near_port``.
    """

    scheme = "kafka"

    def prepare(self) -> None:
        self.plain_port, controller = free_port(), free_port()
        self.far_port, self.near_port = free_port(), free_port()
        self._jars = _kafka_jars()
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"LOGIN://127.0.0.1:{self.port},PLAIN://127.0.0.1:{self.plain_port},"
            f"FAR://127.0.0.1:{self.far_port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"LOGIN://127.0.0.1:{self.port},"
            f"PLAIN://127.0.0.1:{self.plain_port},FAR://127.0.0.1:{self.near_port}",
            "listener.security.protocol.map": "LOGIN:SASL_PLAINTEXT,PLAIN:PLAINTEXT,"
            "FAR:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAIN",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.login.plain.sasl.jaas.config": f'{login} user_{USER}="{PASSWORD}";',
            "listener.name.far.plain.sasl.jaas.config": f'{login} user_{USER}="{PASSWORD}";',
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
        }
        if self.certified:
            settings |= self._tls(settings)
        (self.folder / "properties").write_text(
            "".join(f"{name}={value}\n" for name, value in settings.items())
        )
        self._java("kafka.tools.StorageTool", "format", "--standalone", "-t", "c2VhdHJpYWwtdGVzdHM")

    def _tls(self, settings: dict[str, str]) -> dict[str, str]:
        certificate, key = (text.strip().replace("\n", "\\n") for text in self.certified or ())
        listener = f"TLS://127.0.0.1:{self.tls_port}"
        return {
            "listeners": f"{settings['listeners']},{listener}",
            "advertised.listeners": f"{settings['advertised.listeners']},{listener}",
            "listener.security.protocol.map": (
                f"{settings['listener.security.protocol.map']},TLS:SASL_SSL"
            ),
            "listener.name.tls.plain.sasl.jaas.config": settings[
                "listener.name.login.plain.sasl.jaas.config"
            ],
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.certificate.chain": certificate,
            "listener.name.tls.ssl.keystore.key": key,
        }

    def ports(self) -> list[int]:
        return [*super().ports(), self.plain_port]

    @property
    def plain_url(self) -> str:
        return f"kafka://127.0.0.1:{self.plain_port}"

    def command(self) -> list[str]:
        return [*self._base(), "kafka.Kafka", str(self.folder / "properties")]

    def _base(self) -> list[str]:
        java = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx384m")
        return [*java, "-cp", f"{self._jars}/*"]

    def _java(self, name: str, *arguments: str) -> None:
        command = [*self._base(), name, *arguments, "-c", str(self.folder / "properties")]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def _kafka_jars() -> Path:
    """Fetch what the image has as well; once for each version of the list."""
    pom = ROOT / "localcluster/images/kafka/pom.xml"
    version = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "seatrial"
    folder = cache / f"kafka-{version}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            made = Path(tempfile.mkdtemp(dir=cache))
            goal = ("dependency:copy-dependencies", "-DincludeScope=runtime")
            command = ["mvn", "-q", "-B", "-f", str(pom), *goal, f"-DoutputDirectory={made}"]
            subprocess.run(command, check=True, capture_output=True)
            made.rename(folder)
    return folder


@contextlib.contextmanager
def running(broker: BrokerProcess) -> Iterator[BrokerProcess]:
    """Run a broker, and remove all of it afterwards."""
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()
