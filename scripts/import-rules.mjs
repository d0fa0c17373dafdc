// Defines what each folder may import, and writes it as linter rules to .oxlint-imports.json, which .oxlintrc.json extends.
// With --check nothing is written, and a difference fails.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const written = `${root}.oxlint-imports.json`

const RESOURCES = [
  'keys',
  'ranges',
  'transactions',
  'watches',
  'history',
  'leases',
  'locks',
  'auth',
  'membership',
  'cluster',
  'operating',
]

/**
 * For each folder with rooms: the rooms, and the files beside them, that each room may import besides itself. Each room is
 * listed after the rooms that it imports, so no circle is possible.
 */
const ROOMS = {
  'src/node': {
    'options.ts': [],
    'first-fault.ts': ['options.ts'],
    codec: [],
    'startup.ts': ['options.ts', 'codec'],
    peers: ['options.ts'],
    driver: ['options.ts', 'codec', 'peers'],
    state: ['options.ts', 'codec'],
    requests: ['options.ts', 'codec'],
    snapshots: ['options.ts', 'codec'],
    watches: ['options.ts', 'codec'],
    history: [],
    auth: ['options.ts'],
    leases: ['options.ts', 'codec', 'requests', 'state'],
    'inbox.ts': ['codec', 'peers', 'driver', 'requests', 'snapshots'],
    'consequences.ts': ['peers', 'driver', 'state', 'requests', 'snapshots', 'watches', 'history', 'leases', 'auth'],
    'replica.ts': [
      'options.ts',
      'startup.ts',
      'codec',
      'peers',
      'driver',
      'state',
      'requests',
      'snapshots',
      'watches',
      'history',
      'leases',
      'auth',
      'inbox.ts',
      'consequences.ts',
    ],
    membership: ['options.ts', 'startup.ts', 'codec', 'peers', 'state', 'requests', 'replica.ts'],
    backup: ['codec', 'snapshots', 'membership'],
    space: ['options.ts', 'peers', 'requests', 'replica.ts'],
    leadership: ['options.ts', 'replica.ts', 'space'],
    automation: ['options.ts', 'codec', 'peers', 'requests', 'replica.ts', 'membership'],
    service: [
      'options.ts',
      'codec',
      'peers',
      'state',
      'requests',
      'snapshots',
      'watches',
      'leases',
      'auth',
      'replica.ts',
      'membership',
      'backup',
      'space',
      'leadership',
      'automation',
    ],
    'reception.ts': ['options.ts', 'replica.ts', 'leadership', 'automation', 'service'],
    'node.ts': [
      'options.ts',
      'first-fault.ts',
      'startup.ts',
      'codec',
      'driver',
      'state',
      'replica.ts',
      'membership',
      'space',
      'leadership',
      'automation',
      'service',
      'reception.ts',
    ],
  },
  'src/http': {
    protocol: [],
    keys: ['protocol'],
    ranges: ['protocol', 'keys'],
    transactions: ['protocol', 'keys'],
    watches: ['protocol', 'keys', 'ranges'],
    history: ['protocol', 'keys'],
    leases: ['protocol', 'keys'],
    locks: ['protocol', 'keys', 'leases'],
    auth: ['protocol'],
    membership: ['protocol'],
    cluster: ['protocol', 'membership'],
    operating: ['protocol'],
    'files.ts': ['protocol'],
    'page-headers.ts': [],
    'openapi.ts': ['protocol', 'keys', 'membership', 'cluster', 'operating', 'files.ts', 'page-headers.ts'],
    'overload.ts': ['protocol'],
    'dashboard.ts': ['files.ts', 'page-headers.ts'],
    'app.ts': ['protocol', ...RESOURCES, 'openapi.ts', 'overload.ts', 'dashboard.ts'],
  },
  'src/ui': {
    styles: [],
    'bounds.ts': [],
    lib: [],
    api: ['bounds.ts', 'lib'],
    parts: ['bounds.ts', 'lib', 'api'],
    cluster: ['bounds.ts', 'lib', 'api', 'parts'],
    data: ['lib', 'api', 'parts'],
    values: ['bounds.ts', 'lib', 'parts'],
    access: ['bounds.ts', 'lib', 'api', 'parts', 'data'],
    leases: ['bounds.ts', 'lib', 'api', 'parts', 'data'],
    keys: ['bounds.ts', 'lib', 'api', 'parts', 'data', 'values', 'leases'],
    watch: ['bounds.ts', 'lib', 'api', 'parts', 'data'],
    'pages.ts': ['lib', 'cluster', 'access', 'leases', 'keys', 'watch'],
    'app.tsx': ['bounds.ts', 'lib', 'api', 'parts', 'pages.ts'],
    'main.tsx': ['lib', 'app.tsx'],
  },
  'src/config': {
    'bounded-file.ts': [],
    'setting.ts': [],
    'values.ts': ['setting.ts'],
    'discovery-source.ts': ['setting.ts', 'values.ts'],
    settings: ['setting.ts', 'values.ts', 'discovery-source.ts'],
    'config.ts': ['setting.ts', 'settings'],
    'checks.ts': ['settings', 'config.ts'],
    'given.ts': ['setting.ts'],
    'flags.ts': ['setting.ts', 'config.ts', 'given.ts'],
    'environment.ts': ['setting.ts', 'config.ts', 'given.ts'],
    'config-file.ts': ['setting.ts', 'config.ts', 'given.ts'],
    'effective.ts': ['config.ts', 'given.ts'],
    'read-config.ts': [
      'setting.ts',
      'config.ts',
      'checks.ts',
      'given.ts',
      'flags.ts',
      'environment.ts',
      'config-file.ts',
    ],
  },
  'test/sim': {
    world: [],
    history: [],
    network: ['world'],
    disk: ['world'],
    machines: ['world', 'history', 'network', 'disk'],
    planted: ['disk', 'machines'],
    oracles: ['world', 'history', 'network', 'disk', 'machines'],
    'cluster.ts': ['world', 'network', 'machines', 'oracles'],
    clients: ['world', 'history', 'machines', 'oracles'],
    faults: ['world', 'network', 'disk', 'machines', 'clients'],
    scenes: ['world', 'history', 'machines', 'oracles', 'cluster.ts', 'clients', 'faults'],
    runner: ['world', 'history', 'machines', 'planted', 'oracles', 'cluster.ts', 'clients', 'faults', 'scenes'],
  },
}

