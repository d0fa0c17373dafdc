#!/bin/sh
# Stops the nodes, restores a backup on the volume of each, and starts them again:
#
#     sh volumes/restore.sh [--nodes COUNT] [--tls] [--image IMAGE] NAMESPACE FILE
#     sh volumes/restore.sh [--nodes COUNT] --undo ROUND NAMESPACE
#
# FILE is a backup on this machine. It is sent to each volume, and nothing that a node has is moved until all volumes have the whole, checked
# state. What a node had then stays on its volume, and `--undo` puts it back. There are as many nodes as the stateful set has; COUNT says it
# where they are stopped already. With `--tls` the nodes are listed with https:// addresses. After a failure or a signal no node is started, and
# the last lines say what to do.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
nodes='' scheme=http image='' undo=''
usage() {
  echo "restore.sh: $1" >&2
  echo 'usage: restore.sh [--nodes COUNT] [--tls] [--image IMAGE] NAMESPACE FILE' >&2
  echo '       restore.sh [--nodes COUNT] --undo ROUND NAMESPACE' >&2
  exit 1
}
while [ $# -gt 0 ]; do
  case $1 in
    --tls) scheme=https && shift ;;
    --nodes | --image | --undo)
      if [ $# -lt 2 ]; then usage "$1 needs a value"; fi
      case $1 in --nodes) nodes=$2 ;; --image) image=$2 ;; --undo) undo=$2 ;; esac
      shift 2
      ;;
    -*) usage "$1 is not known" ;;
    *) break ;;
  esac
done
case $nodes in *[!0-9]* | 0*) usage "--nodes $nodes: expected how many nodes there are" ;; esac
case $undo in *[!0-9]*) usage "--undo $undo: expected the number of a restore, as the restore printed it" ;; esac
namespace=${1:-} file=${2:-}
if [ -n "$undo" ] && [ $# -ne 1 ]; then usage 'with --undo, name the namespace and nothing else'; fi
if [ -z "$undo" ] && [ $# -ne 2 ]; then usage 'name the namespace and the file'; fi
if [ -z "$undo" ] && { [ ! -f "$file" ] || [ ! -r "$file" ] || [ ! -s "$file" ]; }; then
  usage "$file: expected a backup, a file that can be read; it is read once for each node"
fi
. "$folder/pods.sh"

numbers() {
  number=1
  while [ "$number" -le "$nodes" ]; do
    echo "$number"
    number=$((number + 1))
  done
}
members() {
  for id in $(numbers); do
    host=quorate-$id.quorate-peers.$namespace.svc
    echo "$id,$host:7101,$scheme://$host:7001"
  done
}
told='' again='nothing was changed'
fail() {
  echo "$1; $again" >&2
  told=yes
  exit 1
}
ended() {
  status=$?
  close_claims
  if [ "$status" -ne 0 ] && [ -z "$told" ]; then echo "this ended early; $again" >&2; fi
}
# Nodes that are left out would keep the data of another cluster.
count_nodes() {
  there=$(kube get statefulset/quorate -o 'jsonpath={.spec.replicas}')
  nodes=${nodes:-$there}
  if [ "$nodes" = 0 ]; then fail 'the nodes are stopped: say how many there are with --nodes'; fi
  if [ "$there" != 0 ] && [ "$there" != "$nodes" ]; then fail "--nodes $nodes: there are $there nodes"; fi
}
running() { kube get pods --selector app.kubernetes.io/name=quorate -o name; }
stop_nodes() {
  kube scale statefulset/quorate --replicas 0
  begun=$(date +%s)
  while true; do
    left=$(running) || fail 'it cannot be told whether nodes run'
    if [ -z "$left" ]; then return; fi
    if [ $(($(date +%s) - begun)) -ge "$ready_within" ]; then
      fail "still there: $(echo $left). If its machine is gone for good, remove the machine from Kubernetes"
    fi
    sleep 1
  done
}
open_all() {
  for id in $(numbers); do open_claim "data-quorate-$id" || fail "nothing was changed. Start the nodes as they were: $start"; done
  for id in $(numbers); do wait_for_claim "data-quorate-$id" || fail "nothing was changed. Start the nodes as they were: $start"; done
}
# Somebody else may have started the nodes meanwhile, such as a tool that keeps to what a repository says.
check_stopped() {
  left=$(running) || fail "it cannot be told whether nodes run"
  if [ -n "$left" ]; then fail "nothing was changed, for somebody has started the nodes: $(echo $left)"; fi
}
exchange() {
  on_claim "data-quorate-$1" sh -s -- "$2" /data "$3" < "$folder/exchange.sh"
}
start_nodes() {
  close_claims
  again="all volumes are as they should be. Start the nodes: $start"
  kube scale statefulset/quorate --replicas "$nodes" || fail 'the nodes were not started'
  kube rollout status statefulset/quorate || fail 'the nodes do not become ready'
}

trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
image=${image:-$(image_of_nodes)}
count_nodes
start="kubectl scale --namespace $namespace statefulset/quorate --replicas $nodes"
again='the nodes stay stopped'
stop_nodes
open_all
if [ -n "$undo" ]; then
  check_stopped
  found=0
  for id in $(numbers); do
    seen=$(exchange "$id" find "$undo") || fail "nothing was changed. Start the nodes as they were: $start"
    found=$((found + seen))
  done
  if [ "$found" -eq 0 ]; then fail "no volume has anything of restore $undo. Start the nodes as they were: $start"; fi
  for id in $(numbers); do
    echo "node $id: what it had before restore $undo comes back"
    exchange "$id" undo "$undo" ||
      fail "node $id was not set back: mend the reason and run this again"
  done
  start_nodes
  exit
fi

for id in $(numbers); do
  exchange "$id" check 0 || fail "nothing was changed on any node"
done
round=$(date +%s)
for id in $(numbers); do
  echo "node $id: the backup is sent to its volume"
  # shellcheck disable=SC2016,SC2046
  on_claim "data-quorate-$id" sh -euc 'rm -rf /data/restored; exec quorate restore - --data-dir /data/restored "$@"' sh \
    --id "$id" --cluster-token "$namespace" --name "$round" --members $(members) < "$file" ||
    fail "node $id was not restored, and nothing was changed on any node. Start the nodes as they were: $start"
done
check_stopped
again="the nodes stay stopped. This sets all nodes back: sh $0 --nodes $nodes --undo $round $namespace"
for id in $(numbers); do exchange "$id" mark "$round" || fail "nothing was changed on any node"; done
for id in $(numbers); do
  exchange "$id" take "$round" || fail "node $id was not changed, and the nodes before it were"
done
for id in $(numbers); do exchange "$id" unmark "$round" || fail "all nodes were changed, and node $id does not know"; done
start_nodes
echo "All nodes are restored. What they had is in /data/before-$round on each volume."
echo "The way back, which loses what is written from now on: sh $0 --nodes $nodes --undo $round $namespace"
