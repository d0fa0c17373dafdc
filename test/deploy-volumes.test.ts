import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { exitCodes } from '../src/cli/terminal.ts'
import { block, blocksBelow } from './documents/blocks.ts'
import { networkOfItsOwn } from './e2e/support/document.ts'
import { statefulSet, variablesOf } from './support/deploy-files.ts'
import { FakeKubernetes } from './support/fake-kubernetes.ts'
import { runCli } from './support/run-cli.ts'
import { temporaryDirectory } from './support/temporary-directory.ts'
import { startTestNode } from './support/test-node.ts'

const OPERATIONS = 'docs/OPERATIONS.md'
const claims = ['data-quorate-1', 'data-quorate-2', 'data-quorate-3']

let backup: Promise<Buffer> | null = null

/** A backup of one key, taken once. */
async function aBackup(t: Test): Promise<Buffer> {
  backup ??= (async () => {
    const directory = await temporaryDirectory(t)
    const node = await startTestNode(t, 1, join(directory, 'node'))
    const file = join(directory, 'a.backup')
    for (const line of ['cluster initialize', 'kv put a b', `backup ${file}`]) {
      const ran = await runCli(line.split(' '), { environment: { QUORATE_SERVER: node.addresses.api } })
      if (ran.code !== 0) throw new Error(`${line}: ${ran.err}`)
    }
    return await readFile(file)
  })()
  return await backup
}

/** A cluster whose nodes each have a file that tells them apart, and a backup where an operator has it. */
async function makeCluster(t: Test) {
  const cluster = await FakeKubernetes.make(t, claims)
  for (const claim of claims) {
    await mkdir(join(cluster.claim(claim), 'node'))
    await writeFile(join(cluster.claim(claim), 'node', 'own'), claim)
  }
  const sound = await aBackup(t)
  await writeFile(join(cluster.directory, 'a.backup'), sound)
  const restore = async (words = '', environment = {}) =>
    await cluster.run(`sh deploy/kubernetes/volumes/restore.sh ${words} store a.backup`, environment)
  /** Each node has what it had, in its place. */
  const isUntouched = (): boolean =>
    claims.every((claim) => {
      return readFileSync(join(cluster.claim(claim), 'node', 'own'), 'utf8') === claim
    })
  return { cluster, sound, restore, isUntouched }
}

t.test('a restore on Kubernetes: every volume has the state of the backup, and the way back', async (t) => {
  const { cluster, restore } = await makeCluster(t)
  const done = await restore()
  t.equal(done.code, 0, done.err)
  t.equal(cluster.state('replicas'), '3\n', 'the nodes run again')
  t.same(await readdir(join(cluster.directory, 'state', 'pods')), [], 'no pod is left')
  t.equal(cluster.state('images'), 'there/quorate:1\n'.repeat(3), 'the image is that of the nodes')
  const [container] = statefulSet().template.spec.containers
  const round = /in \/data\/before-(\d+) on/.exec(done.out)?.[1] ?? ''
  const ids = new Set<string>()
  for (const [at, claim] of claims.entries()) {
    t.same((await readdir(cluster.claim(claim))).toSorted(), [`before-${round}`, 'node'])
    t.same(await readdir(join(cluster.claim(claim), `before-${round}`)), ['own'], 'what was there is kept')
    const { QUORATE_RAFT_ADVERTISE: raft, QUORATE_API_ADVERTISE: api } = variablesOf(container, at + 1)
    t.match(done.out, `${at + 1} at ${raft} and http://${api}`, 'where the pods say that they are')
    const found = await cluster.run(`quorate recover --data-dir '${cluster.claim(claim)}/node'`)
    t.match(found.out, new RegExp(`node +${at + 1} `), 'it is the directory of that node')
    ids.add(/cluster +(\S+)/.exec(found.out)?.[1] ?? '')
  }
  t.equal(ids.size, 1, 'they are one cluster')
  const token = variablesOf(container, 1)['QUORATE_CLUSTER_TOKEN']
  t.match(cluster.state('calls'), `--cluster-token ${token} --name ${round}`, 'the nodes are started with this token')

  const [wayBack = ''] = /^The way back, [^:]*: (.*)$/m.exec(done.out)?.slice(1) ?? []
  const undone = await cluster.run(wayBack)
  t.equal(undone.code, 0, undone.err)
  const again = await cluster.run(wayBack)
  t.match(again, { code: 1, err: /no volume has anything of restore \d+. Start the nodes as they were: kubectl scale/ })
  t.equal(cluster.state('replicas'), '0\n', 'nodes of which nothing is known are not started')
  for (const claim of claims) {
    t.same(await readdir(cluster.claim(claim)), ['node'])
    t.same(await readdir(join(cluster.claim(claim), 'node')), ['own'])
  }
})

