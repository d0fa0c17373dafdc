import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.ts'
import { Credentials, CredentialsError } from '../../src/tls/credentials.ts'
import type { Plane } from '../../src/tls/identity.ts'
import { Keyring } from '../../src/tls/keyring.ts'
import { authority, DAY_MS, issue, writePems, type PemFiles } from '../support/certificates.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

interface Line {
  readonly level: 'info' | 'warn'
  readonly event: string
  readonly facts: object
}

class Recording {
  readonly lines: Line[] = []
  at = Date.now()

  readonly now = (): number => this.at
  readonly logger = {
    info: (facts: object, event: string) => void this.lines.push({ level: 'info', event, facts }),
    warn: (facts: object, event: string) => void this.lines.push({ level: 'warn', event, facts }),
  }

  get events(): string[] {
    return this.lines.map(({ event }) => event)
  }
}

async function files(t: Test): Promise<PemFiles & { readonly directory: string }> {
  const directory = await temporaryDirectory(t)
  const { cert } = await authority()
  return { ...(await writePems(directory, await issue(), cert)), directory }
}

async function open(
  plane: Plane,
  paths: PemFiles,
  host = '127.0.0.1',
  recording = new Recording(),
): Promise<Credentials> {
  return await Credentials.open({ plane, paths, host }, recording)
}

async function refusal(plane: Plane, paths: PemFiles, host?: string): Promise<string> {
  const opened = await open(plane, paths, host).catch((error: unknown) => error)
  return opened instanceof CredentialsError ? opened.message : 'it was taken'
}

/** The user `nobody`, who owns nothing. */
const NOBODY = 65_534

/** Carries out `work` as a user to whom `paths` belong, and who may read no more than their modes allow: root may read everything. */
async function withoutPrivileges<Result>(paths: readonly string[], work: () => Promise<Result>): Promise<Result> {
  if (process.geteuid?.() !== 0) return await work()
  for (const path of paths) await chown(path, NOBODY, NOBODY)
  process.seteuid?.(NOBODY)
  try {
    return await work()
  } finally {
    process.seteuid?.(0)
  }
}

t.test('files that fit make an identity', async (t) => {
  const paths = await files(t)
  for (const plane of ['api', 'peer'] as const) {
    const { identity, warnings, view } = await open(plane, paths, 'localhost')
    t.same(
      identity.certificates.map(({ role, subject }) => `${role} ${subject}`),
      ['certificate CN=node', 'ca CN=test CA'],
    )
    t.same(warnings, [])
    t.same(
      view.expiries.map(({ role }) => role),
      ['certificate', 'ca'],
    )
  }
})

