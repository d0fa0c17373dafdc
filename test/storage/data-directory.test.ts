import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { NodeId } from '../../src/raft/index.ts'
import { recover } from '../../src/recovery.ts'
import { restore } from '../../src/restore.ts'
import { lockFile } from '../../src/storage/directory-lock.ts'
import { NOTHING_REMEMBERED } from '../../src/ports/automation.ts'
import { FileFormationRegister } from '../../src/storage/formation-register.ts'
import { openDataDirectory } from '../../src/storage/identity.ts'
import { FileBackupRegister } from '../../src/storage/backup-register.ts'
import { refuseForeignDirectory } from '../../src/storage/ownership.ts'
import { FilePeerRegister } from '../../src/storage/peer-register.ts'
import { WalLogStore } from '../../src/storage/wal/wal-log-store.ts'

const node1 = { nodeId: 1 as NodeId }
const options = { segmentBytes: 4096, cacheBytesMax: 0 }

function temporary(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'quorate-data-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** One life of a node: the directory, the log, the end. */
async function live(path: string): Promise<string> {
  const directory = await openDataDirectory(path, node1)
  const log = new WalLogStore({ ...options, directory: join(path, 'log') })
  await log.open()
  await directory.noteLog()
  await log.close()
  await directory.close()
  return directory.incarnation
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function refusal(message: RegExp): { name: string; kind: string; message: RegExp } {
  return { name: 'StorageError', kind: 'refused', message }
}

t.test('a new directory is made private and keeps its incarnation', async (t) => {
  const path = join(temporary(t), 'a', 'b')
  const first = await live(path)
  t.match(first, /^[0-9a-f]{32}$/)
  t.equal(statSync(path).mode & 0o777, 0o700)
  t.equal(await live(path), first)
  const other = join(temporary(t), 'data')
  t.not(await live(other), first)
})

t.test('an existing empty directory will do, also the root of a volume', async (t) => {
  const path = temporary(t)
  chmodSync(path, 0o755)
  mkdirSync(join(path, 'lost+found'))
  await live(path)
  t.equal(statSync(path).mode & 0o777, 0o700)
})

t.test('one process at a time', async (t) => {
  const path = temporary(t)
  const directory = await openDataDirectory(path, node1)
  const message = new RegExp(`in use by process ${process.pid} `)
  await t.rejects(openDataDirectory(path, node1), refusal(message))
  await t.rejects(openDataDirectory(path, node1), refusal(message), 'the refusal leaves the lock alone')
  await directory.close()
  await directory.close()
  const again = await openDataDirectory(path, node1)
  await again.close()
})

t.test('the lock dies with the process that holds it', async (t) => {
  for (const program of ['flock', 'no-such-program']) {
    const path = join(temporary(t), 'lock')
    const module = new URL('../../src/storage/directory-lock.ts', import.meta.url)
    const source = existsSync(module) ? module : new URL('../../src/storage/directory-lock.js', import.meta.url)
    const code = `const { lockFile } = await import(${JSON.stringify(source.href)}); await lockFile(${JSON.stringify(path)}, '${program}'); console.log('locked'); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, [...process.execArgv, '--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    await t.rejects(lockFile(path, program), refusal(new RegExp(`in use by process ${child.pid} `)), program)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const lock = await lockFile(path, program)
    await t.rejects(lockFile(path, program), refusal(/in use/))
    await lock.release()
  }
})

t.test('without the program, a process id that came round again does not count', async (t) => {
  const path = join(temporary(t), 'lock')
  for (const left of [`${process.pid} 1 another-boot\n`, '999999999\n', 'garbage\n', '-1\n', '']) {
    writeFileSync(path, left)
    const lock = await lockFile(path, 'no-such-program')
    await lock.release()
  }
  t.equal(readFileSync(path, 'utf8'), '')
})

t.test('a program that cannot lock is a failure, not a lock', async (t) => {
  const path = join(temporary(t), 'lock')
  const program = join(temporary(t), 'flock')
  writeFileSync(program, '#!/bin/sh\nexit 71\n', { mode: 0o755 })
  await t.rejects(lockFile(path, program), { name: 'StorageError', kind: 'failed', message: /status 71/ })
})

t.test('a directory of another user is opened by nobody but the node', async (t) => {
  const path = temporary(t)
  await live(path)
  await refuseForeignDirectory(path)
  await refuseForeignDirectory(join(path, 'none'))
  const { uid } = statSync(path)
  const before = readdirSync(path)
  t.intercept(process, 'geteuid', { value: () => uid + 1 })
  const refused = refusal(new RegExp(`belongs to the user with the id ${uid}, .*: sudo -u '#${uid}' quorate`))
  await t.rejects(refuseForeignDirectory(path), refused)
  const options = { dataDirectory: path, id: null, raft: null, api: null, resetAuth: false, revisionGap: 0 }
  for (const carryOut of [false, true]) await t.rejects(recover({ ...options, carryOut }), refused)
  const members = [{ id: 1, raft: '127.0.0.1:7101', api: 'http://127.0.0.1:7001' }]
  const empty = temporary(t)
  const wishes = { dataDirectory: empty, id: 1, members, clusterToken: '', revisionGap: 0, name: '' }
  for (const carryOut of [false, true]) await t.rejects(restore(nothing(), { ...wishes, carryOut }), refused)
  t.same([readdirSync(path), readdirSync(empty)], [before, []])
})

t.test('refuses what is not its own', async (t) => {
  const path = temporary(t)
  await live(path)
  await t.rejects(openDataDirectory(path, { nodeId: 2 as NodeId }), refusal(/belongs to node 1, and this is node 2/))

  const identity = join(path, 'identity.json')
  const content = readFileSync(identity, 'utf8')
  const cases: [string, RegExp][] = [
    [content.replace('"format":1', '"format":2'), /has format 2.*newer version/],
    [content.slice(0, 20), /not JSON/],
    ['', /not JSON/],
    ['[]', /not a JSON object/],
    ['{}', /fields are missing/],
    [content.replace(/"incarnation":"\w+"/, '"incarnation":""'), /no incarnation/],
  ]
  for (const [text, message] of cases) {
    writeFileSync(identity, text)
    await t.rejects(openDataDirectory(path, node1), refusal(message))
  }
  rmSync(identity)
  await t.rejects(openDataDirectory(path, node1), refusal(/holds data of a node \(log\) but no identity.json/))
  writeFileSync(identity, content)
  await live(path)

  const foreign = temporary(t)
  writeFileSync(join(foreign, 'holiday.jpg'), '')
  await t.rejects(openDataDirectory(foreign, node1), refusal(/not a data directory of Quorate.*holiday.jpg/))
  t.notOk(existsSync(join(foreign, 'lock')), 'and leaves it as it was')

  const file = join(foreign, 'holiday.jpg')
  await t.rejects(openDataDirectory(file, node1), refusal(/holiday\.jpg is not a directory/))
  await t.rejects(openDataDirectory(join(file, 'a'), node1), refusal(/a part of the path is not a directory/))
})

t.test('a wiped log is a loss, from its first moment on', async (t) => {
  const gone = refusal(/The log of node 1 is gone.*remove this node.*may keep its id/)
  const path = temporary(t)
  await live(path)
  rmSync(join(path, 'log'), { recursive: true })
  await t.rejects(openDataDirectory(path, node1), gone, 'the identity shows it after the first life')
  mkdirSync(join(path, 'log'))
  await t.rejects(openDataDirectory(path, node1), refusal(/missing or empty/))
})

t.test(
  'a wiped log is a loss, though a crash or an earlier version has not written down that there was one',
  async (t) => {
    const traces: [string, (path: string) => void][] = [
      ['the state', (path) => mkdirSync(join(path, 'state', 'generation-1'), { recursive: true })],
      ...['peers.json', 'formation.json', 'backup.json'].map((name): [string, (path: string) => void] => [
        name,
        (path) => writeFileSync(join(path, name), '{}'),
      ]),
    ]
    for (const [name, leave] of traces) {
      const path = temporary(t)
      const directory = await openDataDirectory(path, node1)
      await directory.close()
      t.equal(await live(path), directory.incarnation, 'before there was a log, nothing is lost')
      const identity = join(path, 'identity.json')
      writeFileSync(identity, readFileSync(identity, 'utf8').replace('"logCreated":true', '"logCreated":false'))
      leave(path)
      t.equal(await live(path), directory.incarnation, 'the log is there')
      writeFileSync(identity, readFileSync(identity, 'utf8').replace('"logCreated":true', '"logCreated":false'))
      rmSync(join(path, 'log'), { recursive: true })
      await t.rejects(openDataDirectory(path, node1), refusal(/The log of node 1 is gone/), `${name} shows it`)
    }
  },
)

t.test('a crash right after the identity was written leaves a directory that can be used', async (t) => {
  const path = temporary(t)
  const directory = await openDataDirectory(path, node1)
  await directory.close()
  writeFileSync(join(path, 'identity.json.tmp'), 'half')
  t.equal(await live(path), directory.incarnation)
})

t.test('peers are remembered', async (t) => {
  const path = temporary(t)
  const peers = new FilePeerRegister(path)
  t.same([...(await peers.load())], [])
  await Promise.all([
    peers.remember(2 as NodeId, 'aa'),
    peers.remember(3 as NodeId, 'bb'),
    peers.remember(2 as NodeId, 'cc'),
  ])
  await peers.remember(3 as NodeId, 'bb')
  t.same(
    [...(await new FilePeerRegister(path).load())],
    [
      [2, 'cc'],
      [3, 'bb'],
    ],
  )
  await peers.forget(2 as NodeId)
  await peers.forget(9 as NodeId)
  t.same([...(await new FilePeerRegister(path).load())], [[3, 'bb']])
  await Promise.all([peers.remember(3 as NodeId, 'dd'), peers.forget(3 as NodeId), peers.remember(3 as NodeId, 'bb')])
  t.same(
    [...(await new FilePeerRegister(path).load())],
    [[3, 'bb']],
    'changes are made in the order in which they were asked for',
  )

  const file = join(path, 'peers.json')
  const cases: [string, RegExp][] = [
    ['{', /not JSON.*remove the file/],
    ['null', /not a JSON object/],
    ['{}', /names no format/],
    ['{"format":7}', /has format 7/],
    ['{"format":1}', /no incarnations/],
    ['{"format":1,"incarnations":{"2":5}}', /entry of node 2 is not valid/],
    ['{"format":1,"incarnations":{"02":"x"}}', /is not valid/],
  ]
  for (const [text, message] of cases) {
    writeFileSync(file, text)
    const register = new FilePeerRegister(path)
    await t.rejects(register.load(), refusal(message))
    await t.rejects(register.remember(2 as NodeId, 'x'), refusal(message))
  }
  rmSync(file)
  mkdirSync(file)
  await t.rejects(new FilePeerRegister(path).load(), /EISDIR/)
})

t.test('the last backup is remembered; what of it cannot be read is no reason to stop', async (t) => {
  const path = temporary(t)
  const register = new FileBackupRegister(path)
  t.equal(await register.load(), null)
  const backups = [1, 2, 3].map((n) => ({ takenAtMs: 1_700_000_000_000 + n, seconds: n / 2, bytes: 1_000 * n }))
  await Promise.all(backups.map((backup) => register.store(backup)))
  t.same(await new FileBackupRegister(path).load(), backups[2])
  const file = join(path, 'backup.json')
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.replace('"format":1', '"format":2'))
  t.equal(await register.load(), null, 'what a newer version wrote says nothing here')
  const cases: [string, RegExp][] = [
    ['{', /backup.json cannot be read: it is not JSON. It is written anew with the next backup./],
    ['[]', /not a JSON object/],
    ['{"format":1}', /its numbers are none/],
    ['{"format":1,"takenAtMs":-1,"seconds":0,"bytes":0}', /its numbers are none/],
  ]
  for (const [wrong, message] of cases) {
    writeFileSync(file, wrong)
    await t.rejects(register.load(), { message })
  }
  await register.store(backups[0] ?? { takenAtMs: 0, seconds: 0, bytes: 0 })
  t.same(await register.load(), backups[0])
})

t.test('a register of peers that cannot be written is a fault of the storage', async (t) => {
  const path = temporary(t)
  mkdirSync(join(path, 'peers.json.tmp'))
  const peers = new FilePeerRegister(path)
  const fault = { name: 'StorageError', kind: 'failed', message: /Could not write .*peers\.json: .*EISDIR/ }
  await t.rejects(peers.remember(2 as NodeId, 'aa'), fault)
})

t.test('what was promised before there was a cluster is remembered, whole or not at all', async (t) => {
  const path = temporary(t)
  const register = (incarnation = 'aa'): FileFormationRegister => new FileFormationRegister(path, incarnation)
  t.same(await register().load(), NOTHING_REMEMBERED, 'of a directory that has no such file')
  const pledge = { clusterId: 't-1', members: [{ id: 1, raft: 'a:1', api: 'http://a:2' }] }
  for (const memory of [
    { round: 1, pledge, metCluster: null },
    { round: 1, pledge: null, metCluster: 't-2' },
    { round: 7, pledge, metCluster: 't-2' },
  ]) {
    await register().store(memory)
    t.same(await register().load(), memory)
  }

  const file = join(path, 'formation.json')
  const good = readFileSync(file, 'utf8')
  await t.rejects(register('bb').load(), refusal(/belongs to another data directory/))
  const cases: [string, RegExp][] = [
    ['{', /not JSON.*empty data directory/],
    ['[]', /not a JSON object/],
    ['{}', /names no format/],
    ['{"format":9}', /has format 9; start the newer version/],
    [good.replace('"round":7', '"round":-1'), /names no round/],
    [good.replace('"round":7', '"round":8'), /its checksum is wrong/],
    [good.replace('a:1', 'b:1'), /its checksum is wrong/],
    [good.replace('"t-2"', '2'), /the cluster that was met is not valid/],
    [good.replace('"clusterId":"t-1"', '"clusterId":1'), /the pledge is not valid/],
    [good.replace('"id":1', '"id":"1"'), /a member of the pledge is not valid/],
    [good.replace(/"members":\[.*\]/, `"members":[${'{},'.repeat(64)}{}]`), /the pledge is not valid/],
  ]
  for (const [text, message] of cases) {
    writeFileSync(file, text)
    await t.rejects(register().load(), refusal(message), text.slice(0, 80))
  }
  rmSync(file)
  mkdirSync(file)
  await t.rejects(register().load(), /EISDIR/)
  await t.rejects(register().store(NOTHING_REMEMBERED), { name: 'StorageError' })
})