const forbidden = (regex, message, allowTypeImports = false) => ({
  regex,
  message,
  ...(allowTypeImports ? { allowTypeImports } : {}),
})

const throughIndex = forbidden(
  '^(\\./|(\\.\\./)+)(raft|kv)/(.*/|[^i/]|i[^n/]|in[^d/]|ind[^e/]|inde[^x/]|index[^.])',
  'Import src/raft and src/kv through their index.ts.',
)
const typesOfCore = forbidden('^(\\.\\./)+(raft|kv)/', 'This layer imports types from here, never values.', true)
const typesOfApi = forbidden('^(\\.\\./)+api/', 'This layer imports types of the API, never its schemas.', true)
const noPlatform = forbidden('^node:', 'This layer does not touch the platform: inject what it needs.', true)
const noPackages = forbidden('^([^.n]|n[^o]|no[^d]|nod[^e]|node[^:])', 'This layer uses no packages.')
const noRoot = forbidden(
  '^(\\.\\./)+((main|server)\\.ts$|config/)',
  'Only main.ts, server.ts and cli/ know the composition root and the configuration.',
)
const folders = (names, message) => forbidden(`^(\\.\\./)+(${names.join('|')})/`, message)
const packages = (...names) => forbidden(`^(${names.join('|')})(/|$)`, 'This layer does not use this package.')

const ADAPTERS = ['storage', 'transport', 'discovery']
const OUTER = ['http', 'client', 'cli']
const FRAMEWORK = ['fastify', '@fastify', 'typebox', 'prom-client', 'commander']

function adapter(name, ...unused) {
  const others = ADAPTERS.filter((other) => other !== name)
  return [
    throughIndex,
    typesOfCore,
    folders(
      ['api', 'node', ...others, ...OUTER],
      'Adapters see ports, lib and types of raft and kv: never node, never each other.',
    ),
    noRoot,
    packages(...FRAMEWORK, ...unused),
  ]
}