t.test('each file that is of no use is named with its flag, and what is wrong', async (t) => {
  const { directory, ...good } = await files(t)
  const ca = await authority()
  const other = await authority('another CA')
  const past = { notBefore: new Date(Date.now() - 3 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) }
  const future = { notBefore: new Date(Date.now() + DAY_MS), notAfter: new Date(Date.now() + 3 * DAY_MS) }
  const stored = async (name: string, pem: string): Promise<string> => {
    const path = join(directory, name)
    await writeFile(path, pem)
    return path
  }
  const [expired, early, foreign, server] = await Promise.all([
    issue(past),
    issue(future),
    issue({}, other),
    issue({ uses: { serverAuth: true } }),
  ])
  const { privateKey: encrypted } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' },
  })
  const pair = async (name: string, { cert, key }: typeof expired): Promise<Partial<PemFiles>> => ({
    cert: await stored(`${name}.pem`, cert),
    key: await stored(`${name}-key.pem`, key),
  })
  const damaged = ca.cert.replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAAAAAAAAAAAAAAAAAA')
  await mkdir(join(directory, 'folder'))
  execFileSync('mkfifo', [join(directory, 'pipe')])
  const cases: [name: string, paths: Partial<PemFiles>, expected: RegExp][] = [
    ['absent', { cert: '/no/such/file' }, /^--peer-tls-cert \/no\/such\/file cannot be read: there is no such file/],
    ['a folder', { key: join(directory, 'folder') }, /^--peer-tls-key \S+folder cannot be read: it is not a file/],
    [
      'a pipe that nobody writes to',
      { ca: join(directory, 'pipe') },
      /^--peer-tls-ca \S+pipe cannot be read: it is not a file/,
    ],
    [
      'huge',
      { ca: await stored('huge', ' '.repeat(limits.tlsFileBytesMax + 1)) },
      /has 1048577 bytes, more than 1048576/,
    ],
    ['empty', { cert: await stored('empty', '') }, /^--peer-tls-cert \S+empty holds no certificate in PEM form/],
    [
      'noise',
      { key: await stored('noise', '\0\x01\xff') },
      /^--peer-tls-key \S+noise holds no private key in PEM form/,
    ],
    [
      'swapped',
      { cert: good.key, key: good.cert },
      /cert \S+ holds a private key and no certificate.* --peer-tls-key \S+ holds a certificate and no private key/,
    ],
    [
      'a damaged certificate',
      { ca: await stored('damaged', damaged) },
      /^--peer-tls-ca \S+damaged is damaged: a certificate/,
    ],
    [
      'a damaged key',
      { key: await stored('bad-key', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n') },
      /^--peer-tls-key \S+ is damaged: the private key/,
    ],
    [
      'encrypted',
      { key: await stored('encrypted', encrypted) },
      /^--peer-tls-key (\S+) is encrypted.*`openssl pkey -in \1 -out FILE`/,
    ],
    [
      'the key of another',
      { key: await stored('other-key', foreign.key) },
      /^--peer-tls-key \S+ is not the key of the certificate in --peer-tls-cert/,
    ],
    [
      'expired',
      await pair('expired', expired),
      /^The certificate of CN=node in --peer-tls-cert \S+ has expired \(\d{4}-\d\d-\d\dT[\d:]+Z\)/,
    ],
    [
      'not yet valid',
      await pair('early', early),
      /^The certificate of CN=node in --peer-tls-cert \S+ is not valid before \d{4}.*clock/,
    ],
    [
      'of another CA',
      await pair('foreign', foreign),
      /was not issued by a CA of --peer-tls-ca \S+ \(its issuer is CN=another CA\)/,
    ],
    [
      'for servers only',
      await pair('server', server),
      /is not for clients \(extended key usage clientAuth is missing\)/,
    ],
    ['not a CA', { ca: good.cert }, /^--peer-tls-ca \S+ holds the certificate of CN=node, which is not one of a CA/],
  ]
  for (const [name, paths, expected] of cases) t.match(await refusal('peer', { ...good, ...paths }), expected, name)
  t.match(
    await refusal('peer', good, '10.0.0.1'),
    /^The certificate in --peer-tls-cert \S+ is for localhost, 127\.0\.0\.1, not for 10\.0\.0\.1, where peers reach this node: .*--raft-advertise\.$/,
  )
  t.match(
    await refusal('api', good, 'node-1'),
    /--tls-cert \S+ is for .*not for node-1, where clients reach .*--api-advertise/,
  )
  const nameless = { ...good, ...(await pair('nameless', await issue({ commonName: '127.0.0.1', hosts: [] }))) }
  t.match(await refusal('api', nameless), /is for no name, not for 127\.0\.0\.1/, 'the common name does not count')
  t.equal(
    await refusal('api', { ...good, ...(await pair('server', server)) }),
    'it was taken',
    'the API is a server only',
  )

  await t.test('unreadable', async (t) => {
    await chmod(good.key, 0)
    t.match(
      await withoutPrivileges([directory, ...Object.values(good)], async () => await refusal('peer', good)),
      /^--peer-tls-key \S+ cannot be read: the user of this process may not read it \(EACCES\)/,
    )
  })
})

