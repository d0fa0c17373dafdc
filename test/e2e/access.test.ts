import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { exitCodes } from '../../src/cli/terminal.ts'
import { ProblemError, QuorateClient } from '../../src/client/index.ts'
import { block } from '../documents/blocks.ts'
import { authority, issue, writePems, type PemFiles } from '../support/certificates.ts'
import { prints, runCli, type Ran } from '../support/run-cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { patientElections, TestCluster } from './support/cluster.ts'
import { builtProgram, type NodeProcess } from './support/node-process.ts'
import { RestClient } from './support/rest-client.ts'
import { runCommand } from './support/run-command.ts'

/** Makes the first token of a cluster, and returns the file that has it. */
async function bootstrapped(t: Test, directory: string, words: readonly string[]): Promise<string> {
  const ran = await runCli(['auth', 'bootstrap', ...words])
  t.equal(ran.code, 0, ran.err)
  const path = join(directory, 'admin.token')
  await writeFile(path, ran.out)
  return path
}

t.test('a client certificate in place of a token, over three nodes and the command line', async (t) => {
  const directory = await temporaryDirectory(t)
  const [{ cert: ca }, clients] = await Promise.all([authority(), authority('CA of clients')])
  const filesOf = async (commonName: string): Promise<PemFiles> =>
    await writePems(join(directory, commonName), await issue({ commonName, hosts: [] }, clients), ca)
  const [node, build, other] = await Promise.all([
    writePems(join(directory, 'nodes'), await issue(), clients.cert),
    filesOf('build.example'),
    filesOf('other.example'),
  ])
  const flags = [...patientElections, '--tls-cert', node.cert, '--tls-key', node.key, '--tls-client-ca', node.ca]
  const [cert, key] = await Promise.all([build.cert, build.key].map(async (path) => await readFile(path, 'utf8')))
  const mine = { ca, cert: cert ?? '', key: key ?? '' }
  const cluster = await TestCluster.formed(t, { size: 3, flags, tls: mine })
  const shows = ({ cert, key }: PemFiles): string[] => ['--ca', build.ca, '--cert', cert, '--key', key]
  const at = ({ addresses }: NodeProcess): string[] => ['--server', addresses.api]

  await t.test('without a certificate nothing is answered, and the reason is told', async (t) => {
    for (const one of cluster.nodes) {
      for (const words of [
        ['kv', 'put', 'a', 'b'],
        ['check', 'health'],
      ]) {
        const ran = await runCli([...words, ...at(one), '--ca', build.ca])
        t.equal(ran.code, exitCodes.requestFailed)
        t.match(`${ran.out}${ran.err}`, /clients have to show a certificate here, and this one showed none/)
      }
    }
  })

  await t.test('with one, by flags or by variables', async (t) => {
    const environment = { QUORATE_CA: build.ca, QUORATE_CERT: build.cert, QUORATE_KEY: build.key }
    for (const one of cluster.nodes) {
      for (const probe of [[], ['--ready']]) {
        const { api } = one.addresses
        const byFlags = await runCli(['check', 'health', ...probe, ...at(one), ...shows(build)])
        prints(t, byFlags, `${api}: ok\n`)
        const byVariables = await runCli(['check', 'health', ...probe, ...at(one)], { environment })
        prints(t, byVariables, `${api}: ok\n`)
      }
      t.equal((await runCli(['kv', 'put', 'open', 'x', ...at(one), ...shows(build)])).code, 0)
      t.equal((await runCli(['kv', 'get', 'open', ...at(one)], { environment })).out, 'x')
    }
    const whole = await runCli(['check', 'health', '--cluster', ...at(cluster.node(1)), ...shows(build)])
    t.equal(whole.code, 0, `${whole.out}${whole.err}`)
  })

  await t.test('it stands for a token until that is revoked, and then on no node any more', async (t) => {
    const asOther = [...at(await cluster.leader()), ...shows(other)]
    const admin = await bootstrapped(t, directory, asOther)
    cluster.token = (await readFile(admin, 'utf8')).trim()
    const run = async (...words: string[]): Promise<Ran> => await runCli([...words, ...asOther, '--token-file', admin])
    const put = async (one: NodeProcess, name: string, files = build): Promise<Ran> =>
      await runCli(['kv', 'put', name, 'x', ...at(one), ...shows(files)])
    for (const one of cluster.nodes) t.match(await put(one, 'app/a'), { code: 5, err: /unauthenticated/ })

    t.equal((await run('auth', 'role', 'put', 'app', '--grant', 'read-write:prefix=app/')).code, 0)
    const created = ['auth', 'token', 'create', 'build', '--role', 'app', '--certificate-name', 'build.example']
    const made = await run(...created)
    const id = /^token (\d+) of build: certificates with the name build\.example stand for it\n$/.exec(made.out)?.[1]
    t.ok(id !== undefined, made.out + made.err)
    const kept: QuorateClient[] = []
    for (const one of cluster.nodes) {
      t.match(await put(one, `app/${one.id}`), { code: 0, err: '' })
      t.match(await put(one, 'other'), { code: 5, err: /forbidden/ })
      t.match(await put(one, 'app/a', other), { code: 5, err: /unauthenticated/ }, 'other names stand for nothing')
      t.match((await runCli(['auth', 'self', ...at(one), ...shows(build)])).out, /^token \d+ of build\n/)
      const client = new QuorateClient({ servers: [one.addresses.api], retry: false, tls: mine })
      t.teardown(() => client.close())
      t.equal((await client.get('app/1'))?.text, 'x')
      kept.push(client)
    }

    t.equal((await run('auth', 'token', 'revoke', id ?? '')).code, 0)
    for (const client of kept) {
      const refused = await client.put('app/a', 'x').catch((error: unknown) => error)
      t.equal(refused instanceof ProblemError ? refused.code : refused, 'unauthenticated', 'on a kept connection')
    }
    for (const one of cluster.nodes) {
      t.match(await put(one, 'app/a'), { code: 5, err: /unauthenticated/ })
      t.equal((await runCli(['check', 'health', ...at(one), ...shows(build)])).code, 0, 'probes need no token')
    }
    t.equal((await run('kv', 'get', 'app/a')).code, exitCodes.keyNotFound, 'nothing of what was refused is there')
  })
})