function store(name, ...unused) {
  const others = ['wal', 'rocksdb', 'memory'].filter((other) => other !== name)
  return [
    ...adapter('storage', ...unused),
    forbidden(`^(\\.\\./)+(storage/)?(${others.join('|')})/`, 'Stores do not know each other.'),
  ]
}

const only = (allowed, message) => ({ group: ['**', ...allowed.map((path) => `!${path}`)], message })
const CORE = 'The core imports itself, src/lib and src/limits.ts, nothing else.'

/** By folder, from the outer to the inner. For a file the last matching folder counts. */
const LAYERS = {
  'src/**': [throughIndex],
  'src/limits.ts': [forbidden('^', 'The maxima depend on nothing.')],
  'src/config/**': [
    throughIndex,
    folders(['raft', 'kv', 'api', 'node', ...ADAPTERS, ...OUTER], 'The configuration stands below every layer.'),
    forbidden('^(\\.\\./)+ports/', 'The configuration sees types of ports, never values.', true),
  ],
  'src/lib/**': [
    only(
      ['./**', '../limits.ts', 'node:zlib'],
      'lib imports nothing but itself, the limits and the checksum of node:zlib.',
    ),
  ],
  'src/{raft,kv}/**': [only(['./**', '../lib/**', '../limits.ts'], CORE)],
  'src/{raft,kv}/*/**': [only(['./**', '../*.ts', '../../lib/**', '../../limits.ts'], CORE)],
  'src/ports/**': [
    throughIndex,
    typesOfCore,
    noPlatform,
    noPackages,
    folders(['api', 'node', ...ADAPTERS, ...OUTER], 'ports see types of raft and kv, and lib.'),
    noRoot,
  ],
  'src/api/**': [
    throughIndex,
    typesOfCore,
    noPlatform,
    forbidden(
      '^([^.nt]|n[^o]|no[^d]|nod[^e]|node[^:]|t[^y]|ty[^p]|typ[^e]|type[^b])',
      'The API is described by TypeBox alone.',
    ),
    folders(
      ['raft', 'ports', 'node', ...ADAPTERS, ...OUTER],
      'The API stands between the front and the node, and knows neither.',
    ),
    noRoot,
  ],
  'src/checker/**': [
    throughIndex,
    typesOfCore,
    noPlatform,
    noPackages,
    folders(
      ['raft', 'ports', 'node', ...ADAPTERS, ...OUTER],
      'The checker knows what the API promises, and nothing of how it is kept.',
    ),
    typesOfApi,
    noRoot,
  ],
  'src/node/**': [
    throughIndex,
    noPlatform,
    noPackages,
    folders([...ADAPTERS, ...OUTER], 'node sees raft, kv, ports and lib; adapters reach it through ports.'),
    typesOfApi,
    noRoot,
  ],
  'src/storage/**': [...adapter('storage'), folders(['tls'], 'Only transport speaks TLS.')],
  'src/transport/**': adapter('transport', 'rocksdb-native'),
  'src/discovery/**': [...adapter('discovery', 'rocksdb-native'), folders(['tls'], 'Only transport speaks TLS.')],
  'src/tls/**': [
    throughIndex,
    noPackages,
    folders(
      ['raft', 'kv', 'ports', 'node', ...ADAPTERS, ...OUTER],
      'TLS sees types of api, lib and the platform; the API and the transport use it.',
    ),
    typesOfApi,
    noRoot,
  ],
  'src/storage/wal/**': store('wal', 'rocksdb-native'),
  'src/storage/rocksdb/**': store('rocksdb'),
  'src/storage/memory/**': store('memory', 'rocksdb-native'),
  'src/http/**': [
    throughIndex,
    folders(['raft', 'ports', 'node', ...ADAPTERS, 'client', 'cli'], 'http sees api, kv, lib and Fastify.'),
    noRoot,
    packages('rocksdb-native', 'commander'),
  ],
  'src/client/**': [
    throughIndex,
    noPackages,
    folders(
      ['raft', 'kv', 'ports', 'node', ...ADAPTERS, 'http', 'cli'],
      'The client sees types of api, lib and the platform.',
    ),
    typesOfApi,
    noRoot,
  ],
  'src/ui/**': [
    only(
      [
        './**',
        '../*.ts',
        ...['lib', 'api', 'parts', 'cluster', 'data', 'values', 'leases'].map((room) => `../${room}/**`),
        'preact',
        'preact/hooks',
        'uplot',
        'diff',
        '../../client/api-types.ts',
      ],
      'The dashboard imports itself, its packages and the types of the API: it runs in a browser.',
    ),
  ],
  'src/cli/**': [
    throughIndex,
    folders(['raft', 'node', 'transport', 'http'], 'The command line goes through the client or server.ts.'),
    typesOfApi,
    packages(...FRAMEWORK.filter((name) => name !== 'commander'), 'rocksdb-native'),
  ],
}

