import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { missing } from '../support/missing.ts'
import { TestCluster } from './support/cluster.ts'
import { runCommand } from './support/run-command.ts'

// The built program, as users run it: `npm test` builds first.
const root = fileURLToPath(new URL('../../', import.meta.url))
const nodeVersions = [20, 22, 24]

/** The Node of this process, or one that its npm package brings, kept for later runs. A text is the reason why there is none. */
async function nodeOf(t: Test, major: number): Promise<{ readonly path: string } | string> {
  if (process.versions.node.startsWith(`${major}.`)) return { path: process.execPath }
  const name = `node-${process.platform}-${process.arch}`
  const prefix = join(root, 'node_modules', '.cache', 'quorate', `node-${major}`)
  const path = join(prefix, 'node_modules', name, 'bin', 'node')
  if (!existsSync(path)) {
    await mkdir(prefix, { recursive: true })
    const flags = ['--prefix', prefix, '--no-save', '--no-audit', '--ignore-scripts', '--prefer-offline']
    // Where the registry is may stand in the environment. tap's hooks do too, and are kept from npm.
    const environment = { ...process.env, NODE_OPTIONS: '' }
    const fetched = await runCommand(t, ['npm', 'install', ...flags, '--fetch-retries=0', `${name}@${major}`], {
      environment,
    })
    if (fetched.code !== 0 || !existsSync(path)) return `no Node ${major} here, and npm could not fetch ${name}`
  }
  return { path }
}

for (const major of nodeVersions) {
  t.test(`a cluster on Node ${major}: it forms, and a node that was killed comes back`, async (t) => {
    const node = await nodeOf(t, major)
    if (typeof node === 'string') return missing(t, 'a registry', node)
    await expectCluster(t, [node.path, join(root, 'dist', 'main.js')], major)
  })
}

async function expectCluster(t: Test, command: readonly string[], major: number): Promise<void> {
  const cluster = await TestCluster.formed(t, { size: 3, command })
  const { client } = cluster.node(1)
  t.match((await client.get('/version')).json<{ node: string }>().node, new RegExp(`^v${major}\\.`))
  t.equal((await client.putKey('before', 'kept')).status, 200)
  t.equal((await cluster.node(2).client.getKey('before')).text, 'kept', 'read on another node')

  const victim = await cluster.leader()
  await victim.kill()
  const [other] = cluster.running
  if (other === undefined) throw new Error('nobody runs')
  await cluster.untilReady()
  t.equal((await other.client.putKey('during', 'kept too')).status, 200)
  await victim.start()
  await cluster.untilReady()
  for (const [key, value] of [
    ['before', 'kept'],
    ['during', 'kept too'],
  ] as const) {
    t.equal((await victim.client.getKey(key)).text, value, `${key}, read on the node that was killed`)
  }
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, 'all hold the same')
  for (const node of cluster.nodes) t.equal((await node.stop()).code, 0)
}
