#!/bin/bash
# Writes server.properties from KAFKA_ variables, as the public image does, formats the storage on
# first start, and runs the broker.
set -euo pipefail
umask 077

settings=/tmp/server.properties
: >"$settings"
while IFS= read -r -d '' variable; do
  name=${variable%%=*}
  case $name in
    KAFKA_HEAP_OPTS | KAFKA_OPTS | KAFKA_HOME | KAFKA_VERSION) continue ;;
    KAFKA_*) ;;
    *) continue ;;
  esac
  property=${name#KAFKA_}
  property=${property,,}
  property=${property//___/-}
  property=${property//__/\~}
  property=${property//_/.}
  property=${property//\~/_}
  value=${variable#*=}
  printf '%s=%s\n' "$property" "${value//\\/\\\\}" >>"$settings"
done < <(env -0)

# Quick to start rather than fast in the long run.
options=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData)
options+=(-Dlog4j2.configurationFile=/opt/kafka/log4j2.properties -cp '/opt/kafka/libs/*')
first=${KAFKA_LOG_DIRS%%,*}
if [ ! -e "$first/meta.properties" ]; then
  java "${options[@]}" -Xmx128m kafka.tools.StorageTool format --ignore-formatted \
    --cluster-id "$CLUSTER_ID" --config "$settings"
fi
# shellcheck disable=SC2086  the options are meant to be split
exec java ${KAFKA_HEAP_OPTS:--Xmx512m} ${KAFKA_OPTS:-} "${options[@]}" kafka.Kafka "$settings"
