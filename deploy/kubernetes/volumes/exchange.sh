# Runs in the pod of a volume: puts a restored state in the place of what a node has, or takes it back.
#
#     sh exchange.sh check|mark|take|unmark|find|undo DIRECTORY ROUND
#
# Every step is one rename, so `undo` mends a run that was interrupted anywhere. All volumes are marked before the first is changed, and until
# the last one is: `check` and `find` refuse volumes with the mark of another run. `find` prints 1 where there is something to undo, else 0.
set -eu
action=$1 round=$3
cd "$2"
# A node that runs holds this file.
if [ -e node/lock ] && ! flock --nonblock node/lock true; then
  echo 'a node runs on this volume: stop it first' >&2
  exit 1
fi
for mark in exchanging-[0-9]*; do
  case $action in check | find) ;; *) continue ;; esac
  if [ -e "$mark" ] && [ "$mark" != "exchanging-$round" ]; then
    echo "a restore was interrupted, and nodes may have different states: first set all of them back with --undo ${mark#exchanging-}" >&2
    exit 1
  fi
done
case $action in
  mark) touch "exchanging-$round" ;;
  unmark) rm -f "exchanging-$round" ;;
  find) if [ -e before-"$round" ] || [ -e "exchanging-$round" ]; then echo 1; else echo 0; fi ;;
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
      rm -rf undone "exchanging-$round"
      echo "there is nothing of restore $round on this volume, which stays as it is"
      exit 0
    fi
    if [ -e node ]; then
      rm -rf undone
      mv node undone
    fi
    if [ -n "$(ls -A before-"$round")" ]; then mv before-"$round" node; else rmdir before-"$round"; fi
    rm -rf undone "exchanging-$round"
    ;;
  *)
    echo "$action: expected check, mark, take, unmark, find or undo" >&2
    exit 1
    ;;
esac
sync
