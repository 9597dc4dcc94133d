"""Databases and stores. The variables are those of the official images."""

from __future__ import annotations

from seatrial.plan.presets.recipe import Recipe, Variables, a_port, asking, getting

# While it makes the database, the image runs a server on a socket only: TCP is the real one.
POSTGRES = Recipe(
    image="docker.io/library/postgres:17",
    ports=(a_port("postgres", 5432),),
    user=999,
    data="/var/lib/postgresql/data",
    **asking(
        'PGPASSWORD="$POSTGRES_PASSWORD" exec psql -h 127.0.0.1 -U "$POSTGRES_USER"'
        ' -d "$POSTGRES_DB" -v ON_ERROR_STOP=1 -Atqc "select 1"'
    ),
    url="postgresql://{username}:{password}@{host}:{port}/{database}",
    variables=Variables("POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"),
    # A folder of its own: it must belong to the server alone, and a volume may not be empty.
    env={"PGDATA": "/var/lib/postgresql/data/pgdata"},
    scratch=("/var/run/postgresql", "/tmp"),  # noqa: S108 - in the container
)

# Likewise: the temporary server has no network. MariaDB has renamed the command.
MYSQL = Recipe(
    image="docker.io/library/mysql:8.4",
    ports=(a_port("mysql", 3306),),
    user=999,
    data="/var/lib/mysql",
    **asking(
        'export MYSQL_PWD="$MYSQL_PASSWORD"; exec "$(command -v mariadb || command -v mysql)"'
        ' -h 127.0.0.1 -u "$MYSQL_USER" -e "select 1" "$MYSQL_DATABASE"'
    ),
    url="mysql://{username}:{password}@{host}:{port}/{database}",
    variables=Variables("MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"),
    drawn=("MYSQL_ROOT_PASSWORD",),
    args=("--skip-name-resolve",),  # each connection would ask for the name of its pod
    scratch=("/var/run/mysqld", "/tmp"),  # noqa: S108 - in the container
    memory="256Mi",
    memory_limit="1Gi",
)

# While it loads what it had stored it answers LOADING.
REDIS = Recipe(
    image="docker.io/library/redis:7.4",
    ports=(a_port("redis", 6379),),
    user=999,
    data="/data",
    **asking('REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli -h 127.0.0.1 ping | grep -qx PONG'),
    url="redis://{username}:{password}@{host}:{port}/{database}",
    variables=Variables(password="REDIS_PASSWORD"),  # noqa: S106 - a name
    username="default",
    database="0",
    args=(
        *("redis-server", "--dir", "/data", "--appendonly", "yes"),
        *("--requirepass", "$(REDIS_PASSWORD)"),
    ),
    memory="32Mi",
    memory_limit="256Mi",
)

# The command {listDatabases: 1, $db: "admin"} as an OP_MSG of MongoDB's protocol: mongosh takes a
# second of CPU for that. Who has not logged in is refused; not so by the temporary server that the
# image runs while it makes the first user.
_LIST = (
    r"\x3c\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00\x27"
    r"\x00\x00\x00\x10listDatabases\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00"
)
MONGODB = Recipe(
    image="docker.io/library/mongo:8.0",
    ports=(a_port("mongodb", 27017),),
    user=999,
    data="/data/db",
    **asking(
        f"exec 3<>/dev/tcp/127.0.0.1/27017 && printf '{_LIST}' >&3"
        " && dd bs=4096 count=1 status=none <&3 | grep -qa Unauthorized",
        interpreter="bash",
    ),
    url="mongodb://{username}:{password}@{host}:{port}/{database}?authSource=admin",
    variables=Variables(
        "MONGO_INITDB_ROOT_USERNAME", "MONGO_INITDB_ROOT_PASSWORD", "MONGO_INITDB_DATABASE"
    ),
    args=("--wiredTigerCacheSizeGB", "0.25"),  # by default, half of the node's memory
    scratch=("/data/configdb", "/tmp"),  # noqa: S108 - in the container
    memory="256Mi",
    memory_limit="1Gi",
)

MINIO = Recipe(
    image="docker.io/minio/minio:RELEASE.2025-09-07T16-13-09Z",
    ports=(a_port("http", 9000),),
    user=1000,
    data="/data",
    readiness=getting("/minio/health/ready", 9000),
    url="http://{username}:{password}@{host}:{port}",
    variables=Variables("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"),
    database="",
    args=("server", "/data"),
    env={"MINIO_BROWSER": "off"},
    scratch=("/tmp",),  # noqa: S108 - in the container
    memory="256Mi",
    memory_limit="1Gi",
)
