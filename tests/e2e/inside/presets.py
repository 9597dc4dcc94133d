"""
Uses presets while they are restarted and killed: what was acknowledged stays, clients come back.

``PRESETS`` names them, separated by commas; each is a service of its own name with the faults
``NAME-restarts`` and ``NAME-killed``.
"""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit, urlunsplit

import pytest
from preset_clients import CLIENTS

NAMES = [name for name in os.environ.get("PRESETS", "").split(",") if name]
PATIENCE_S = 90  # with a busy machine
EVERY_S = 0.4


class Use:
    """
    Puts one number after another, all the time; knows which were acknowledged.

    None waits for those before it: they may hang on a pod that has gone for longer than it takes
    to replace it, and meanwhile nobody would ask.
    """

    def __init__(self, client):
        self._client = client
        self._stopped = threading.Event()
        self._clock = threading.Thread(target=self._go_on, daemon=True)
        self._puts = ThreadPoolExecutor(max_workers=40)
        self.kept = set()
        self.refused = []
        # Above those of another use, which would stand in for what this one has lost.
        self.last = max(client.held(), default=0)

    def __enter__(self):
        self._clock.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._clock.join()
        self._puts.shutdown()

    def _go_on(self):
        while not self._stopped.wait(EVERY_S):
            self.last += 1
            self._puts.submit(self._put, self.last)

    def _put(self, number):
        try:
            self._client.put(number)
        except Exception as error:  # noqa: BLE001 - of any driver
            self.refused.append(error)
        else:
            self.kept.add(number)

    def acknowledges_more_than(self, count):
        return len(self.kept) > count


@pytest.mark.parametrize("name", NAMES)
def test_it_is_ready_when_the_tests_begin(name, connections):
    client = CLIENTS[name](lambda: connections[name])
    client.put(0)  # at once, at the first try
    assert client.held() == {0}


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_password_is_refused(name, connections, caplog):
    parts = urlsplit(connections[name])
    host = f"{parts.username}:wrong@{parts.hostname}:{parts.port}"
    client = CLIENTS[name](lambda: urlunsplit(parts._replace(netloc=host)))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of any driver
        client.put(-1)
    assert client.refusal
    assert client.refusal in f"{caught.value}\n{caplog.text}"  # Kafka's driver only logs why
    assert -1 not in CLIENTS[name](lambda: connections[name]).held()


@pytest.mark.parametrize("end", ["restarts", "killed"])
@pytest.mark.parametrize("name", NAMES)
def test_the_end_of_its_pod_under_use_loses_nothing(name, end, connections, faults, eventually):
    client = CLIENTS[name](lambda: connections[name])
    with Use(client) as use:
        eventually(lambda: use.acknowledges_more_than(2), within=PATIENCE_S)
        with faults(f"{name}-{end}") as fault:
            begun = use.last
            eventually(lambda: use.last >= begun + 3, within=PATIENCE_S)
            if fault.status()["kind"] == "outage":  # it lasts, so that a driver gives up
                eventually(lambda: use.refused, within=PATIENCE_S)
        fault.wait_recovered()
        before = len(use.kept)
        eventually(lambda: use.acknowledges_more_than(before + 2), within=PATIENCE_S)
    assert use.kept <= client.held()
    assert fault.status()["state"] == "Recovered"


@pytest.mark.skipif("rabbitmq" not in NAMES, reason="only RabbitMQ has definitions")
def test_rabbitmq_has_the_queue_of_its_definitions(connections):
    import aiormq

    async def declared():
        connection = await aiormq.connect(connections["rabbitmq"])
        try:
            channel = await connection.channel()
            # Passive: one that is not there is an error, and is not made.
            return await channel.queue_declare("placed", passive=True)
        finally:
            await connection.close()

    assert asyncio.run(declared()).queue == "placed"


@pytest.mark.skipif("nats" not in NAMES, reason="the configuration is NATS's")
def test_nats_has_the_limit_of_its_configuration(connections):
    import nats

    async def limit():
        connection = await nats.connect(connections["nats"])
        try:
            return connection.max_payload
        finally:
            await connection.close()

    assert asyncio.run(limit()) == 4096


@pytest.mark.skipif("mosquitto" not in NAMES, reason="the configuration is Mosquitto's")
def test_mosquitto_has_the_limit_of_its_configuration(connections, eventually):
    sizes, subscribed = [], threading.Event()
    client = CLIENTS["mosquitto"](lambda: connections["mosquitto"])

    def publish(size):
        # A connection of its own: the broker may end that of who sends too much.
        connection = client.connect()
        connection.publish("sized", b"x" * size, qos=1).wait_for_publish(10)
        connection.disconnect()
        connection.loop_stop()

    listening = client.connect(lambda _client, _data, message: sizes.append(len(message.payload)))
    listening.on_subscribe = lambda *_: subscribed.set()
    listening.subscribe("sized", qos=1)
    assert subscribed.wait(PATIENCE_S)
    publish(4097)
    publish(4096)
    eventually(lambda: sizes, within=PATIENCE_S)
    listening.disconnect()
    listening.loop_stop()
    assert sizes == [4096]


@pytest.mark.skipif("kafka" not in NAMES, reason="only Kafka has another port")
def test_kafka_has_a_port_that_asks_for_no_password(services):
    from aiokafka import AIOKafkaProducer

    async def send():
        where = f"{services['kafka'].host}:{services['kafka'].ports['kafka-plain']}"
        async with AIOKafkaProducer(bootstrap_servers=where) as producer:
            return await producer.send_and_wait("open", b"1")

    assert asyncio.run(send()).topic == "open"


@pytest.mark.skipif("redis" not in NAMES, reason="the slow one is Redis")
def test_what_is_between_can_be_disturbed_as_anywhere(connections, faults):
    client = CLIENTS["redis"](lambda: connections["redis"])
    with faults("redis-slow"):
        began = time.monotonic()
        client.held()
        assert time.monotonic() - began >= 0.3
