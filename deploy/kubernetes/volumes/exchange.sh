# Runs in the pod of a volume: puts a restored state in the place of what a node has, or takes it back.
#
#     sh exchange.sh check|take|undo DIRECTORY ROUND
#
# Every step is one rename, so `undo` mends a run that was interrupted anywhere. `check` finds such a run.
set -eu
action=$1 round=$3
cd "$2"
# A node that runs holds this file.
if [ -e node/lock ] && ! flock --nonblock node/lock true; then
  echo 'a node runs on this volume: stop it first' >&2
  exit 1
fi
case $action in
  check)
    for before in before-[0-9]*; do
      if [ -n "$(ls -A "$before" 2> /dev/null)" ] && [ ! -e node ]; then
        echo "a restore was interrupted on this volume: first set it back with --undo ${before#before-}" >&2
        exit 1
      fi
    done
    ;;
  take)
    if [ ! -d before-"$round" ]; then
      # A volume that nothing was on has an empty directory to go back to.
      if [ -e node ]; then mv node before-"$round"; else mkdir before-"$round"; fi
    fi
    if [ -d restored ]; then mv restored node; fi
    ;;
  undo)
    if [ ! -d before-"$round" ]; then
      rm -rf undone
      echo "there is nothing of restore $round on this volume, which stays as it is"
      exit 0
    fi
    if [ -e node ]; then
      rm -rf undone
      mv node undone
    fi
    if [ -n "$(ls -A before-"$round")" ]; then mv before-"$round" node; else rmdir before-"$round"; fi
    rm -rf undone
    ;;
  *)
    echo "$action: expected check, take or undo" >&2
    exit 1
    ;;
esac
sync