t.test('a restore on Kubernetes: the commands of the page, and what was there is removed in the end', async (t) => {
  const { cluster, sound } = await makeCluster(t)
  await writeFile(join(cluster.directory, 'deploy/kubernetes/2026-01-31.backup'), sound)
  const restore = block(OPERATIONS, 'Restore on Kubernetes', 1)
  const remove = block(OPERATIONS, 'Restore on Kubernetes', 2)
  const restored = await cluster.run(restore)
  t.equal(restored.code, 0, restored.err)
  for (const claim of claims) t.match((await readdir(cluster.claim(claim))).toSorted(), [/^before-\d+$/, 'node'])
  // Commands in pods are run now, and not only let be.
  await cluster.set('servers', '')
  const removed = await cluster.run(remove)
  t.equal(removed.code, 0, removed.err)
  for (const claim of claims) t.same(await readdir(cluster.claim(claim)), ['node'])
})

t.test('a restore on Kubernetes: no machine for a volume, and files of no use, change nothing', async (t) => {
  const { cluster, sound, restore, isUntouched } = await makeCluster(t)
  t.match(await restore('--nodes 4'), { code: 1, err: /^--nodes 4: there are 3 nodes; nothing was changed\n/ })
  t.equal(cluster.state('replicas'), '3', 'the nodes were not stopped for it')
  await cluster.set('replicas', '4')
  const four = await restore()
  t.match(four, {
    code: 1,
    err: /claim data-quorate-4 does not run after [1-3] s[^]*FailedScheduling: persistentvolumeclaim not found[^]*nothing was changed. Start the nodes as they were: kubectl scale --namespace store statefulset\/quorate --replicas 4; the nodes stay stopped\n/,
  })
  t.notMatch(cluster.state('calls'), /exec -i/, 'nothing was sent to the other volumes')
  t.same(await readdir(join(cluster.directory, 'state', 'pods')), [])

  t.match(await restore(), { code: 1, err: /the nodes are stopped: say how many there are with --nodes/ })
  await writeFile(join(cluster.directory, 'a.backup'), sound.subarray(0, sound.length - 9))
  const cut = await restore('--nodes 3')
  t.equal(cut.code, 1)
  t.match(cut.err, /it is cut off[^]*node 1 was not restored, and nothing was changed on any node/)
  await writeFile(join(cluster.directory, 'a.backup'), sound)
  // The second volume has no room: the connection to it ends early.
  await cluster.set('hook-exec', 'case "$1 $2" in data-quorate-2*" restore -"*) exit 1 ;; esac')
  t.match(await restore('--nodes 3'), { code: 1, err: /node 2 was not restored, and nothing was changed on any node/ })
  await cluster.set('hook-exec', null)
  await cluster.set('hook-scale', 'echo 3 > replicas')
  await cluster.set('stubborn', '')
  t.match(await restore('--nodes 3'), { code: 1, err: /still there: pod\/quorate-2/ })
  t.ok(isUntouched())
  t.equal(cluster.state('replicas'), '3\n')

  await writeFile(join(cluster.directory, 'empty'), '')
  const calls = cluster.state('calls')
  const usage = [
    'store',
    'store empty',
    'store .',
    'store none',
    '--nodes x store a.backup',
    '--undo 7x store',
    '--rubbish',
  ]
  for (const words of usage) {
    const ran = await cluster.run(`sh deploy/kubernetes/volumes/restore.sh ${words}`)
    t.match(ran, { code: 1, err: /^restore\.sh: [^]*\nusage: / }, words)
  }
  t.equal(cluster.state('calls'), calls, 'the nodes were not stopped for it')
})