t.test('a chain leads to its CA over the certificates between', async (t) => {
  const { directory, ...good } = await files(t)
  const run = (words: string[]): void => void execFileSync('openssl', words, { cwd: directory, stdio: 'pipe' })
  const subject = ['-subj', '/CN=root', '-addext', 'basicConstraints=critical,CA:true']
  run([
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    'root.key',
    '-out',
    'root.pem',
    '-days',
    '9',
    ...subject,
  ])
  run(['req', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'mid.key', '-out', 'mid.csr', '-subj', '/CN=middle'])
  await writeFile(join(directory, 'mid.ext'), 'basicConstraints=critical,CA:true\n')
  const signed = ['-days', '9', '-CAcreateserial', '-extfile']
  run([
    'x509',
    '-req',
    '-in',
    'mid.csr',
    '-CA',
    'root.pem',
    '-CAkey',
    'root.key',
    '-out',
    'mid.pem',
    ...signed,
    'mid.ext',
  ])
  run(['req', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'leaf.key', '-out', 'leaf.csr', '-subj', '/CN=leaf'])
  await writeFile(join(directory, 'leaf.ext'), 'subjectAltName=IP:127.0.0.1\n')
  run([
    'x509',
    '-req',
    '-in',
    'leaf.csr',
    '-CA',
    'mid.pem',
    '-CAkey',
    'mid.key',
    '-out',
    'leaf.pem',
    ...signed,
    'leaf.ext',
  ])
  execFileSync('sh', ['-c', 'cat leaf.pem mid.pem > chain.pem; cat root.pem ca.pem > both.pem'], { cwd: directory })
  const key = join(directory, 'leaf.key')
  const root = join(directory, 'root.pem')
  t.equal(await refusal('peer', { cert: join(directory, 'chain.pem'), key, ca: root }), 'it was taken')
  t.equal(
    await refusal('peer', { cert: join(directory, 'chain.pem'), key, ca: join(directory, 'both.pem') }),
    'it was taken',
  )
  t.match(await refusal('peer', { cert: join(directory, 'leaf.pem'), key, ca: root }), /issuer is CN=middle/)
  t.match(await refusal('peer', { cert: join(directory, 'chain.pem'), key, ca: good.ca }), /not issued by a CA/)
})

t.test('new files are taken up once they stay, or at once when asked', async (t) => {
  const paths = await files(t)
  const recording = new Recording()
  const credentials = await open('api', paths, '127.0.0.1', recording)
  let replaced = 0
  credentials.onReplaced(() => (replaced += 1))
  await credentials.check({ now: true })
  t.equal(replaced, 0, 'nothing has changed')

  const next = await issue({ commonName: 'next' })
  await writeFile(paths.cert, next.cert)
  await credentials.check({ now: false })
  await writeFile(paths.key, next.key)
  await credentials.check({ now: false })
  t.same([replaced, recording.events], [0, []], 'a certificate whose key is still being written is no mistake')
  await credentials.check({ now: false })
  t.same([replaced, recording.events], [1, ['certificates replaced']])
  t.equal(credentials.identity.certificates[0]?.subject, 'CN=next')
  t.equal(credentials.identity.key.toString(), next.key)

  const third = await issue({ commonName: 'third' })
  await Promise.all([writeFile(paths.cert, third.cert), writeFile(paths.key, third.key)])
  await credentials.check({ now: true })
  t.equal(replaced, 2, 'as on SIGHUP')
  t.same([credentials.view.reloads, credentials.view.failures], [2, 0])
})

t.test('new files of no use leave the old ones in place, and are told of until they are mended', async (t) => {
  const paths = await files(t)
  const recording = new Recording()
  const credentials = await open('peer', paths, '127.0.0.1', recording)
  const before = credentials.identity
  let replaced = 0
  credentials.onReplaced(() => (replaced += 1))
  const check = async (): Promise<void> => {
    for (let times = 0; times < 3; times++) await credentials.check({ now: false })
  }
  const good = before.cert.toString()

  await writeFile(paths.cert, (await issue({}, await authority('another CA'))).cert)
  await check()
  t.equal(credentials.identity, before)
  t.same(recording.events, ['certificate files refused; going on with the ones before'], 'told once')
  t.match(credentials.warnings, [
    { code: 'certificate-files', detail: /goes on with the ones before: --peer-tls-key .*not the key/ },
  ])

  await rm(paths.cert)
  await check()
  t.match(credentials.warnings, [{ detail: /--peer-tls-cert \S+ cannot be read/ }])
  t.equal(credentials.view.failures, 2)

  await writeFile(paths.cert, good)
  await check()
  t.same(credentials.warnings, [])
  t.equal(recording.events.at(-1), 'certificate files restored')

  const early = { notBefore: new Date(recording.at + DAY_MS), notAfter: new Date(recording.at + 90 * DAY_MS) }
  const { cert, key } = await issue(early)
  await Promise.all([writeFile(paths.cert, cert), writeFile(paths.key, key)])
  await check()
  t.match(credentials.warnings, [{ detail: /is not valid before/ }])
  t.equal(replaced, 0)
  recording.at += 2 * DAY_MS
  await check()
  t.equal(replaced, 1, 'it is taken up when its time has come')
  t.same(credentials.warnings, [])
})

