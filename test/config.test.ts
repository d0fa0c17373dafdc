import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { expectedNodes } from '../src/config/settings/automation.ts'
import { describeSettings, type Config } from '../src/config/config.ts'
import { readConfig } from '../src/config/read-config.ts'
import { readDescriptorLimit, shareDescriptors } from '../src/descriptors.ts'
import { limits } from '../src/limits.ts'
import { describeMistakes, type Mistake } from '../src/config/setting.ts'
import { effectiveFile, effectiveSettings } from '../src/config/effective.ts'
import { temporaryDirectory } from './support/temporary-directory.ts'

const needed = ['--id', '1', '--data-dir', '/var/lib/quorate']

function accepted(flags: readonly string[], environment: Record<string, string> = {}): Config {
  const outcome = readConfig([...needed, ...flags], environment)
  if (outcome.kind !== 'config') throw new Error(describeMistakes(outcome.mistakes))
  return outcome.config
}

function mistakesOf(flags: readonly string[], environment: Record<string, string> = {}): readonly Mistake[] {
  const outcome = readConfig(flags, environment)
  return outcome.kind === 'mistakes' ? outcome.mistakes : []
}

t.test('two flags are enough; the rest has defaults', async (t) => {
  t.strictSame(accepted([]), {
    id: 1,
    dataDirectory: '/var/lib/quorate',
    api: { host: '127.0.0.1', port: 7001 },
    raft: { host: '127.0.0.1', port: 7101 },
    apiAdvertise: null,
    raftAdvertise: null,
    apiOrigins: [],
    clusterToken: '',
    authBootstrapFile: null,
    tlsCert: null,
    tlsKey: null,
    tlsClientCa: null,
    peerTlsCert: null,
    peerTlsKey: null,
    peerTlsCa: null,
    discover: null,
    expect: null,
    clusterFormationDelayMs: 5000,
    autoJoin: true,
    votersTarget: null,
    stabilizationMs: 2000,
    deadNodeAfterMs: null,
    autopilot: null,
    minVoters: 3,
    heartbeatMs: 50,
    leaderPriority: 50,
    electionTimeoutMs: { min: 300, max: 600 },
    valueBytesMax: 1024 * 1024,
    purgeEveryEntries: 100_000,
    purgeEveryBytes: 256 * 1024 * 1024,
    keepEntries: 20_000,
    keepBytes: 64 * 1024 * 1024,
    snapshotBytesPerSecondMax: 64 * 1024 * 1024,
    snapshotHoldMs: 300_000,
    snapshotHoldBytes: 8 * 1024 ** 3,
    segmentBytes: 64 * 1024 * 1024,
    diskReserveBytes: null,
    historyAgeMs: 24 * 3_600_000,
    historyRevisions: 1_000_000,
    historyBytes: 1024 ** 3,
    configFile: null,
    shutdownTimeoutMs: 10_000,
    slowRequestMs: 1_000,
    logLevel: 'info',
    logFormat: 'json',
  })
})

t.test('a config cannot be changed afterwards', async (t) => {
  const config = accepted([])
  t.ok(Object.isFrozen(config))
  t.ok(Object.isFrozen(config.api))
  t.ok(Object.isFrozen(config.electionTimeoutMs))
})

