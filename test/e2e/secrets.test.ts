import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { newTokenSecret } from '../../src/client/index.ts'
import { authority, issue, writePems } from '../support/certificates.ts'
import { filesBelow } from '../support/files-below.ts'
import { runCli, type Ran } from '../support/run-cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { patientElections, TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import type { NodeProcess } from './support/node-process.ts'

t.test(
  'no secret is in a log, metric, error, file, snapshot or backup of a cluster that tells all it can',
  async (t) => {
    const directory = await temporaryDirectory(t)
    const ca = (await authority()).cert
    const { cert, key, ca: caFile } = await writePems(directory, await issue(), ca)
    const [proof, clusterToken] = [newTokenSecret(), randomBytes(24).toString('hex')]
    const proofFile = join(directory, 'proof')
    await writeFile(proofFile, proof)
    const tls = ['--tls-cert', cert, '--tls-key', key]
    const peerTls = ['--peer-tls-cert', cert, '--peer-tls-key', key, '--peer-tls-ca', caFile]
    const secret = ['--cluster-token', clusterToken, '--auth-bootstrap-file', proofFile]
    // Every request is a slow one.
    const talkative = ['--log-level', 'debug', '--slow-request', '1ms']
    const flags = [...tls, ...peerTls, ...secret, ...talkative, ...patientElections]
    const cluster = await TestCluster.formed(t, { size: 3, flags, tls: { ca } })
    const leader = await cluster.leader()
    const [follower = leader] = cluster.others(leader.id)

    const said: string[] = []
    const run = async (node: NodeProcess, token: string, ...words: string[]): Promise<Ran> => {
      const environment = { QUORATE_TOKEN: token, QUORATE_CA: caFile }
      return await runCli([...words, '--server', node.addresses.api], { environment })
    }
    const note = async (node: NodeProcess, token: string, ...words: string[]): Promise<number> => {
      const { code, out, err } = await run(node, token, ...words)
      said.push(out, err)
      return code
    }
    const made = await run(follower, '', 'auth', 'bootstrap', '--secret-file', proofFile)
    t.equal(made.code, 0, made.err)
    const admin = made.out.trim()
    cluster.token = admin
    const authorization = `Bearer ${admin}`
    t.equal(await note(follower, admin, 'auth', 'role', 'put', 'app', '--grant', 'read-write:prefix=a/'), 0)
    const created = await run(follower, admin, 'auth', 'token', 'create', 'web', '--role', 'app')
    t.equal(created.code, 0, created.err)
    const app = created.out.trim()

    await t.test('each node is asked for all kinds of things, with right and wrong tokens', async (t) => {
      for (const node of cluster.nodes) {
        t.equal(await note(node, app, 'kv', 'put', `a/${node.id}`, 'v'), 0)
        t.equal(await note(node, app, 'kv', 'get', `a/${node.id}`), 0)
        t.not(await note(node, app, 'kv', 'put', 'b', 'v'), 0)
        t.not(await note(node, `${app}x`, 'kv', 'get', 'a/1'), 0)
        t.equal(await note(node, admin, 'auth', 'token', 'list', '--json'), 0)
        t.not(await note(node, admin, 'auth', 'bootstrap', '--secret-file', proofFile), 0)
        for (const header of [`Basic ${app}`, `Bearer  ${app} ${app}`, `Bearer ${app}${'x'.repeat(20_000)}`])
          said.push((await node.client.getKey('a/1', { headers: { authorization: header } })).text)
      }
    })

    await t.test('a snapshot goes to a new node, and a backup to a file', async (t) => {
      for (const node of cluster.nodes) {
        const purged = await node.client.request('POST', '/cluster/purge', { headers: { authorization } })
        t.equal(purged.status, 200, purged.summary)
      }
      const added = await cluster.add()
      await added.start()
      const { raft, api } = added.addresses
      t.equal(
        await note(leader, admin, 'cluster', 'add-learner', '4', '--raft', raft, '--api', api),
        0,
        said.at(-1) ?? '',
      )
      await eventually('the new node has installed a snapshot', () =>
        added.process.output.includes('snapshot installed') ? true : null,
      )
      t.equal(await note(follower, admin, 'backup', join(directory, 'state.backup')), 0, said.at(-1) ?? '')
      t.equal(await note(follower, admin, 'diagnose', join(directory, 'diagnose.tar.gz')), 0, said.at(-1) ?? '')
    })

    for (const { client } of cluster.nodes) {
      for (const path of ['/metrics', '/cluster', '/diagnostics', '/auth/tokens', '/auth/roles'])
        said.push((await client.get(path, { authorization })).text)
    }
    const hash = createHash('sha256').update(app).digest()
    for (const { id, directory: data } of cluster.nodes) {
      const files = [...(await filesBelow(data)).values()]
      t.ok(
        files.some((bytes) => bytes.includes(hash)),
        `what is looked for in the files of node ${id} would be found there`,
      )
    }
    const places = new Map(await filesBelow(cluster.directory))
    places.set('the backup', await readFile(join(directory, 'state.backup')))
    places.set('the archive', gunzipSync(await readFile(join(directory, 'diagnose.tar.gz'))))
    places.set('what clients were told', Buffer.from(said.join('\n')))
    for (const { id, process } of cluster.nodes)
      places.set(`the log of node ${id}`, Buffer.from(process.output + process.errors))
    const privateKey = (await readFile(key, 'utf8')).split('\n')[2] ?? ''
    t.match(privateKey, /^[\w+/]{32,}$/, 'a line in the middle of the key')
    for (const [place, bytes] of places) {
      // A piece of one would be as bad.
      for (const [what, secret] of Object.entries({ admin, app, proof, clusterToken, privateKey }))
        t.notOk(bytes.includes(secret.slice(8, 24)), `${what} in ${place}`)
    }
    const logs = cluster.nodes.map(({ process }) => process.output).join('')
    for (const told of ['"slow request"', '"level":20', '"audit":{"operation":"createToken"'])
      t.ok(logs.includes(told), `the logs have ${told}`)
  },
)
