#!/bin/bash
# Makes the first user as the public image of MongoDB does: MONGO_INITDB_ROOT_USERNAME and
# MONGO_INITDB_ROOT_PASSWORD. Arguments are mongod's, and mean nothing here.
set -euo pipefail
export FERRETDB_SETUP_PASSWORD=${MONGO_INITDB_ROOT_PASSWORD:?is not set}
exec ferretdb --handler=sqlite --sqlite-url=file:/data/db/ --state-dir=- --listen-addr=:27017 \
  --debug-addr=- --telemetry=disable --log-level=ERROR --test-enable-new-auth \
  --setup-database=admin --setup-username="${MONGO_INITDB_ROOT_USERNAME:?is not set}"
