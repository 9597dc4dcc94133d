#!/bin/bash
# Makes the database on first start, as the public images' entry points do: MYSQL_USER,
# MYSQL_PASSWORD, MYSQL_DATABASE, MYSQL_ROOT_PASSWORD and /docker-entrypoint-initdb.d/*.sql|*.sh.
set -euo pipefail

data=/var/lib/mysql
socket=/var/run/mysqld/mysqld.sock
complete=$data/.seatrial-complete

quoted() { # as a text in SQL
  local text=${1//\\/\\\\}
  printf "'%s'" "${text//\'/\'\'}"
}

named() { # as a name in SQL
  printf '`%s`' "${1//\`/\`\`}"
}

as_root() {
  mariadb --no-defaults --socket="$socket" --user=root --password="$root" "$@"
}

# A folder that is half made, by a container that was killed, is made again.
make_database() {
  : "${MYSQL_ROOT_PASSWORD:?is not set}"
  find "$data" -mindepth 1 -not -name lost+found -delete
  mariadb-install-db --no-defaults --datadir="$data" --skip-test-db \
    --auth-root-authentication-method=normal >/dev/null
  # Only on the socket: nobody may see a database that is half filled.
  mariadbd --no-defaults --datadir="$data" --socket="$socket" --skip-networking \
    --pid-file=/tmp/making.pid --innodb-flush-log-at-trx-commit=0 &
  server=$!
  root=
  until as_root -e 'select 1' >/dev/null 2>&1; do
    kill -0 "$server"
    sleep 0.1
  done
  database=${MYSQL_DATABASE:-}
  {
    if [ -n "$database" ]; then echo "create database $(named "$database");"; fi
    if [ -n "${MYSQL_USER:-}" ]; then
      echo "create user $(quoted "$MYSQL_USER")@'%' identified by $(quoted "$MYSQL_PASSWORD");"
      if [ -n "$database" ]; then
        echo "grant all on $(named "$database").* to $(quoted "$MYSQL_USER")@'%';"
      fi
    fi
    echo "create user root@'%' identified by $(quoted "$MYSQL_ROOT_PASSWORD");"
    echo "grant all on *.* to root@'%' with grant option;"
    echo "alter user root@localhost identified by $(quoted "$MYSQL_ROOT_PASSWORD");"
  } | as_root mysql
  root=$MYSQL_ROOT_PASSWORD
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sql) as_root ${database:+"$database"} <"$file" ;;
      *.sh) . "$file" ;;
    esac
  done
  as_root -e shutdown
  wait "$server"
  touch "$complete"
}

[ "${1:0:1}" != - ] || set -- mariadbd "$@"
if [ "$1" = mariadbd ] || [ "$1" = mysqld ]; then
  shift
  [ -e "$complete" ] || make_database
  # Small: this is one of many databases on a node, and holds the data of a test.
  exec mariadbd --no-defaults --datadir="$data" --socket="$socket" --pid-file=/tmp/mariadbd.pid \
    --bind-address='*' --character-set-server=utf8mb4 --innodb-buffer-pool-size=64M "$@"
fi
exec "$@"
