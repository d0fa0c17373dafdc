#!/bin/sh
# Stops the nodes, restores a backup on the volume of each, and starts them again:
#
#     sh restore/restore.sh NAMESPACE IMAGE BACKUP [NODE...]
#
# BACKUP is the name of a file in the claim of the backups; the nodes are 1, 2 and 3 unless others are named. It ends at the first failure and
# starts nothing then: nodes without data would form a new, empty cluster. When the reason is gone, run it again.
set -eu
if [ $# -lt 3 ]; then
  echo 'usage: restore.sh NAMESPACE IMAGE BACKUP [NODE...]' >&2
  exit 1
fi
namespace=$1 image=$2 backup=$3
shift 3
if [ $# -eq 0 ]; then set -- 1 2 3; fi
cd "$(dirname "$0")"
kube() { kubectl --namespace "$namespace" "$@"; }
fail() {
  echo "$1; the nodes stay stopped" >&2
  exit 1
}

kube scale statefulset/quorate --replicas 0
kube wait --for=delete pod --selector app.kubernetes.io/name=quorate --timeout=10m
round=$(date +%s)
for node in "$@"; do
  job=job/quorate-restore-$node
  kube delete "$job" --ignore-not-found
  sed -e "s/NODE/$node/g" -e "s/NAMESPACE/$namespace/g" -e "s/BACKUP/$backup/g" -e "s/ROUND/$round/g" \
    -e "s,quorate:[0-9.]*$,$image," job.yaml | kube apply -f -
  echo "waiting for $job"
  ended=
  while [ -z "$ended" ]; do
    conditions=$(kube get "$job" -o 'jsonpath={.status.conditions[?(@.status=="True")].type}')
    case " $conditions " in
      *' Complete '*) ended=well ;;
      *' Failed '*) ended=badly ;;
      *) sleep 2 ;;
    esac
  done
  kube logs "$job" || true
  kube delete "$job"
  if [ $ended = badly ]; then fail "node $node was not restored, and its volume holds what it held"; fi
done
kube apply -k ..
kube rollout status statefulset/quorate
