# Removes all roles and tokens from the data of one node, which becomes a cluster of its own, and prints the first token of that cluster. It runs
# in a container of the image, with the volume of the node, while no node of the cluster runs:
#
#     sh reset-auth.sh ID DIRECTORY
#
# A cluster without tokens takes every request. Until the token is there, the node listens on the loopback interface of this container alone.
set -eu
if [ $# -ne 2 ]; then
  echo 'usage: reset-auth.sh ID DIRECTORY' >&2
  exit 1
fi
id=$1 directory=$2
export QUORATE_SERVER=http://127.0.0.1:7001
quorate recover --id "$id" --data-dir "$directory" --reset-auth --yes >&2
# It would warn of these addresses and of its token, which count for this run alone.
quorate serve --id "$id" --data-dir "$directory" --api 127.0.0.1:7001 --raft 127.0.0.1:7101 --log-level error >&2 &
node=$!
trap 'kill "$node" 2> /dev/null || true; wait "$node" || true' EXIT
trap 'exit 143' INT TERM HUP
until quorate check health --ready --server "$QUORATE_SERVER" > /dev/null 2>&1; do
  if ! kill -0 "$node" 2> /dev/null; then
    echo 'the node has ended before it was ready; there is no token yet' >&2
    exit 1
  fi
  sleep 1
done
quorate auth bootstrap