function override(files, patterns) {
  return { files: [files], rules: { 'no-restricted-imports': ['error', { patterns }] } }
}

function isSource(name) {
  return /\.tsx?$/.test(name)
}

/** The rules of one folder with rooms, added to those of its layer. Throws when the list differs from the folder's content. */
function roomRules(base, rooms) {
  const names = Object.keys(rooms)
  const there = readdirSync(root + base, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || (isSource(entry.name) && !entry.name.endsWith('.test.ts')))
    .map(({ name }) => name)
  const differing = [...there.filter((name) => !names.includes(name)), ...names.filter((name) => !there.includes(name))]
  if (differing.length > 0) throw new Error(`${base}: ${differing.join(', ')}: in the list of rooms or there, not both`)
  const layer = LAYERS[`${base}/**`] ?? []
  return names.map((name, at) => {
    const allowed = rooms[name]
    const later = allowed.find((other) => names.indexOf(other) >= at)
    if (later !== undefined) throw new Error(`${base}/${name} may not import ${later}, which does not stand before it`)
    const others = names.filter((other) => other !== name && !allowed.includes(other))
    const isFile = isSource(name)
    const path = others.map((other) => (isSource(other) ? other.replace('.', '\\.') + '$' : `${other}/`))
    const inside = base.split('/').at(-1)
    const message = `${base}/${name} may import ${allowed.length === 0 ? 'no other room' : allowed.join(', ')}.`
    const start = isFile ? `\\./(\\.\\./${inside}/)?` : `(\\.\\./)+(${inside}/)?`
    const patterns = others.length === 0 ? [] : [forbidden(`^${start}(${path.join('|')})`, message)]
    if (base === 'src/http' && RESOURCES.includes(name)) {
      patterns.push(forbidden('/routes\\.ts$', 'Routes are imported by app.ts alone.'))
    }
    return override(isFile ? `${base}/${name}` : `${base}/${name}/**`, [...layer, ...patterns])
  })
}

/** Each resource's routes are documented by the operations of that resource. */
function routeRules() {
  return RESOURCES.map((resource) => {
    const room = roomRules('src/http', ROOMS['src/http']).find(({ files }) => files[0] === `src/http/${resource}/**`)
    const [, { patterns }] = room.rules['no-restricted-imports']
    const message = 'A route knows the operations of its own resource only.'
    return override(`src/http/${resource}/routes.ts`, [
      ...patterns,
      forbidden('^\\.\\./[a-z]+/operations\\.ts$', message),
    ])
  })
}

const overrides = [
  ...Object.entries(LAYERS).map(([files, patterns]) => override(files, patterns)),
  ...Object.entries(ROOMS).flatMap(([base, rooms]) => roomRules(base, rooms)),
  ...routeRules(),
]
const text = `${JSON.stringify({ overrides }, null, 2)}\n`
if (process.argv.includes('--check')) {
  if (readFileSync(written, 'utf8') !== text) {
    console.error(
      '.oxlint-imports.json differs from scripts/import-rules.mjs: run `npm run import-rules` and commit it.',
    )
    process.exitCode = 1
  }
} else {
  writeFileSync(written, text)
  console.log(`wrote ${written}`)
}