t.test('a restore on Kubernetes that ends between two volumes is set back', async (t) => {
  const { cluster, restore, isUntouched } = await makeCluster(t)
  await cluster.set('hook-exec', 'case "$1 $2" in data-quorate-2*"-- take "*) exit 1 ;; esac')
  const half = await restore()
  t.match(half, { code: 1, err: /node 2 was not changed, and the nodes before it were; the nodes stay stopped/ })
  t.equal(cluster.state('replicas'), '0\n')
  t.notSame(await readdir(join(cluster.claim('data-quorate-1'), 'node')), ['own'], 'node 1 has the state of the backup')
  await cluster.set('hook-exec', null)
  const mixed =
    /a restore was interrupted, and nodes may have different states: first set all of them back with --undo \d+/
  t.match(await restore('--nodes 3'), { code: 1, err: mixed }, 'no other restore')
  const other = await cluster.run('sh deploy/kubernetes/volumes/restore.sh --nodes 3 --undo 7 store')
  t.match(other, { code: 1, err: mixed }, 'no way back from another restore')
  t.equal(cluster.state('replicas'), '0\n')
  const [wayBack = ''] = /This sets all nodes back: (.*)$/m.exec(half.err)?.slice(1) ?? []
  const undone = await cluster.run(wayBack)
  t.equal(undone.code, 0, undone.err)
  t.ok(isUntouched())
  t.equal(cluster.state('replicas'), '3\n')

  // A signal while the volumes are changed.
  await cluster.set('hook-exec', 'case "$1 $2" in data-quorate-2*"-- take "*) kill -TERM "$(cat restoring)" ;; esac')
  const script = 'deploy/kubernetes/volumes/restore.sh'
  const stopped = await cluster.run(`sh -c 'echo $$ > state/restoring; exec sh ${script} store a.backup'`)
  t.match(stopped, {
    code: 143,
    err: /this ended early; the nodes stay stopped. This sets all nodes back: sh .* --undo/,
  })
  await cluster.set('hook-exec', null)
  t.equal((await cluster.run(/This sets all nodes back: (.*)$/m.exec(stopped.err)?.[1] ?? 'false')).code, 0)
  t.ok(isUntouched())

  // Killed between its two renames: the node has no data in its place.
  const claim = cluster.claim('data-quorate-3')
  await cluster.run(`mv '${claim}/node' '${claim}/before-7'`)
  t.match(await restore(), { code: 1, err: /first set it back with --undo 7\n/ })
  t.equal((await cluster.run('sh deploy/kubernetes/volumes/restore.sh --nodes 3 --undo 7 store')).code, 0)
  t.ok(isUntouched())
})

t.test('commands on a claim: files of the backups come and go as the page says', async (t) => {
  const cluster = await FakeKubernetes.make(t, [...claims, 'quorate-backups'])
  const sound = await aBackup(t)
  await writeFile(join(cluster.claim('quorate-backups'), '2026-01-31.backup'), sound)
  for (const commands of blocksBelow(OPERATIONS, 'Backups of Kubernetes in and out')) {
    const ran = await cluster.run(commands)
    t.equal(ran.code, 0, ran.err)
  }
  t.same(await readFile(join(cluster.directory, 'deploy/kubernetes/2026-01-31.backup')), sound)
  t.same((await readdir(cluster.claim('quorate-backups'))).toSorted(), ['2026-01-31.backup', 'from-elsewhere.backup'])
  t.same(await readdir(join(cluster.directory, 'state', 'pods')), [])

  const onClaim = async (words: string) => await cluster.run(`sh deploy/kubernetes/volumes/on-claim.sh ${words}`)
  const verified = await onClaim('store quorate-backups quorate backup verify /data/none')
  t.equal(verified.code, exitCodes.usage, 'the code is that of the command')
  t.match(await onClaim('store none ls'), { code: 1, err: /claim none does not run after/ })
  await cluster.set('pods/quorate-on-quorate-backups', 'quorate-backups')
  t.match(await onClaim('store quorate-backups ls'), {
    code: 1,
    err: /already exists[^]*kubectl delete pod --namespace store/,
  })
  t.equal(cluster.state('pods/quorate-on-quorate-backups'), 'quorate-backups', 'that of somebody else stays')
  t.match(await onClaim('store quorate-backups'), { code: 1, err: /^usage: on-claim\.sh/ })
})

/** Whether the directory of node `id` is there, and what `quorate recover` says of it. */
async function recoveryOf(cluster: FakeKubernetes, id: number): Promise<string> {
  return (await cluster.run(`quorate recover --data-dir '${cluster.claim(`data-quorate-${id}`)}/node'`)).out
}

