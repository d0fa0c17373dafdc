# Removes all roles and tokens from the data of one node, which becomes a cluster of its own, and prints the first token of that cluster. It runs
# in a container of the image, with the volume of the node, while no node of the cluster runs:
#
#     sh reset-auth.sh ID DIRECTORY
#
# A cluster without tokens takes every request. Until the token is there, the node listens on the loopback interface of this container alone.
# After a failure this may be run again. READY_WITHIN: how many seconds the node has until it is ready.
#
# No command below has the standard input: this script may come by it, and what reads it would take the rest of it away.
set -eu
if [ $# -ne 2 ]; then
  echo 'usage: reset-auth.sh ID DIRECTORY' >&2
  exit 1
fi
id=$1 directory=$2 ready_within=${READY_WITHIN:-600}
export QUORATE_SERVER=http://127.0.0.1:7001
quorate recover --id "$id" --data-dir "$directory" --reset-auth --yes < /dev/null >&2
# It would warn of these addresses and of its token, which count for this run alone.
quorate serve --id "$id" --data-dir "$directory" --api 127.0.0.1:7001 --raft 127.0.0.1:7101 --log-level error < /dev/null >&2 &
node=$!
trap 'kill "$node" 2> /dev/null || true; wait "$node" || true' EXIT
trap 'exit 143' INT TERM HUP
begun=$(date +%s)
until quorate check health --ready --server "$QUORATE_SERVER" < /dev/null > /dev/null 2>&1; do
  if ! kill -0 "$node" 2> /dev/null; then
    echo 'the node has ended before it was ready; there is no token yet' >&2
    exit 1
  fi
  if [ $(($(date +%s) - begun)) -ge "$ready_within" ]; then
    echo "the node is not ready after $ready_within s, and is stopped; there is no token yet. READY_WITHIN gives it more time" >&2
    exit 1
  fi
  sleep 1
done
quorate auth bootstrap < /dev/null
