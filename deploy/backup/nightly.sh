# Takes a backup of the cluster of QUORATE_SERVER into DIRECTORY, by the date, and first makes room for it:
#
#     sh nightly.sh DIRECTORY [DAYS [COUNT]]
#
# Backups that it took more than DAYS (30) days ago are removed, but never the newest COUNT (7): where backups have failed for long, the
# old ones stay. That is done before the new one, and whatever becomes of it, so that a full disk does not keep itself full. Files with
# other names stay. The exit code is that of `quorate backup`.
set -eu
directory=${1:?name the directory of the backups} days=${2:-30} count=${3:-7}
for number in "$days" "$count"; do
  case $number in
    0* | *[!0-9]*)
      echo "'$number': DAYS and COUNT must be whole numbers from 1; nothing was removed" >&2
      exit 1
      ;;
  esac
done
cd "$directory"
day='[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].backup'
# What a run that was killed has left. One that is being written changes all the time.
find . -maxdepth 1 -type f -name "$day.part" -mmin +60 -delete || echo 'parts of earlier backups could not be removed' >&2
find . -maxdepth 1 -type f -name "$day" | sort -r | tail -n "+$((count + 1))" | while read -r old; do
  find "$old" -mtime "+$days" -delete || echo "$old could not be removed" >&2
done
exec quorate backup "$directory/$(date +%F).backup"