t.test('the token that the document makes for Prometheus opens the metrics, and nothing else', async (t) => {
  const directory = await temporaryDirectory(t)
  const cluster = await TestCluster.formed(t, { size: 1 })
  const { api } = cluster.node(1).addresses
  const tokenFile = await bootstrapped(t, directory, ['--server', api])
  const installed = join(directory, 'etc-prometheus-quorate.token')
  const script = block('docs/OPERATIONS.md', 'Prometheus and Grafana')
  const program = builtProgram.map((word) => `'${word}'`).join(' ')
  const stand = `quorate() { ${program} "$@"; }
sudo() {
  test "$*" = 'install -m 0640 -g prometheus quorate.token /etc/prometheus/quorate.token'
  install -m 0640 quorate.token '${installed}'
}`
  const ran = await runCommand(t, ['bash', '-euo', 'pipefail', '-c', `${stand}\n${script}`], {
    cwd: directory,
    environment: { QUORATE_SERVER: api, QUORATE_TOKEN_FILE: tokenFile },
  })
  t.equal(ran.code, 0, `${ran.out}${ran.err}`)
  t.equal((await stat(installed)).mode & 0o777, 0o640)
  await t.rejects(stat(join(directory, 'quorate.token')), { code: 'ENOENT' }, 'no copy of it is left')

  const client = new RestClient(api)
  t.teardown(async () => client.close())
  // Prometheus takes the space around it away.
  const headers = { authorization: `Bearer ${(await readFile(installed, 'utf8')).trim()}` }
  t.equal((await client.get('/metrics')).status, 401)
  const scraped = await client.get('/metrics', headers)
  t.equal(scraped.status, 200)
  t.match(scraped.text, /^quorate_/m)
  t.equal((await client.getKey('a', { headers })).status, 403)
  t.equal((await client.putKey('a', 'b', { headers })).status, 403)
})
