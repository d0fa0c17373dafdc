# What the scripts of this folder share; they read it with `.`. The caller sets `namespace` and `image`.

# A pod is given up when no machine has taken it for this many seconds, or when it does not run after the second number of seconds.
unschedulable_after=${UNSCHEDULABLE_AFTER:-60}
ready_within=${READY_WITHIN:-600}
pods=

kube() { kubectl --namespace "$namespace" "$@"; }

# The image that the nodes run.
image_of_nodes() {
  kube get statefulset/quorate -o "jsonpath={.spec.template.spec.containers[0].image}"
}

pod_of() { echo "quorate-on-$1"; }

# Makes a pod that holds the claim $1, at /data. Two at once on one claim would disturb each other: the second one is refused.
open_claim() {
  sed -e "s,NAME$,$(pod_of "$1")," -e "s,CLAIM$,$1," -e "s,IMAGE$,$image," "$folder/pod.yaml" | kube create -f - >&2 || {
    echo "If nobody else works on this claim, remove the pod of a run that was killed: kubectl delete pod --namespace $namespace $(pod_of "$1")" >&2
    return 1
  }
  pods="$pods $(pod_of "$1")"
}

# Waits until the pod of the claim $1 runs. Fails early when no machine takes it, with the reason.
wait_for_claim() {
  pod=$(pod_of "$1") begun=$(date +%s)
  while true; do
    seen=$(kube get "pod/$pod" -o \
      'jsonpath={.status.conditions[?(@.type=="Ready")].status}/{.status.conditions[?(@.type=="PodScheduled")].reason}') || return 1
    passed=$(($(date +%s) - begun))
    case $seen in
      True/*) return 0 ;;
      */Unschedulable) if [ "$passed" -ge "$unschedulable_after" ]; then break; fi ;;
      *) if [ "$passed" -ge "$ready_within" ]; then break; fi ;;
    esac
    sleep 1
  done
  echo "the pod of claim $1 does not run after $passed s; its events say why:" >&2
  kube get events --field-selector "involvedObject.name=$pod" \
    -o 'jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}' >&2 || true
  return 1
}

# Runs a command in the pod of the claim $1, with the standard input and output of this process. Ends with the code of the command.
on_claim() {
  pod=$(pod_of "$1")
  shift
  kube exec -i "$pod" -- "$@"
}

close_claims() {
  if [ -n "$pods" ]; then
    # shellcheck disable=SC2086
    kube delete pod $pods --ignore-not-found >&2 || true
    pods=
  fi
}
