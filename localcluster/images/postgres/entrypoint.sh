#!/bin/bash
# Makes the database on first start, as the public image's entry point does: POSTGRES_USER,
# POSTGRES_PASSWORD, POSTGRES_DB and /docker-entrypoint-initdb.d/*.sql|*.sh.
set -euo pipefail

bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
export PATH="$bin:$PATH"
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
# With a read-only root the socket goes to the one folder that is always writable.
sockets=/var/run/postgresql
[ -w "$sockets" ] || sockets=$PGDATA

# A folder that is half made, by a container that was killed, is made again.
make_database() {
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
    echo "Set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust." >&2
    exit 1
  fi
  find "$PGDATA" -mindepth 1 -delete
  # From inside the container without a password, from outside with one.
  # shellcheck disable=SC2086  the arguments are meant to be split
  initdb --no-sync --username="$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") \
    --auth=trust --encoding=UTF8 ${POSTGRES_INITDB_ARGS:-} >/dev/null
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"

  # Only on the socket: nobody may see a database that is half filled.
  pg_ctl start --silent --wait -o "-c listen_addresses='' -k $PGDATA -c fsync=off"
  export PGHOST=$PGDATA PGUSER=$user
  if [ "$database" != postgres ]; then
    psql -qv ON_ERROR_STOP=1 -d postgres -v name="$database" <<<'CREATE DATABASE :"name"'
  fi
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sql) psql -qv ON_ERROR_STOP=1 -d "$database" -f "$file" ;;
      *.sh) . "$file" ;;
    esac
  done
  unset PGHOST PGUSER
  pg_ctl stop --silent --wait --mode=fast
  touch "$PGDATA/.seatrial-complete"
}

[ "${1:0:1}" != - ] || set -- postgres "$@"
if [ "$1" = postgres ]; then
  shift
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA"
  [ -e "$PGDATA/.seatrial-complete" ] || make_database
  exec postgres -c listen_addresses='*' -k "$sockets" "$@"
fi
exec "$@"
