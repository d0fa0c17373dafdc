import { unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { readAtMost } from '../../src/config/bounded-file.ts'
import { platformLookups } from '../../src/discovery/platform.ts'
import { createDiscovery, type SourceDependencies } from '../../src/discovery/sources.ts'
import { reachable } from '../../src/lib/host-port.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const nothing = new Error('nobody should ask for this')

function parseAddress(text: string): string | null {
  const parsed = reachable(text)
  return parsed.ok ? parsed.value : null
}

function lookups(changes: Partial<SourceDependencies> = {}): SourceDependencies {
  return {
    resolveHost: () => Promise.reject(nothing),
    resolveService: () => Promise.reject(nothing),
    readFile: () => Promise.reject(nothing),
    parseAddress,
    addressesMax: 4,
    ...changes,
  }
}

t.test('a static list is what it is, sorted, and asks nobody', async (t) => {
  const discovery = createDiscovery({ kind: 'static', addresses: ['c:1', 'a:1', 'b:1'] }, lookups())
  t.same(await discovery.lookUp(), { addresses: ['a:1', 'b:1', 'c:1'], problem: null })
})

t.test('the addresses of a name, IPv4 and IPv6, each with the port, as they are at the time', async (t) => {
  let hosts = ['10.0.0.2', '10.0.0.1', 'fd00::1', '10.0.0.2']
  const asked: string[] = []
  const resolveHost = async (name: string): Promise<string[]> => {
    asked.push(name)
    return hosts
  }
  const discovery = createDiscovery({ kind: 'dns', name: 'quorate.local', port: 7101 }, lookups({ resolveHost }))
  t.same(await discovery.lookUp(), {
    addresses: ['10.0.0.1:7101', '10.0.0.2:7101', '[fd00::1]:7101'],
    problem: null,
  })
  hosts = ['10.0.0.3']
  t.same(await discovery.lookUp(), { addresses: ['10.0.0.3:7101'], problem: null })
  t.same(asked, ['quorate.local', 'quorate.local'])
})

t.test('a service brings its ports with it', async (t) => {
  const resolveService = async () => [
    { name: 'node-2.quorate.local', port: 7102 },
    { name: 'node-1.quorate.local.', port: 7101 },
  ]
  const discovery = createDiscovery({ kind: 'srv', name: '_raft._tcp.quorate.local' }, lookups({ resolveService }))
  t.same(await discovery.lookUp(), {
    addresses: ['node-1.quorate.local:7101', 'node-2.quorate.local:7102'],
    problem: null,
  })
})

t.test('a lookup that fails is a fact', async (t) => {
  const fail = (): Promise<never> => Promise.reject(new Error('ENOTFOUND'))
  const failing = lookups({ resolveHost: fail, resolveService: fail, readFile: fail })
  const expectProblem = async (source: Parameters<typeof createDiscovery>[0], problem: string): Promise<void> => {
    t.same(await createDiscovery(source, failing).lookUp(), { addresses: [], problem })
  }
  await expectProblem({ kind: 'dns', name: 'quorate.local', port: 1 }, 'quorate.local: ENOTFOUND')
  await expectProblem({ kind: 'srv', name: '_raft._tcp' }, '_raft._tcp: ENOTFOUND')
  await expectProblem({ kind: 'file', path: '/peers' }, '/peers: ENOTFOUND')
})

t.test('a file is read again each time; a line that is no address spoils only itself', async (t) => {
  const path = join(await temporaryDirectory(t), 'peers')
  const reading = lookups({ readFile: async (file) => (await readAtMost(file, 256)).toString('utf8') })
  const discovery = createDiscovery({ kind: 'file', path }, reading)
  t.match(await discovery.lookUp(), { addresses: [], problem: /peers: ENOENT/ }, 'before it is there')
  await writeFile(path, '# our nodes\n10.0.0.1:7101\n\n  Node-2:7101  # the second\r\n')
  t.same(await discovery.lookUp(), { addresses: ['10.0.0.1:7101', 'node-2:7101'], problem: null })
  await writeFile(path, '10.0.0.1:7101\n10.0.0.2\n0.0.0.0:1\n[fd00::1]:7101')
  t.same(await discovery.lookUp(), {
    addresses: ['10.0.0.1:7101', '[fd00::1]:7101'],
    problem: `${path}, line 2: 10.0.0.2 is not of the form HOST:PORT`,
  })
  await writeFile(path, '')
  t.same(await discovery.lookUp(), { addresses: [], problem: null }, 'an empty list is a list')
  await unlink(path)
  t.match(await discovery.lookUp(), { problem: /ENOENT/ })
  const endless = createDiscovery({ kind: 'file', path: '/dev/zero' }, reading)
  t.match(await endless.lookUp(), { addresses: [], problem: '/dev/zero: it has more than 256 bytes' })
  await writeFile(path, `10.0.0.1:7101\n${'#'.repeat(242)}`)
  t.same(await discovery.lookUp(), { addresses: ['10.0.0.1:7101'], problem: null }, 'as many bytes as there may be')
})

t.test('an excess of addresses is cut, everywhere in the same way', async (t) => {
  const addresses = ['f:1', 'b:1', 'e:1', 'a:1', 'd:1', 'c:1']
  const problem = '6 addresses were found, of which the first 4 are used'
  for (const order of [addresses, [...addresses].reverse()]) {
    const found = await createDiscovery({ kind: 'static', addresses: order }, lookups()).lookUp()
    t.same(found, { addresses: ['a:1', 'b:1', 'c:1', 'd:1'], problem })
  }
})

t.test('localhost is found by the resolver of this machine', async (t) => {
  const found = await createDiscovery({ kind: 'dns', name: 'localhost', port: 7101 }, lookups(platformLookups)).lookUp()
  t.equal(found.problem, null)
  t.ok(
    found.addresses.every((address) => ['127.0.0.1:7101', '[::1]:7101'].includes(address)),
    found.addresses.join(' '),
  )
  t.ok(found.addresses.length > 0)
})

t.test('a name that cannot exist is a problem, not a failure', async (t) => {
  const found = await createDiscovery({ kind: 'dns', name: 'a..b', port: 1 }, lookups(platformLookups)).lookUp()
  t.match(found, { addresses: [], problem: /^a\.\.b: / })
})