t.test('certificates are warned of from thirty days before their end', async (t) => {
  const directory = await temporaryDirectory(t)
  const recording = new Recording()
  const ca = await authority()
  const dates = { notBefore: new Date(recording.at - 60 * DAY_MS), notAfter: new Date(recording.at + 31 * DAY_MS) }
  const leaf = await issue(dates)
  const credentials = await open('api', await writePems(directory, leaf, ca.cert), '127.0.0.1', recording)
  t.same(credentials.warnings, [])
  recording.at += 2 * DAY_MS
  t.match(credentials.warnings, [
    { code: 'certificate-expiry', detail: /^the certificate of CN=node in --tls-cert \S+ expires on \d/ },
  ])
  t.equal(credentials.warnings.length, 1)
  recording.at += 40 * DAY_MS
  t.match(credentials.warnings, [{ detail: /expired on/ }])
})

t.test('a certificate that is issued for a short time is warned of when a third of that is left', async (t) => {
  const directory = await temporaryDirectory(t)
  const recording = new Recording()
  const ca = await authority()
  const hours = (count: number): Date => new Date(Math.ceil(recording.at / 1000) * 1000 + (count * DAY_MS) / 24)
  const leaf = await issue({ notBefore: hours(-1), notAfter: hours(23) })
  const credentials = await open('api', await writePems(directory, leaf, ca.cert), '127.0.0.1', recording)
  t.same(credentials.warnings, [])
  t.match(credentials.view.expiries, [{ role: 'certificate', lifetimeSeconds: 86_400 }])
  recording.at += (14 * DAY_MS) / 24
  t.same(credentials.warnings, [], 'it is not to be renewed yet')
  recording.at += (2 * DAY_MS) / 24
  t.match(credentials.warnings, [{ detail: /expires on \d{4}-\d\d-\d\dT\d\d:\d\dZ: renew it/ }])
})

t.test('all mistakes of both listeners are told together; without TLS nothing is read', async (t) => {
  const { directory, ...good } = await files(t)
  const recording = new Recording()
  const { logger, now } = recording
  const dependencies = { logger, now, onUnexpected: (error: unknown) => t.fail(String(error)) }
  const api = { plane: 'api' as const, paths: { ...good, cert: '/no/api' }, host: '127.0.0.1' }
  const peer = { plane: 'peer' as const, paths: { ...good, key: '/no/peer' }, host: '127.0.0.1' }
  const error = await Keyring.open({ api, peer }, dependencies).catch((reason: unknown) => String(reason))
  t.match(error, /^CredentialsError: --tls-cert \/no\/api cannot be read.*--peer-tls-key \/no\/peer cannot be read/)

  const none = await Keyring.open({ api: null, peer: null }, dependencies)
  await none.reload()
  t.same([none.api, none.peer, none.warnings, none.views], [null, null, [], []])
  none.close()

  const one = await Keyring.open({ api: { ...api, paths: good }, peer: null }, dependencies)
  const next = await issue({ commonName: 'next' })
  await writePems(directory, next, (await authority()).cert)
  await one.reload()
  t.equal(one.api?.identity.cert.toString(), next.cert)
  t.match(one.views, [{ plane: 'api', reloads: 1 }])
  one.close()
})