t.test('every flag takes effect, as --flag value, as --flag=value and from the environment', async (t) => {
  const cases: [flag: string, text: string, key: keyof Config, value: unknown][] = [
    ['--api', '[::1]:8001', 'api', { host: '::1', port: 8001 }],
    ['--api', '0.0.0.0:0', 'api', { host: '0.0.0.0', port: 0 }],
    ['--raft', 'Node-1.example.COM:8101', 'raft', { host: 'node-1.example.com', port: 8101 }],
    ['--api-advertise', '10.0.0.1:7001', 'apiAdvertise', { scheme: null, address: '10.0.0.1:7001' }],
    ['--api-advertise', 'http://[fd00::1]:7001/', 'apiAdvertise', { scheme: 'http', address: '[fd00::1]:7001' }],
    ['--api-advertise', 'HTTPS://node-1:443', 'apiAdvertise', { scheme: 'https', address: 'node-1:443' }],
    ['--raft-advertise', 'node-1:7101', 'raftAdvertise', 'node-1:7101'],
    [
      '--api-origins',
      'https://UI.example/, http://10.0.0.9:80',
      'apiOrigins',
      ['https://ui.example', 'http://10.0.0.9'],
    ],
    ['--cluster-token', 'blue', 'clusterToken', 'blue'],
    ['--auth-bootstrap-file', '/run/secrets/first', 'authBootstrapFile', '/run/secrets/first'],
    ['--discover', 'static:a:1,B:2', 'discover', { kind: 'static', addresses: ['a:1', 'b:2'] }],
    ['--cluster-formation-delay', '700ms', 'clusterFormationDelayMs', 700],
    ['--auto-join', 'false', 'autoJoin', false],
    ['--stabilization', '10s', 'stabilizationMs', 10_000],
    ['--dead-node-after', '5m', 'deadNodeAfterMs', 300_000],
    ['--min-voters', '5', 'minVoters', 5],
    ['--heartbeat', '100ms', 'heartbeatMs', 100],
    ['--leader-priority', '0', 'leaderPriority', 0],
    ['--election-timeout', '1s-2s', 'electionTimeoutMs', { min: 1000, max: 2000 }],
    ['--value-bytes-max', '4MiB', 'valueBytesMax', 4 * 1024 * 1024],
    ['--purge-every', '500', 'purgeEveryEntries', 500],
    ['--purge-every-bytes', '1GiB', 'purgeEveryBytes', 1024 ** 3],
    ['--keep-entries', '0', 'keepEntries', 0],
    ['--keep-bytes', '0', 'keepBytes', 0],
    ['--snapshot-rate', '1048576', 'snapshotBytesPerSecondMax', 1024 ** 2],
    ['--snapshot-hold', '90s', 'snapshotHoldMs', 90_000],
    ['--snapshot-hold-bytes', '100MiB', 'snapshotHoldBytes', 100 * 1024 ** 2],
    ['--segment-bytes', '16MiB', 'segmentBytes', 16 * 1024 * 1024],
    ['--disk-reserve', '3GiB', 'diskReserveBytes', 3 * 1024 ** 3],
    ['--disk-reserve', '0', 'diskReserveBytes', 0],
    ['--history-retention', '7m', 'historyAgeMs', 420_000],
    ['--history-revisions-max', '0', 'historyRevisions', 0],
    ['--history-bytes-max', '64MiB', 'historyBytes', 64 * 1024 ** 2],
    ['--shutdown-timeout', '2m', 'shutdownTimeoutMs', 120_000],
    ['--slow-request', '250ms', 'slowRequestMs', 250],
    ['--slow-request', '0', 'slowRequestMs', 0],
    ['--log-level', 'warn', 'logLevel', 'warn'],
    ['--log-format', 'text', 'logFormat', 'text'],
  ]
  // Required, or in effect only together with others; see below.
  const elsewhere = ['--id', '--data-dir', '--config', '--expect', '--voters-target', '--autopilot']
  const tls = ['--tls-cert', '--tls-key', '--tls-client-ca', '--peer-tls-cert', '--peer-tls-key', '--peer-tls-ca']
  const covered = new Set([...cases.map(([flag]) => flag), ...elsewhere, ...tls])
  for (const { flag } of describeSettings()) {
    const name = flag.split(' ')[0] ?? ''
    t.ok(covered.has(name), `${name} is covered here`)
  }
  for (const [flag, text, key, value] of cases) {
    t.strictSame(accepted([flag, text])[key], value, `${flag} ${text}`)
    t.strictSame(accepted([`${flag}=${text}`])[key], value, `${flag}=${text}`)
    const variable = `QUORATE_${flag.slice(2).toUpperCase().replaceAll('-', '_')}`
    t.strictSame(accepted([], { [variable]: text })[key], value, `${variable}=${text}`)
  }
})

t.test('a flag beats the environment; an empty variable is none', async (t) => {
  t.equal(accepted(['--heartbeat', '20ms'], { QUORATE_HEARTBEAT: '80ms' }).heartbeatMs, 20)
  t.equal(accepted([], { QUORATE_HEARTBEAT: '' }).heartbeatMs, 50)
  t.equal(accepted(['--cluster-token', ''], { QUORATE_CLUSTER_TOKEN: 'x' }).clusterToken, '')
  const outcome = readConfig([], { QUORATE_ID: '7', QUORATE_DATA_DIR: 'd' })
  t.equal(outcome.kind === 'config' && outcome.config.id, 7)
})

