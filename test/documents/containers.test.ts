import t from 'tap'
import { block } from './blocks.ts'
import { onMachine, OPERATIONS } from './machine.ts'

const inContainer = block(OPERATIONS, 'In a container', 1)
const restore = block(OPERATIONS, 'Restore under systemd or in containers', 2)
const [recover, resetAuth] = [4, 5].map((nth) => block(OPERATIONS, 'Recover on Kubernetes and in containers', nth))
/** Waits until the three nodes are voters of one cluster. */
const whole = `until docker exec quorate-2 quorate cluster status | grep -E '^voters +1, 2, 3$'; do sleep 0.5; done`

t.test('containers: a cluster is started, restored and recovered as the page says', async (t) => {
  const session = await onMachine(t, {
    standIns: ['docker'],
    lines: [
      inContainer,
      whole,
      'docker exec quorate-1 quorate kv get hello > "$D/hello"; grep -x world "$D/hello"',
      // The backup is read where the page reads it.
      'docker exec quorate-1 quorate backup - > "$D/today.backup"',
      `M='1,quorate-1:7101,quorate-1:7001 2,quorate-2:7101,quorate-2:7001 3,quorate-3:7101,quorate-3:7001'`,
      restore.replace('today.backup', '"$D/today.backup"'),
      'for n in 1 2 3; do quorate recover --data-dir "$D/quorate-restored-$n" | grep -E "^node +$n "; done',
      'docker start quorate-1; docker start quorate-2; docker start quorate-3',
      recover ?? '',
      whole,
      'until docker exec quorate-3 quorate kv get hello; do sleep 0.5; done',
      'docker stop quorate-1 quorate-2 quorate-3',
    ],
  })
  if (session === null) return
  t.match(session.printed, /--- end\n$/)
})

t.test('containers: when all admin tokens are lost, the page makes a new one', async (t) => {
  const [, before = '', after = ''] = /^([^]*)^docker run --rm -v quorate-2.*--yes\n([^]*)$/m.exec(recover ?? '') ?? []
  const session = await onMachine(t, {
    standIns: ['docker'],
    lines: [
      inContainer,
      whole,
      'for n in 1 2 3; do docker exec quorate-$n quorate auth bootstrap --server http://127.0.1.$n:7001 > "$D/lost.token" && break; done',
      'test -s "$D/lost.token"',
      before,
      `D2=$PWD; cd "$D"; ln -s "$D2/deploy" deploy`,
      resetAuth ?? '',
      after,
      'export QUORATE_TOKEN_FILE="$D/admin.token"',
      whole,
      'until docker exec quorate-1 quorate kv get hello; do sleep 0.5; done',
      'if QUORATE_TOKEN_FILE="$D/lost.token" docker exec quorate-2 quorate kv get hello; then exit 77; fi',
      'docker stop quorate-1 quorate-2 quorate-3',
    ],
  })
  if (session === null) return
})

t.test('containers: the Compose file starts three nodes, as the page says', async (t) => {
  const session = await onMachine(t, { standIns: ['docker'], lines: [block(OPERATIONS, 'With Compose', 1)] })
  if (session === null) return
  t.match(session.printed, /voters +1[^]*quorate-1:7001/)
})
