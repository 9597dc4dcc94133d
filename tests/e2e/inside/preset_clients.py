"""
A client of each preset: stores numbers, and says which are there.

Every call opens a connection of its own, so that what is seen is the server's doing and not that
of a driver that reconnects. The URL is looked up each time, which counts as traffic.
"""

import asyncio
import hashlib
import hmac
import threading
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import httpx

TIMEOUT_S = 10  # with a busy machine


class Client:
    def __init__(self, look_up):
        self.look_up = look_up  # gives the URL

    @property
    def parts(self):
        return urlsplit(self.look_up())

    @property
    def login(self):
        parts = self.parts
        return unquote(parts.username), unquote(parts.password)


class Postgres(Client):
    def _all(self, *statement):
        import psycopg

        with psycopg.connect(self.look_up(), connect_timeout=TIMEOUT_S) as connection:
            done = connection.execute(*statement)
            return done.fetchall() if done.description else []

    def put(self, number):
        self._all("insert into kept values (%s)", [number])

    def held(self):
        return {number for (number,) in self._all("select number from kept")}


class Mysql(Client):
    def _all(self, *statement):
        import pymysql

        parts = self.parts
        user, password = self.login
        connection = pymysql.connect(
            host=parts.hostname, port=parts.port, user=user, password=password,
            database=parts.path[1:], connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S,
            autocommit=True,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            cursor.execute(*statement)
            return cursor.fetchall()

    def put(self, number):
        self._all("insert into kept values (%s)", [number])

    def held(self):
        return {number for (number,) in self._all("select number from kept")}


class Redis(Client):
    def _client(self):
        import redis

        return redis.Redis.from_url(
            self.look_up(), socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )

    def put(self, number):
        with self._client() as client:
            client.sadd("kept", number)

    def held(self):
        with self._client() as client:
            return {int(number) for number in client.smembers("kept")}


class Mongodb(Client):
    def _kept(self):
        import pymongo

        return pymongo.MongoClient(
            self.look_up(), serverSelectionTimeoutMS=5000, socketTimeoutMS=TIMEOUT_S * 1000
        )

    def put(self, number):
        with self._kept() as client:
            client.get_default_database().kept.insert_one({"_id": number})

    def held(self):
        with self._kept() as client:
            return {each["_id"] for each in client.get_default_database().kept.find()}


class Minio(Client):
    """Objects of a bucket, by requests that are signed as S3 wants them."""

    def _ask(self, method, path):
        parts = self.parts
        user, password = self.login
        now = datetime.now(UTC)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        empty = hashlib.sha256(b"").hexdigest()
        headers = {
            "host": f"{parts.hostname}:{parts.port}",
            "x-amz-content-sha256": empty,
            "x-amz-date": stamp,
        }
        names = ";".join(headers)
        lines = [f"{name}:{value}" for name, value in headers.items()]
        canonical = "\n".join([method, path, "", *lines, "", names, empty])
        scope = f"{day}/us-east-1/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{password}".encode()
        for word in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={user}/{scope}, SignedHeaders={names},"
            f" Signature={key.hex()}"
        )
        url = f"http://{parts.hostname}:{parts.port}{path}"
        sent = {**headers, "authorization": authorization}
        answer = httpx.request(method, url, headers=sent, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer.text

    def put(self, number):
        try:
            self._ask("PUT", "/kept")
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 409:  # it is there
                raise
        self._ask("PUT", f"/kept/{number}")

    def held(self):
        listed = self._ask("GET", "/kept")
        return {int(each.split("</Key>")[0]) for each in listed.split("<Key>")[1:]}


class Async(Client):
    def put(self, number):
        asyncio.run(asyncio.wait_for(self.send(number), TIMEOUT_S))

    def held(self):
        return asyncio.run(asyncio.wait_for(self.receive(), 4 * TIMEOUT_S))


class Rabbitmq(Async):
    """A queue that lasts, with messages that do; each is confirmed."""

    async def _channel(self):
        import aiormq

        connection = await aiormq.connect(self.look_up())
        channel = await connection.channel()
        await channel.queue_declare("kept", durable=True)
        return connection, channel

    async def send(self, number):
        import aiormq

        connection, channel = await self._channel()
        try:
            lasting = aiormq.spec.Basic.Properties(delivery_mode=2)
            body = str(number).encode()
            await channel.basic_publish(body, routing_key="kept", properties=lasting)
        finally:
            await connection.close()

    async def receive(self):
        connection, channel = await self._channel()
        held = set()
        try:
            while (message := await channel.basic_get("kept")).body:
                held.add(int(message.body))
        finally:
            await connection.close()  # what was not acknowledged goes back
        return held


class Kafka(Async):
    def _options(self):
        parts = self.parts
        user, password = self.login
        return {
            "bootstrap_servers": f"{parts.hostname}:{parts.port}",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_plain_username": user,
            "sasl_plain_password": password,
            "request_timeout_ms": TIMEOUT_S * 1000,
        }

    async def send(self, number):
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(acks="all", **self._options())
        try:
            await producer.start()
            await producer.send_and_wait("kept", str(number).encode())
        finally:
            await producer.stop()

    async def receive(self):
        from aiokafka import AIOKafkaConsumer, TopicPartition

        kept = TopicPartition("kept", 0)
        consumer = AIOKafkaConsumer(**self._options())
        held = set()
        try:
            await consumer.start()
            consumer.assign([kept])
            await consumer.seek_to_beginning(kept)
            end = (await consumer.end_offsets([kept]))[kept]
            while await consumer.position(kept) < end:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    held.update(int(record.value) for record in records)
        finally:
            await consumer.stop()
        return held


class Nats(Async):
    """A stream of JetStream."""

    async def _stream(self):
        import nats

        connection = await nats.connect(
            self.look_up(), connect_timeout=TIMEOUT_S, allow_reconnect=False
        )
        stream = connection.jetstream(timeout=TIMEOUT_S)
        await stream.add_stream(name="KEPT", subjects=["kept"])
        return connection, stream

    async def send(self, number):
        connection, stream = await self._stream()
        try:
            await stream.publish("kept", str(number).encode())
        finally:
            await connection.close()

    async def receive(self):
        connection, stream = await self._stream()
        try:
            last = (await stream.stream_info("KEPT")).state.last_seq
            messages = [await stream.get_msg("KEPT", seq) for seq in range(1, last + 1)]
            return {int(message.data) for message in messages}
        finally:
            await connection.close()


class Mosquitto(Client):
    """Messages that are retained, each under a topic of its own."""

    def connect(self, on_message=None):
        import paho.mqtt.client as mqtt

        parts = self.parts
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.username_pw_set(*self.login)
        client.on_message = on_message
        connected, codes = threading.Event(), []

        def on_connect(_client, _data, _flags, code, _properties):
            codes.append(code)
            connected.set()

        client.on_connect = on_connect
        client.connect_timeout = TIMEOUT_S
        client.connect(parts.hostname, parts.port)
        client.loop_start()
        if not connected.wait(TIMEOUT_S) or codes[0].is_failure:
            client.loop_stop()
            raise ConnectionError(str(codes))
        return client

    def put(self, number):
        client = self.connect()
        try:
            sent = client.publish(f"kept/{number}", str(number), qos=1, retain=True)
            sent.wait_for_publish(TIMEOUT_S)
            if not sent.is_published():
                raise ConnectionError("it was not acknowledged")
        finally:
            client.disconnect()
            client.loop_stop()

    def held(self):
        held, subscribed, ended = set(), threading.Event(), threading.Event()

        def on_message(_client, _data, message):
            if message.topic == "kept/end":
                ended.set()
            else:
                held.add(int(message.payload))

        client = self.connect(on_message)
        try:
            client.on_subscribe = lambda *_: subscribed.set()
            client.subscribe("kept/#", qos=1)
            if not subscribed.wait(TIMEOUT_S):
                raise ConnectionError("the subscription was not acknowledged")
            # It comes after those that were there before: the broker keeps them in their order.
            client.publish("kept/end", "", qos=1)
            if not ended.wait(TIMEOUT_S):
                raise ConnectionError("not all that is kept has come")
        finally:
            client.disconnect()
            client.loop_stop()
        return held


CLIENTS = {
    "postgres": Postgres,
    "mysql": Mysql,
    "redis": Redis,
    "mongodb": Mongodb,
    "minio": Minio,
    "rabbitmq": Rabbitmq,
    "kafka": Kafka,
    "nats": Nats,
    "mosquitto": Mosquitto,
}
