#!/bin/sh
# Runs a command in a pod of the image that holds one claim at /data:
#
#     sh volumes/on-claim.sh [--image IMAGE] NAMESPACE CLAIM COMMAND [WORD...]
#
# The command gets the standard input, and its output and exit code are those of this script. The image is that of the nodes unless another
# one is named. Stop the nodes before you work on the claim of one (data-quorate-1, ...).
set -eu
folder=$(cd "$(dirname "$0")" && pwd)
image=
if [ "${1:-}" = --image ]; then
  image=${2:-}
  shift 2 || shift
fi
if [ $# -lt 3 ]; then
  echo 'usage: on-claim.sh [--image IMAGE] NAMESPACE CLAIM COMMAND [WORD...]' >&2
  exit 1
fi
namespace=$1 claim=$2
shift 2
. "$folder/pods.sh"
image=${image:-$(image_of_nodes)}
trap close_claims EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
open_claim "$claim"
wait_for_claim "$claim"
on_claim "$claim" "$@"