t.test('every flag, wrong once', async (t) => {
  const cases: [flag: string, text: string, wrong: RegExp][] = [
    ['--id', '0', /below 1/],
    ['--id', '2147483648', /above 2147483647/],
    ['--id', '-1', /not a whole number/],
    ['--id', '1.5', /not a whole number/],
    ['--id', 'one', /not a whole number/],
    ['--data-dir', ' ', /not a path/],
    ['--data-dir', 'a\0b', /not a path/],
    ['--api', '7001', /not of the form HOST:PORT/],
    ['--api', ':7001', /no host/],
    ['--api', '127.0.0.1:65536', /above 65535/],
    ['--api', '127.0.0.256:7001', /host 127.0.0.256/],
    ['--api', '1.2.3:7001', /host 1.2.3/],
    ['--api', '::1:7001', /without brackets/],
    ['--api', '[::zz]:7001', /host ::zz/],
    ['--api', '[127.0.0.1]:7001', /host 127.0.0.1/],
    ['--api', 'http://127.0.0.1:7001', /not of the form/],
    ['--raft', 'exa mple:1', /host exa mple/],
    ['--raft', '-a:1', /host -a/],
    ['--api-advertise', 'ftp://a:1', /scheme ftp/],
    ['--tls-cert', ' ', /is not a path/],
    ['--tls-key', ' ', /is not a path/],
    ['--tls-client-ca', ' ', /is not a path/],
    ['--peer-tls-cert', ' ', /is not a path/],
    ['--peer-tls-key', ' ', /is not a path/],
    ['--peer-tls-ca', ' ', /is not a path/],
    ['--api-advertise', '0.0.0.0:7001', /cannot be reached/],
    ['--api-advertise', '[::ffff:0.0.0.0]:7001', /cannot be reached/],
    ['--raft-advertise', '0x0:7101', /cannot be reached/],
    ['--api-advertise', 'http://a:1/path', /not of the form/],
    ['--raft-advertise', 'node:0', /port 0/],
    ['--raft-advertise', '[::]:7101', /cannot be reached/],
    ['--api-origins', '*', /would let every page in/],
    ['--api-origins', 'https://*.example', /would let every page in/],
    ['--api-origins', 'null', /any page can have/],
    ['--api-origins', 'ui.example', /names ui\.example, which is not the origin of a web page/],
    ['--api-origins', 'https://ui.example,', /names nothing/],
    ['--api-origins', 'https://ui.example/path', /is not the origin/],
    ['--api-origins', Array.from({ length: 33 }, (_, at) => `http://a${at}`).join(','), /33 origins, more than 32/],
    ['--cluster-token', 'a b', /visible ASCII/],
    ['--cluster-token', 'x'.repeat(129), /129 characters/],
    ['--discover', 'a:1', /does not begin with static, dns, srv or file/],
    ['--discover', 'static', /does not begin with/],
    ['--discover', 'static:', /lists nothing, which is not of the form HOST:PORT/],
    ['--discover', 'static:a:1,a', /lists a, which is not of the form/],
    ['--discover', 'static:a:1,,b:1', /lists nothing/],
    ['--discover', 'static:a:0', /port 0/],
    ['--discover', 'static:0.0.0.0:1', /cannot be reached/],
    ['--discover', 'static:a:1,A:1', /lists a:1 twice/],
    [
      '--discover',
      `static:${Array.from({ length: 65 }, (_, at) => `h${at}:1`).join(',')}`,
      /65 addresses, more than 64/,
    ],
    ['--discover', 'dns:quorate', /not of the form HOST:PORT/],
    ['--discover', 'dns:quorate:0', /port 0/],
    ['--discover', 'srv:', /does not name a service/],
    ['--discover', 'srv:a b', /does not name a service/],
    ['--discover', 'file:', /not a path/],
    ['--expect', '0', /below 1/],
    ['--expect', '65', /above 64/],
    ['--cluster-formation-delay', '11m', /above 10m/],
    ['--cluster-formation-delay', '5', /not a duration/],
    ['--auto-join', 'yes', /is not one of the choices/],
    ['--voters-target', 'all', /not a whole number/],
    ['--stabilization', '61m', /above 1h/],
    ['--stabilization', '2h', /above 1h/],
    ['--stabilization', '1d', /not a duration \(a number followed by ms, s, m or h\)/],
    ['--dead-node-after', '500ms', /below 1s/],
    ['--autopilot', 'maybe', /is not one of the choices/],
    ['--min-voters', '0', /below 1/],
    ['--heartbeat', '50', /not a duration/],
    ['--leader-priority', '101', /above 100/],
    ['--heartbeat', '1ms', /below 5ms/],
    ['--heartbeat', '11s', /above 10s/],
    ['--election-timeout', '300ms', /two durations/],
    ['--election-timeout', '300-600', /two durations/],
    ['--election-timeout', '600ms-300ms', /is not a range from a lower to a higher duration/],
    ['--election-timeout', '300ms-300ms', /is not a range from a lower to a higher duration/],
    ['--election-timeout', '300ms-2m', /above 1m/],
    ['--value-bytes-max', '17MiB', /above 16MiB/],
    ['--value-bytes-max', '1MB', /not a size/],
    ['--purge-every', '9', /below 10/],
    ['--purge-every-bytes', '1KiB', /below 64KiB/],
    ['--keep-entries', '1e3', /not a whole number/],
    ['--keep-bytes', '-1', /not a size/],
    ['--snapshot-rate', '1', /below 64KiB/],
    ['--snapshot-hold', '0s', /below 1s/],
    ['--snapshot-hold-bytes', '512KiB', /below 1MiB/],
    ['--segment-bytes', '512KiB', /below 1MiB/],
    ['--disk-reserve', '10%', /not a size/],
    ['--disk-reserve', '512KiB', /below 1MiB/],
    ['--disk-reserve', '1025GiB', /above 1024GiB/],
    ['--history-retention', '9999h', /above 8760h/],
    ['--history-revisions-max', '1000000001', /above 1000000000/],
    ['--history-bytes-max', '1KiB', /below 64KiB/],
    ['--shutdown-timeout', '1ms', /below 100ms/],
    ['--slow-request', '0s', /below 1ms/],
    ['--slow-request', '11m', /above 10m/],
    ['--slow-request', '1', /is not a duration/],
    ['--auth-bootstrap-file', ' ', /is not a path/],
    ['--log-level', 'loud', /is not one of the choices/],
    ['--log-format', 'pretty', /is not one of the choices/],
  ]
  const covered = new Set(cases.map(([flag]) => flag))
  // The file of --config is read by itself, below.
  covered.add('--config')
  for (const { flag } of describeSettings()) t.ok(covered.has(flag.split(' ')[0] ?? ''), `${flag} is covered here`)
  for (const [flag, text, wrong] of cases) {
    const rest = needed.filter((_, at) => needed[at - (at % 2)] !== flag)
    const mistakes = mistakesOf([...rest, `${flag}=${text}`])
    t.equal(mistakes.length, 1, `${flag} ${JSON.stringify(text)} is one mistake`)
    const told = flag === '--cluster-token' ? '(secret)' : text
    t.match(mistakes[0], { given: `${flag} ${told}`, wrong, allowed: /./ })
    const variable = `QUORATE_${flag.slice(2).toUpperCase().replaceAll('-', '_')}`
    t.match(mistakesOf(rest, { [variable]: text })[0], { given: `${variable}=${told}`, wrong })
  }
})

