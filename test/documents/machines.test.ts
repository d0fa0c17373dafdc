import t from 'tap'
import { read } from '../support/deploy-files.ts'
import { block } from './blocks.ts'
import { onMachine, OPERATIONS } from './machine.ts'

/** What `npm` would do in a clone that is installed and built: the same scripts, without their builds. */
const NPM = `
npm() {
  case "$*" in
    ci) test -e package-lock.json ;;
    'run build') test -e dist/quorate.cjs ;;
    'run dev') node dist/quorate.cjs dev ;;
    *) echo "npm $*: not known here" >&2; exit 64 ;;
  esac
}
`

t.test('servers: nodes with the flags of the page form a cluster by themselves', async (t) => {
  const start = block(OPERATIONS, 'Let nodes form a cluster by themselves', 1).trimEnd()
  const nodeOf = (id: number): string => {
    const own = start.replace('--id 1 --data-dir DIR', `--id ${id} --data-dir "$D/${id}"`)
    const addressed = own.replace(
      '--raft 10.0.0.1:7101 --api 10.0.0.1:',
      `--raft 10.0.0.${id}:7101 --api 10.0.0.${id}:`,
    )
    return `${addressed} > "$D/${id}.log" &`
  }
  const session = await onMachine(t, {
    standIns: [],
    lines: [
      ...[1, 2, 3].map(nodeOf),
      'export QUORATE_SERVER=10.0.0.1:7001',
      'until quorate cluster status | grep -E "^voters +1, 2, 3$"; do sleep 0.5; done',
      'kill $(jobs -p); wait',
    ],
  })
  if (session === null) return
})

t.test('servers: a first token is drawn before it is made, however often that is tried', async (t) => {
  const session = await onMachine(t, {
    standIns: [],
    lines: [
      'cd "$D"',
      'quorate serve --id 1 --data-dir node > log &',
      'export QUORATE_SERVER=127.0.0.1:7001',
      // The commands come first, as in a script that does not know when the node is there.
      `(sleep 2; until quorate cluster initialize; do sleep 0.5; done) > initialized 2>&1 &`,
      block(OPERATIONS, 'Tokens and roles', 3),
      'quorate auth self --token-file admin.token',
      'stat -c "mode %a" admin.token',
      'if quorate kv get a; then exit 77; else test $? = 5; fi',
      'kill $(jobs -p); wait',
    ],
  })
  if (session === null) return
  t.match(session.printed, /mode 600\n/)
})

t.test('a clone: it is built and run as the pages say', async (t) => {
  const scripts = (JSON.parse(read('package.json')) as { scripts: Readonly<Record<string, string>> }).scripts
  t.equal(scripts['dev'], 'npm run --silent build && node dist/quorate.cjs dev', 'the stand-in for npm does the same')
  const serve = block(OPERATIONS, 'From source', 1).trimEnd().replace('DIR', '"$D/node"')
  const session = await onMachine(t, {
    standIns: [],
    before: NPM,
    lines: [
      `(${block('README.md', 'Try it', 1).trimEnd()}) > "$D/dev.log" &`,
      'until grep -q Ctrl-C "$D/dev.log"; do sleep 0.2; done',
      'quorate check health --cluster',
      'curl -sf http://127.0.0.1:7001/ui > /dev/null',
      'kill $(cat /proc/$!/task/$!/children); wait $! || true',
      `(${serve}) > "$D/log" &`,
      'until quorate check health; do sleep 0.2; done',
    ],
  })
  if (session === null) return
})