t.test('a recovery on Kubernetes, as the page has it: one survivor is a cluster, the others are empty', async (t) => {
  const { cluster, restore } = await makeCluster(t)
  t.equal((await restore()).code, 0)
  const commands = (nth: number): string => block(OPERATIONS, 'Recover on Kubernetes and in containers', nth)
  const looked = await cluster.run(commands(1))
  t.equal(looked.code, 0, looked.err)
  t.equal(looked.out.match(/^voters +1, 2, 3$/gm)?.length, 2, 'two are left to look at')
  t.match(await recoveryOf(cluster, 3), /To do it: quorate recover/)
  const recovered = await cluster.run(`cd deploy/kubernetes\n${commands(2)}`)
  t.equal(recovered.code, 0, recovered.err)
  t.equal(cluster.state('replicas'), '3\n')
  t.match(await recoveryOf(cluster, 2), /Node 2 is already a cluster of its own/)
  t.notOk((await readdir(cluster.claim('data-quorate-3'))).includes('node'))
  t.same((await readdir(join(cluster.directory, 'state', 'claims'))).toSorted(), claims.slice(1), 'a new claim is made')

  // Every port is free in a network of its own.
  const alone = networkOfItsOwn(t)
  if (alone === null) return
  await mkdir(cluster.claim('data-quorate-1'))
  await mkdir(join(cluster.claim('data-quorate-1'), 'node'))
  await mkdir(join(cluster.claim('data-quorate-3'), 'node'))
  await writeFile(join(cluster.directory, 'block'), `set -eu\n${commands(3)}`)
  const words = alone.map((word) => `'${word}'`).join(' ')
  // The time of the stand-in for pods would count for the node as well, which is a real one.
  const reset = await cluster.run(`READY_WITHIN=600 ${words} bash block`)
  t.equal(reset.code, 0, reset.err)
  const token = await readFile(join(cluster.directory, 'deploy/kubernetes/admin.token'), 'utf8')
  t.match(token, /^\S{30,}\n$/, 'the token and nothing else')
  const wiped = (await readdir(cluster.claim('data-quorate-3'))).filter((name) => name.startsWith('wiped-'))
  t.equal(wiped.length, 2, 'what a node had is kept apart from what it had before')
  const node = await startTestNode(t, 2, join(cluster.claim('data-quorate-2'), 'node'))
  const cli = async (line: string, environment: Record<string, string>) =>
    await runCli(line.split(' '), { environment: { QUORATE_SERVER: node.addresses.api, ...environment } })
  t.match(await cli('kv get a', {}), { code: exitCodes.requestFailed }, 'there are tokens again')
  t.match(await cli('kv get a', { QUORATE_TOKEN: token.trim() }), { code: 0, out: /^b/ }, 'and the data')
  t.match(await cluster.run('sh deploy/container/reset-auth.sh'), {
    code: 1,
    err: /^usage: reset-auth\.sh ID DIRECTORY/,
  })
})

/** Feeds `reset-auth.sh` to a shell that reads it as it goes, in front of a program that takes all of its standard input. */
async function resetByInput(t: Test, { isReady, seconds }: { readonly isReady: boolean; readonly seconds: number }) {
  const directory = await temporaryDirectory(t)
  const program = [
    '#!/bin/sh',
    'cat > /dev/null',
    'case $1 in',
    '  serve) echo $$ > node && exec sleep 600 ;;',
    // A busy machine may run this before what was started first.
    `  check) test -s node && exit ${isReady ? 0 : 1} ;;`,
    '  auth) echo a token ;;',
    'esac',
  ]
  await writeFile(join(directory, 'quorate'), `${program.join('\n')}\n`, { mode: 0o755 })
  const ran = spawnSync('bash', ['-s', '--', '2', '/data'], {
    cwd: directory,
    input: await readFile('deploy/container/reset-auth.sh'),
    env: { PATH: `${directory}:${process.env['PATH'] ?? ''}`, READY_WITHIN: String(seconds) },
    encoding: 'utf8',
    timeout: 120_000,
  })
  const node = Number(await readFile(join(directory, 'node'), 'utf8'))
  let isLeft = true
  try {
    process.kill(node, 0)
  } catch {
    isLeft = false
  }
  return { code: ran.status, out: ran.stdout, err: ran.stderr, isLeft }
}

t.test('reset-auth.sh is not eaten by its commands, and does not wait for a node without an end', async (t) => {
  t.same(await resetByInput(t, { isReady: true, seconds: 60 }), { code: 0, out: 'a token\n', err: '', isLeft: false })
  const late = await resetByInput(t, { isReady: false, seconds: 1 })
  t.match(late, { code: 1, out: '', err: /not ready after 1 s, and is stopped; there is no token yet\. READY_WITHIN/ })
  t.notOk(late.isLeft, 'the node is stopped')
})