t.test('flags that do not exist, or come without a value, twice or bare', async (t) => {
  t.match(mistakesOf([...needed, '--hartbeat', '50ms']), [
    { given: '--hartbeat', allowed: '--heartbeat, if that was meant' },
  ])
  t.match(mistakesOf([...needed, '--gossip', 'a:1']), [{ given: '--gossip', wrong: 'is an unknown flag' }])
  t.match(mistakesOf([...needed, '--heartbeat']), [
    { given: '--heartbeat', wrong: 'has no value', allowed: /duration/ },
  ])
  t.match(mistakesOf([...needed, '--heartbeat', '--raft', 'a:1']), [{ given: '--heartbeat', wrong: 'has no value' }])
  t.match(mistakesOf([...needed, '--id', '2']), [{ given: '--id 2', wrong: 'is given twice' }])
  t.match(mistakesOf([...needed, 'now']), [{ given: 'now', wrong: 'is not a flag' }])
  t.match(mistakesOf([...needed, '-i']), [{ given: '-i', wrong: 'is not a flag' }])
  t.match(mistakesOf([]), [
    { given: '--id', wrong: /is missing \(or QUORATE_ID/ },
    { given: '--data-dir', wrong: /is missing/ },
  ])
})

t.test('settings that do not fit together', async (t) => {
  const together: [flags: string[], wrong: RegExp][] = [
    [['--heartbeat', '101ms'], /do not fit together/],
    [['--election-timeout', '149ms-600ms'], /do not fit together/],
    [['--api', '127.0.0.1:7101'], /have the same port/],
    [['--api', '0.0.0.0:7101'], /have the same port/],
    [['--raft', '[::]:7001'], /have the same port/],
    [['--api-advertise', 'a:1', '--raft-advertise', 'a:1'], /same address/],
    [['--tls-cert', 'a.pem'], /comes without its private key/],
    [['--tls-key', 'a.pem'], /comes without its certificate/],
    [['--tls-client-ca', 'a.pem'], /has no effect by itself/],
    [['--peer-tls-cert', 'a.pem'], /not enough for TLS between peers/],
    [['--peer-tls-key', 'a.pem'], /not enough for TLS between peers/],
    [['--peer-tls-ca', 'a.pem'], /not enough for TLS between peers/],
    [
      ['--tls-cert', 'a.pem', '--tls-key', 'b.pem', '--api-advertise', 'http://a:1'],
      /sends clients to http, but the API speaks https/,
    ],
    [['--expect', '3'], /has no effect by itself/],
    [['--voters-target', '3'], /has no effect by itself/],
    [['--discover', 'dns:a:1'], /does not say how many/],
    [['--discover', 'srv:a'], /does not say how many/],
    [['--discover', 'file:a'], /does not say how many/],
    [['--discover', 'static:a:1,b:1', '--expect', '4'], /expects more nodes than --discover lists addresses/],
    [['--discover', 'static:a:1,b:1,c:1,d:1,e:1', '--expect', '2'], /no more than half of the 5 addresses/],
    [['--discover', 'static:a:1,b:1,c:1,d:1', '--expect', '2'], /two groups of them could each form a cluster/],
    [['--discover', 'static:a:1,b:1', '--expect', '1'], /no more than half of the 2 addresses/],
    [['--discover', 'static:a:1,b:1,c:1', '--voters-target', '2'], /below the 3 nodes/],
    [['--discover', 'dns:a:1', '--expect', '5', '--voters-target', '4'], /below the 5 nodes/],
    [['--autopilot', 'on'], /does not say when a node counts as dead/],
    [['--autopilot', 'dry-run'], /does not say when a node counts as dead/],
    [['--dead-node-after', '1s'], /shorter than an election/],
  ]
  for (const [flags, wrong] of together) {
    const mistakes = mistakesOf([...needed, ...flags])
    t.equal(mistakes.length, 1, flags.join(' '))
    t.match(mistakes[0]?.wrong, wrong)
  }
  t.equal(
    mistakesOf([...needed, '--heartbeat', '101ms'])[0]?.given,
    '--heartbeat 101ms --election-timeout 300ms-600ms (default)',
  )
  t.equal(
    mistakesOf([...needed, '--heartbeat', '1s'], { QUORATE_ELECTION_TIMEOUT: '1s-2s' })[0]?.given,
    '--heartbeat 1s QUORATE_ELECTION_TIMEOUT=1s-2s',
    'each setting is shown as it was given',
  )
  t.equal(mistakesOf(needed, { QUORATE_DISCOVER: 'dns:a:1' })[0]?.given, 'QUORATE_DISCOVER=dns:a:1')
  t.same(
    mistakesOf([
      ...needed,
      '--heartbeat',
      '101ms',
      '--election-timeout',
      'x',
      '--expect',
      '0',
      '--voters-target',
      '3',
    ]).map(({ given }) => given),
    ['--expect 0', '--election-timeout x', '--voters-target 3'],
    'what is wrong by itself is not judged together with the rest',
  )
  const api = { '--tls-cert': 'a.pem', '--tls-key': 'b.pem', '--tls-client-ca': 'c.pem' }
  const peers = { '--peer-tls-cert': 'd.pem', '--peer-tls-key': 'e.pem', '--peer-tls-ca': 'f.pem' }
  const [tlsCert, tlsKey, tlsClientCa] = ['a.pem', 'b.pem', 'c.pem']
  const [peerTlsCert, peerTlsKey, peerTlsCa] = ['d.pem', 'e.pem', 'f.pem']
  const files = { tlsCert, tlsKey, tlsClientCa, peerTlsCert, peerTlsKey, peerTlsCa }
  t.match(accepted(Object.entries({ ...api, ...peers }).flat()), files)
  t.match(accepted([], { QUORATE_TLS_CERT: 'a.pem', QUORATE_TLS_KEY: 'b.pem' }), { tlsCert, tlsKey })
  accepted(['--heartbeat', '100ms'])
  accepted(['--autopilot', 'off'])
  t.equal(accepted(['--dead-node-after', '2s', '--autopilot', 'dry-run']).autopilot, 'dry-run')
  t.match(accepted(['--discover', 'dns:Quorate.local:7101', '--expect', '5', '--voters-target', '7']), {
    discover: { kind: 'dns', name: 'quorate.local', port: 7101 },
    expect: 5,
    votersTarget: 7,
  })
  t.match(accepted(['--discover', 'srv:_raft._tcp.quorate', '--expect', '3']).discover, {
    kind: 'srv',
    name: '_raft._tcp.quorate',
  })
  t.match(accepted(['--discover', 'file:/etc/quorate/peers', '--expect', '3']).discover, {
    kind: 'file',
    path: '/etc/quorate/peers',
  })
  t.equal(expectedNodes(accepted(['--discover', 'static:a:1'])), 1)
  t.equal(expectedNodes(accepted(['--discover', 'static:a:1,b:1,c:1'])), 3)
  t.equal(expectedNodes(accepted(['--discover', 'static:a:1,b:1,c:1,d:1,e:1', '--expect', '3'])), 3, 'more than half')
  t.equal(
    expectedNodes(accepted(['--discover', 'static:a:1,b:1,c:1', '--expect', '4'])),
    4,
    'the list may lack the node',
  )
  accepted(['--api', '127.0.0.1:0', '--raft', '127.0.0.1:0'])
  accepted(['--api', '127.0.0.1:7101', '--raft', '127.0.0.2:7101'])
})

t.test('all mistakes come at once, each with what is allowed', async (t) => {
  const mistakes = mistakesOf(['--id', 'x', '--heartbeat=1', '--api', 'a', '--frobnicate', '--raft', 'b:1'], {
    QUORATE_LOG_LEVEL: 'loud',
  })
  t.strictSame(
    mistakes.map((mistake) => mistake.given),
    ['--frobnicate', '--id x', '--data-dir', '--api a', '--heartbeat 1', 'QUORATE_LOG_LEVEL=loud'],
  )
  const text = describeMistakes(mistakes)
  for (const mistake of mistakes) {
    t.match(text, mistake.given)
    t.match(text, mistake.allowed)
  }
})

t.test('a variable that is not a setting is pointed out, those of an orchestrator are not', async (t) => {
  const outcome = readConfig(needed, {
    QUORATE_HEARTBEET: '50ms',
    QUORATE_ELECTIONS: '1s-2s',
    QUORATE_SERVICE_HOST: '10.0.0.1',
    QUORATE_SERVICE_PORT_RAFT: '7101',
    QUORATE_PORT: 'tcp://10.0.0.1:7001',
    QUORATE_PORT_7001_TCP_ADDR: '10.0.0.1',
    QUORATE_PEERS_SERVICE_HOST: '10.0.0.1',
    QUORATE_SERVER: 'http://127.0.0.1:7001',
    HEARTBEAT: '1s',
  })
  t.strictSame(outcome.kind === 'config' && outcome.warnings, [
    'the environment variable QUORATE_HEARTBEET is not a setting; did you mean QUORATE_HEARTBEAT?',
    'the environment variable QUORATE_ELECTIONS is not a setting, and is ignored',
  ])
})

/** Reads `text` as the file quorate.yaml of `directory`. */
function fromFile(directory: string, text: string | Uint8Array, flags: readonly string[] = [], environment = {}) {
  writeFileSync(join(directory, 'quorate.yaml'), text)
  return readConfig(['--config', 'quorate.yaml', ...flags], environment, directory)
}

t.test('every setting can be in a file, by the name of its flag', async (t) => {
  const directory = await temporaryDirectory(t)
  const defaults = accepted([])
  const files = [
    (entries: readonly string[][]) => entries.map(([name, value]) => `${name}: ${value}\n`).join(''),
    (entries: readonly string[][]) =>
      `{\n${entries.map(([name, value]) => `\t"${name}": ${JSON.stringify(value)}`).join(',\n')}\n}\n`,
  ]
  const entries = describeSettings()
    .map(({ flag, initial }) => [flag.slice(2).split(' ')[0] ?? '', initial])
    .filter(([, initial]) => initial !== '' && initial !== 'required')
  t.ok(entries.length > 20)
  for (const write of files) {
    const outcome = fromFile(directory, write([['id', '1'], ['data-dir', '/var/lib/quorate'], ...entries]))
    t.strictSame(outcome.kind === 'config' && outcome.config, { ...defaults, configFile: 'quorate.yaml' })
  }
  const typed = fromFile(
    directory,
    '# numbers and booleans as YAML has them\nid: 7\n"data-dir": \'d\'\nauto-join: false # no\ncluster-token: 0123\n',
  )
  t.match(typed.kind === 'config' && typed.config, {
    id: 7,
    dataDirectory: 'd',
    autoJoin: false,
    clusterToken: '0123',
  })
  t.equal(fromFile(directory, '# nothing yet\n', needed).kind, 'config', 'a file of comments')
})

t.test('a flag beats the environment, which beats the file, which beats the default', async (t) => {
  const directory = await temporaryDirectory(t)
  const text = 'id: 1\ndata-dir: d\nheartbeat: 20ms\nlog-level: warn\nmin-voters: 5\ncluster-token: abc\n'
  const environment = { QUORATE_HEARTBEAT: '30ms', QUORATE_LOG_LEVEL: 'error', QUORATE_MIN_VOTERS: '' }
  const outcome = fromFile(directory, text, ['--heartbeat', '40ms'], environment)
  if (outcome.kind !== 'config') throw new Error(describeMistakes(outcome.mistakes))
  t.match(outcome.config, { heartbeatMs: 40, logLevel: 'error', minVoters: 5, logFormat: 'json' })
  const effective = effectiveSettings(outcome.given)
  const sourceOf = (name: string) => effective.find((setting) => setting.name === name)?.source
  t.strictSame(['heartbeat', 'log-level', 'min-voters', 'log-format', 'expect'].map(sourceOf), [
    'flag',
    'QUORATE_LOG_LEVEL',
    'quorate.yaml:5',
    'default',
    null,
  ])
  t.equal(effective.length, describeSettings().length)

  const shown = effectiveFile(effective)
  t.notMatch(shown, 'abc', 'a secret is not shown')
  t.match(shown, /^# cluster-token: +# quorate\.yaml:6, secret$/m)
  const again = fromFile(directory, shown)
  const rest = { configFile: 'quorate.yaml', clusterToken: '' }
  t.strictSame(again.kind === 'config' && again.config, { ...outcome.config, ...rest }, 'it is a file with that effect')

  const fromVariable = readConfig(needed, { QUORATE_CONFIG: join(directory, 'quorate.yaml') }, '/')
  t.equal(fromVariable.kind === 'config' && fromVariable.config.minVoters, 5, 'the file may be named by a variable')
})

t.test('a wrong file: each mistake with its line and what is allowed', async (t) => {
  const directory = await temporaryDirectory(t)
  const cases: [text: string | Uint8Array, given: string, wrong: RegExp, allowed?: string][] = [
    ['id: 1\nhartbeat: 50ms', 'quorate.yaml:2: hartbeat', /is an unknown key/, 'heartbeat, if that was meant'],
    ['dataDir: d', 'quorate.yaml:1: dataDir', /unknown key/, 'data-dir, if that was meant'],
    ['log_level: info', 'quorate.yaml:1: log_level', /unknown key/, 'log-level, if that was meant'],
    ['QUORATE_API: a:1', 'quorate.yaml:1: QUORATE_API', /unknown key/, 'api, if that was meant'],
    ['--raft: a:1', 'quorate.yaml:1: --raft', /unknown key/, 'raft, if that was meant'],
    ['replicas: 3', 'quorate.yaml:1: replicas', /unknown key/],
    ['<<: {id: 1}', 'quorate.yaml:1: <<', /unknown key/],
    ['config: other.yaml', 'quorate.yaml:1: config', /names a further file/],
    ['id: 1\napi: a:1\nid: 1', 'quorate.yaml:3: id', /is given twice, first at quorate\.yaml:1/],
    ['{"id": 1,\n"id": 2}', 'quorate.yaml:2: id', /is given twice/],
    ['heartbeat: 50', 'quorate.yaml:1: heartbeat: 50', /not a duration/],
    ['auto-join: yes', 'quorate.yaml:1: auto-join: yes', /not one of the choices/],
    ['min-voters: 1e3', 'quorate.yaml:1: min-voters: 1e3', /not a whole number/],
    ['api-origins:\n  - http://a', 'quorate.yaml:1: api-origins', /is a list/],
    ['api: {host: a}', 'quorate.yaml:1: api', /is a mapping/],
    ['api: &a x:1\nraft: *a', 'quorate.yaml:2: raft', /is an alias/],
    ['heartbeat:', 'quorate.yaml:1: heartbeat', /has no value/],
    ['heartbeat: null', 'quorate.yaml:1: heartbeat', /has no value/],
    ['cluster-token: "a b"', 'quorate.yaml:1: cluster-token: (secret)', /other than visible ASCII/],
    ['[1]: 2', 'quorate.yaml:1', /a key that is not a name/],
    ['- id: 1', 'quorate.yaml', /holds no settings/],
    ['just words', 'quorate.yaml', /holds no settings/],
    ['id: 1\n  api: 2', 'quorate.yaml:1', /is not sound YAML/],
    ['{"id": 1', 'quorate.yaml:1', /is not sound YAML/],
    ['id: 1\n---\nid: 2', 'quorate.yaml:2', /is not sound YAML: .*documents/],
    ['id: !node 1', 'quorate.yaml:1', /is not sound YAML: .*tag/],
    [`id: ${'['.repeat(9)}${']'.repeat(9)}`, 'quorate.yaml:1: id', /is a list/],
    ...['['.repeat(50_000), '- '.repeat(30_000), `${'['.repeat(30_000)}${']'.repeat(30_000)}`, '? '.repeat(20_000)].map(
      (text): [string, string, RegExp] => [text, 'quorate.yaml', /nested too deeply/],
    ),
    ['#'.repeat(70_000), 'quorate.yaml', /has 70000 bytes, more than 65536/],
    [new Uint8Array([0x69, 0xff]), 'quorate.yaml', /not UTF-8/],
  ]
  for (const [text, given, wrong, allowed] of cases) {
    const outcome = fromFile(directory, text, ['--id=3', '--data-dir=d'])
    const mistakes = outcome.kind === 'mistakes' ? outcome.mistakes : []
    const found = mistakes.find((mistake) => mistake.given === given && wrong.test(mistake.wrong))
    t.ok(found, given, { text: String(text).slice(0, 80), mistakes })
    if (allowed !== undefined) t.equal(found?.allowed, allowed)
  }
  mkdirSync(join(directory, 'folder'))
  for (const [path, wrong] of [
    ['folder', /not a file/],
    ['absent.yaml', /cannot be read: ENOENT/],
    [' ', /not a path/],
  ] as const) {
    const outcome = readConfig([...needed, '--config', path], {}, directory)
    t.match(outcome.kind === 'mistakes' && outcome.mistakes[0], { wrong })
  }
})

t.test('docs/OPERATIONS.md has every flag with its variable, default, meaning and what is allowed', async (t) => {
  const rows = readFileSync(new URL('../docs/OPERATIONS.md', import.meta.url), 'utf8')
    .split('\n')
    .map((line) => line.replaceAll(/ +/g, ' '))
  const quoted = (text: string): string => (text === '' || text === 'required' ? text : `\`${text}\``)
  for (const { flag, variable, initial, summary, allowed } of describeSettings()) {
    const cells = [quoted(flag), quoted(variable), quoted(initial), summary, allowed]
    const row = `| ${cells.join(' | ')} |`.replaceAll(/ +/g, ' ')
    t.ok(rows.includes(row), row)
  }
})

t.test('the parts of a node stay together within the descriptors that the process may have', async (t) => {
  const config = accepted([])
  const logFiles = (256 + 64) / 64 + limits.logFilesSpare
  for (let limit = 150; limit < 30_000; limit += 37) {
    const shares = shareDescriptors(limit, config)
    const taken =
      limits.processDescriptors +
      logFiles +
      shares.snapshotHoldBytes / config.segmentBytes +
      2 * shares.stateFiles +
      2 * shares.peerConnections +
      shares.httpConnections +
      limits.httpRefusalsMax
    if (taken > limit) t.fail(`${taken} of ${limit}`, shares)
    if (2 * shares.watchers > shares.httpConnections) t.fail('watches leave half of the connections to others', shares)
  }
  const plenty = {
    httpConnections: limits.httpConnectionsMax,
    peerConnections: limits.peerConnectionsMax,
    watchers: limits.watchersMax,
    stateFiles: limits.stateFilesMax,
    snapshotHoldBytes: config.snapshotHoldBytes,
    shortage: null,
  }
  t.same(shareDescriptors(65_536, config), plenty)
  t.same(shareDescriptors(null, config), plenty, 'a system without a limit')
  t.match(shareDescriptors(1_024, config), {
    shortage: /only 1024 files.*LimitNOFILE=/,
    snapshotHoldBytes: 8 * 1024 ** 3,
  })
  t.match(shareDescriptors(160, config), { shortage: /at most \d+ client connections and 8 peer connections/ })
  const needs = { name: 'StorageError', kind: 'refused', message: /only 120 files.*needs at least 149 \(13 of them/ }
  t.throws(() => shareDescriptors(120, config), needs)
  t.throws(() => shareDescriptors(400, accepted(['--segment-bytes', '1MiB'])), /needs at least 464 \(328 of them/)
})

t.test('the limit of descriptors is read', { skip: process.platform === 'win32' && 'no such limit' }, async (t) => {
  const limit = readDescriptorLimit()
  if (limit !== null) t.ok(limit >= 64 && Number.isSafeInteger(limit), String(limit))
})
