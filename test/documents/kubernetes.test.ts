import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { FakeKubernetes } from '../support/fake-kubernetes.ts'
import { runCli } from '../support/run-cli.ts'
import { startTestNode } from '../support/test-node.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { block } from './blocks.ts'
import { OPERATIONS } from './machine.ts'

/** Starts nodes of one cluster, to which the commands in pods speak; those of `learners` are added behind the voters. */
async function startNodes(t: Test, voters: number, learners = 0): Promise<readonly string[]> {
  const directory = await temporaryDirectory(t)
  const ids = Array.from({ length: voters + learners }, (_, at) => at + 1)
  const nodes = []
  for (const id of ids) nodes.push(await startTestNode(t, id, join(directory, String(id))))
  const members = nodes.map(({ addresses: { api, raft } }, at) => `${at + 1},${raft},${api}`)
  const [server = ''] = nodes.map(({ addresses }) => addresses.api)
  const cli = async (words: readonly string[]): Promise<void> => {
    const ran = await runCli(words, { environment: { QUORATE_SERVER: server } })
    if (ran.code !== 0) throw new Error(`${words.join(' ')}: ${ran.err}`)
  }
  await cli(['cluster', 'initialize', ...members.slice(0, voters).flatMap((member) => ['--member', member])])
  for (const at of ids.slice(voters)) {
    const { raft, api } = nodes[at - 1]?.addresses ?? { raft: '', api: '' }
    await cli(['cluster', 'add-learner', String(at), '--raft', raft, '--api', api])
  }
  return nodes.map(({ addresses }) => addresses.api)
}

t.test('Kubernetes: a cluster is made, grows, shrinks and loses a volume as the page says', async (t) => {
  const claims = [1, 2, 3, 4, 5].map((id) => `data-quorate-${id}`)
  const cluster = await FakeKubernetes.make(t, claims)
  const servers = await startNodes(t, 3, 2)
  await cluster.set('servers', `${servers.join('\n')}\n`)
  const [make = '', oneMachine = '', more = '', fewer = '', drained = ''] = [1, 2, 3, 4, 5].map((nth) =>
    block(OPERATIONS, 'On Kubernetes', nth),
  )
  const run = async (lines: string, inside = 'cd deploy/kubernetes\n'): Promise<string> => {
    const ran = await cluster.run(`${inside}${lines}`)
    t.equal(ran.code, 0, `${lines}${ran.out}${ran.err}`)
    return ran.out
  }
  t.match(await run(make, ''), /voters +1, 2, 3\n/)
  t.match(cluster.state('applied'), 'registry.example/quorate:0.1.0')
  await run(oneMachine)
  t.match(cluster.state('applied'), /one-machine|preferredDuringScheduling/)
  await run(more)
  t.match(cluster.state('replicas'), /^5\n/)
  t.match((await runCli(['cluster', 'status', '--server', servers[0] ?? ''])).out, /voters +1, 2, 3, 4, 5\n/)
  await run(fewer)
  t.match(cluster.state('replicas'), /^3\n/)
  t.same((await readdir(cluster.claim(''))).toSorted(), claims.slice(0, 3), 'the claims of those that went are gone')
  t.match(await run(drained), /voters +1, 3\n/, 'node 2 counts no more, and may join again')
  t.same((await readdir(cluster.claim(''))).toSorted(), [claims[0], claims[2]])
})

t.test('Kubernetes: the secret of the certificates has the files that commands in a pod name', async (t) => {
  const cluster = await FakeKubernetes.make(t, ['data-quorate-1'])
  const certificates = [
    block(OPERATIONS, 'Make certificates', 1),
    block(OPERATIONS, 'Names in certificates on Kubernetes', 1),
  ]
  const made = await cluster.run(`${certificates.join('\n')}\ncp *.pem '${cluster.directory}'\ncd / && rm -r "$P"`)
  t.equal(made.code, 0, made.err)
  const [cert, key] = ['pods.pem', 'pods-key.pem'].map((name) => join(cluster.directory, name))
  const flags = ['--tls-cert', cert ?? '', '--tls-key', key ?? '']
  const node = await startTestNode(t, 1, join(cluster.claim('data-quorate-1'), 'node'), flags)
  const server = node.addresses.api
  const ca = join(cluster.directory, 'ca.pem')
  t.equal((await runCli(['cluster', 'initialize', '--server', server, '--ca', ca])).code, 0)
  await cluster.set('servers', `${server}\n`)
  const ran = await cluster.run(block(OPERATIONS, 'Names in certificates on Kubernetes', 2))
  t.equal(ran.code, 0, ran.err)
  t.match(ran.out, /voters +1\n/)
})

t.test('Kubernetes: the operator of Prometheus gets the token, the pods and the rules', async (t) => {
  const cluster = await FakeKubernetes.make(t, [])
  await writeFile(join(cluster.directory, 'quorate.token'), 'a-token\n')
  const ran = await cluster.run(block(OPERATIONS, 'Prometheus and Grafana', 2))
  t.equal(ran.code, 0, ran.err)
  t.equal(cluster.state('secrets/quorate-metrics/token'), 'a-token', 'the token and nothing else')
  const rule = parse(cluster.state('applied-stdin') ?? '') as { kind: string; spec: object }
  t.equal(rule.kind, 'PrometheusRule')
  const rules = parse(await readFile(join(cluster.directory, 'deploy/prometheus/alerts.yml'), 'utf8')) as object
  t.same(rule.spec, rules, 'with the rules of the file')
  t.match(parse(cluster.state('applied-pod-monitor.yaml') ?? ''), { kind: 'PodMonitor' })
})

t.test('Kubernetes: backups are taken every night', async (t) => {
  const cluster = await FakeKubernetes.make(t, [])
  const home = join(cluster.directory, 'home')
  await mkdir(home)
  await writeFile(join(home, 'backup.token'), 'a-token\n')
  const ran = await cluster.run(block(OPERATIONS, 'Every night', 3), { HOME: home })
  t.equal(ran.code, 0, ran.err)
  t.equal(cluster.state('secrets/quorate-backup/token'), 'a-token')
  t.match(cluster.state('applied'), /kind: CronJob/)
  t.match(cluster.state('calls'), /wait .*job\/first-backup\nlogs /)
})
