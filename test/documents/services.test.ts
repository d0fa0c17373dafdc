import t from 'tap'
import { block } from './blocks.ts'
import { onMachine, OPERATIONS } from './machine.ts'

/** Absolute paths of the lines, below a directory of their own. */
const moved = (lines: string): string =>
  lines.replaceAll(/(?<![\w.}"/])\/(etc|var|srv|run|usr\/local)\//g, '"$QUORATE_ROOTS"/$1/')

/** Programs that change a whole machine, over the directory `$QUORATE_ROOTS`. */
const STAND_INS = `
export QUORATE_ROOTS="$D/roots"
mkdir -p "$QUORATE_ROOTS"/{users,etc/systemd/system,etc/prometheus,usr/local/bin,usr/local/lib/node_modules,var/lib,srv,run}
ln -s "$QUORATE_ROOT" "$QUORATE_ROOTS/usr/local/lib/node_modules/quorate"
ln -s "$(command -v quorate)" "$QUORATE_ROOTS/usr/local/bin/quorate"
sudo() {
  if [ "$1" = -u ]; then test "$2" = quorate && shift 2; fi
  if [ "$1" = quorate ]; then (cd / && "$@"); else "$@"; fi
}
useradd() {
  test "$*" = '--system --user-group --home-dir '"$QUORATE_ROOTS"'/var/lib/quorate --shell /usr/sbin/nologin quorate'
  touch "$QUORATE_ROOTS/users/quorate"
}
# The owner and the group have to be there; only root of the machine itself could give them anything.
install() {
  local word words=()
  while [ $# -gt 0 ]; do
    case $1 in
      -o | -g) test -e "$QUORATE_ROOTS/users/$2" && shift ;;
      *) words+=("$1") ;;
    esac
    shift
  done
  # systemd knows what it has read, until it is told to read again.
  case "\${words[-1]}" in */quorate.service.d/*) touch "$QUORATE_ROOTS/stale" ;; esac
  command install "\${words[@]}"
}
# What the operator writes into the file is in $EDIT, a program of sed.
sudoedit() { test -w "$1" && sed -i "\${EDIT:-}" "$1"; }
`

t.test('a service: the unit starts a node as the page says, also with data elsewhere', async (t) => {
  const [install, elsewhere] = [1, 2].map((nth) => moved(block(OPERATIONS, 'As a service', nth)))
  const session = await onMachine(t, {
    standIns: ['systemctl'],
    before: STAND_INS,
    lines: [
      install ?? '',
      'quorate cluster initialize --server 10.0.0.1:7001',
      'quorate kv put a b --server 10.0.0.1:7001',
      'test -e "$QUORATE_ROOTS/var/lib/quorate/log"',
      `stat -c 'mode %a' "$QUORATE_ROOTS/etc/quorate/node.env"`,
      elsewhere ?? '',
      'until quorate check health --server 10.0.0.1:7001; do sleep 0.2; done',
      'test -e "$QUORATE_ROOTS/srv/quorate/log"',
      `stat -c 'mode %a' "$QUORATE_ROOTS/srv/quorate"`,
      'sudo systemctl stop quorate',
    ],
  })
  if (session === null) return
  t.match(session.printed, /mode 640\n[^]*mode 700\n/)
})

t.test('a service: backups are taken every night, and restored, as the page says', async (t) => {
  const [role, timer] = [1, 2].map((nth) => moved(block(OPERATIONS, 'Every night', nth)))
  const restore = moved(block(OPERATIONS, 'Restore under systemd or in containers', 1))
  const session = await onMachine(t, {
    standIns: ['systemctl'],
    before: STAND_INS,
    lines: [
      moved(block(OPERATIONS, 'As a service', 1)),
      'export QUORATE_SERVER=10.0.0.1:7001',
      'quorate cluster initialize',
      'quorate kv put a b',
      // The page gives the server an address of the network alone.
      'sudo systemctl stop quorate',
      `printf '%s\\n' 'a secret of sixteen characters' > "$D/bootstrap"`,
      'echo "QUORATE_AUTH_BOOTSTRAP_FILE=$D/bootstrap" >> "$QUORATE_ROOTS/etc/quorate/node.env"',
      'sudo systemctl start quorate',
      'until quorate check health --ready; do sleep 0.2; done',
      'quorate auth bootstrap --secret-file "$D/bootstrap" > "$D/admin.token"',
      'export QUORATE_TOKEN_FILE="$D/admin.token"',
      role ?? '',
      'unset QUORATE_TOKEN_FILE',
      `EDIT='s,^# QUORATE_TOKEN_FILE=,QUORATE_TOKEN_FILE=,'`,
      timer ?? '',
      'test ! -e ~/backup.token',
      'mkdir "$D/operator"; cp "$QUORATE_ROOTS"/var/lib/quorate-backup/*.backup "$D/operator/today.backup"',
      'cd "$D/operator"',
      "M='1,10.0.0.1:7101,10.0.0.1:7001'",
      restore,
      'sudo systemctl start quorate',
      'until quorate check health --ready; do sleep 0.2; done',
      'quorate kv get a --token-file "$D/admin.token"',
      'sudo systemctl stop quorate',
      moved('sudo rm -r /var/lib/quorate && sudo mv /var/lib/quorate.before /var/lib/quorate'),
    ],
  })
  if (session === null) return
  t.match(session.printed, /\d{4}-\d\d-\d\d\.backup\n[^]*\nb\n/)
})
