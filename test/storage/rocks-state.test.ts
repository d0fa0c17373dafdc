import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import RocksDB, { type DatabaseOptions } from 'rocksdb-native'
import t, { type Test } from 'tap'
import { deferred } from '../../src/lib/deferred.ts'
import type { StateRange, StateWrite } from '../../src/ports/state-store.ts'
import type { RocksDbClass } from '../../src/storage/rocksdb/binding.ts'
import { nodeStateFiles, setStateAside, type StateFiles } from '../../src/storage/rocksdb/generations.ts'
import type { SlowCall } from '../../src/storage/rocksdb/disk-watch.ts'
import { RocksStateStore } from '../../src/storage/rocksdb/rocks-state-store.ts'
import { recordEnds } from './rocks-log.ts'
import { smallDisk } from './small-disk.ts'

const EVERYTHING = { start: null, end: null, reverse: false, limit: Infinity, bytesMax: Infinity }

function temporary(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'quorate-state-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function put(key: string, value: string | Buffer): StateWrite {
  return { type: 'put', key: Buffer.from(key), value: Buffer.from(value) }
}

/** Rows and meta as one string; what went wrong instead. */
async function look(directory: string): Promise<string> {
  const store = new RocksStateStore({ directory })
  try {
    const meta = await store.open()
    const view = await store.view()
    const rows = await view.scan(EVERYTHING)
    await view.close()
    const text = rows.map(({ key, value }) => `${Buffer.from(key).toString()}=${Buffer.from(value).toString()}`)
    return `${meta === null ? '-' : Buffer.from(meta).toString()}: ${text.join(' ')}`
  } catch (error) {
    if (!(error instanceof Error)) throw error
    return `${error.constructor.name}: ${error.message}`
  } finally {
    await store.close()
  }
}

t.test('an install leaves the old state or the new one, whatever the moment of a crash', async (t) => {
  const root = temporary(t)
  const directory = join(root, 'state')
  let store = new RocksStateStore({ directory })
  await store.open()
  await store.write([put('a', 'old'), put('b', 'old')], Buffer.from('m1'))
  await store.flush()
  await store.close()

  const images: { at: string; path: string }[] = []
  const keep = (at: string): void => {
    const path = join(root, `image-${images.length}`)
    cpSync(directory, path, { recursive: true })
    images.push({ at, path })
  }
  const files = watchedFiles((call, path) => keep(`before ${call} ${path}`))
  store = new RocksStateStore({ directory }, { files })
  await store.open()
  keep('opened')
  const install = await store.beginInstall()
  keep('begun')
  await install.write([{ key: Buffer.from('a'), value: Buffer.from('new') }])
  keep('half')
  await install.write([{ key: Buffer.from('c'), value: Buffer.from('new') }])
  await install.commit(Buffer.from('m2'))
  keep('committed')
  await store.close()
  keep('closed')

  const seen = new Set<string>()
  let hasNew = false
  for (const { at, path } of images) {
    const found = await look(path)
    t.match(found, /^m1: a=old b=old$|^m2: a=new c=new$/, at)
    if (found.startsWith('m2')) hasNew = true
    else t.notOk(hasNew, `${at}: it never goes back`)
    seen.add(found)
    t.equal(readdirSync(path).filter((name) => name.startsWith('generation-')).length, 1, 'leftovers are removed')
  }
  t.equal(seen.size, 2)
  t.ok(images.length > 10, `${images.length} moments`)
})

t.test('a power cut leaves everything up to some write, whatever it leaves of what was not synced', async (t) => {
  const root = temporary(t)
  const directory = join(root, 'state')
  const store = new RocksStateStore({ directory })
  await store.open()
  let written = 0
  const write = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++, written++) {
      // Some are longer than a block of the log.
      await store.write([put(`k${written}`, 'v'.repeat(written % 3 === 2 ? 40_000 : 100))], Buffer.from(`m${written}`))
    }
  }
  const logs = new Map<string, Buffer>()
  const keepLogs = (): void => {
    const generation = join(directory, 'generation-1')
    for (const name of readdirSync(generation).filter((one) => one.endsWith('.log'))) {
      logs.set(name, readFileSync(join(generation, name)))
    }
  }
  await write(3)
  await store.flush()
  await write(6)
  // From here on no flush has reached the disk, though the logs of three buffers may be there, each in part.
  const original = join(root, 'original')
  cpSync(directory, original, { recursive: true })
  keepLogs()
  for (let more = 0; more < 2; more++) {
    await store.flush()
    await write(4)
    keepLogs()
  }
  await store.close()
  t.equal(logs.size, 3)

  let images = 0
  for (const [damaged, whole] of logs) {
    for (const end of [0, ...recordEnds(whole)]) {
      const zeroed = Buffer.concat([whole.subarray(0, end), Buffer.alloc(whole.length - end)])
      for (const content of [whole.subarray(0, end), whole.subarray(0, Math.max(0, end - 5)), zeroed]) {
        const path = join(root, 'image')
        rmSync(path, { recursive: true, force: true })
        cpSync(original, path, { recursive: true })
        for (const [name, log] of logs) writeFileSync(join(path, 'generation-1', name), log)
        writeFileSync(join(path, 'generation-1', damaged), content)
        // The second opening is that of a node that crashed when it had just recovered.
        for (const opening of content === zeroed ? ['first', 'second'] : ['only']) {
          const found = await look(path)
          const [, meta, rows] = /^m(\d+): (.*)$/.exec(found) ?? []
          const keys = rows?.split(' ').map((row) => row.slice(0, row.indexOf('=')))
          const expected = Array.from({ length: Number(meta) + 1 }, (_, i) => `k${i}`)
          t.same(keys, expected.toSorted(), `${damaged} to ${end} of ${content.length} bytes, ${opening} opening`)
          t.ok(Number(meta) >= 2, 'what was flushed is there')
        }
        images += 1
      }
    }
  }
  t.ok(images > 45, `${images} images`)
})

/** The calls of `nodeStateFiles`, each after `before`. */
function watchedFiles(
  before: (call: string, path: string) => void,
  after: typeof before = () => undefined,
): StateFiles {
  return Object.fromEntries(
    Object.entries(nodeStateFiles).map(([name, call]) => [
      name,
      async (first: string, second: string) => {
        before(name, first)
        await (call as (first: string, second: string) => Promise<void>)(first, second)
        after(name, first)
      },
    ]),
  ) as unknown as StateFiles
}

/** One directory whose names a power cut forgets unless the directory was synced. What RocksDB syncs itself is taken for durable. */
class DurableNames {
  private readonly directory: string
  private readonly contents = new Map<string, Buffer | null>()

  constructor(directory: string) {
    this.directory = directory
  }

  onCall(call: string, path: string): void {
    if (call === 'makeDirectory' && dirname(path) === this.directory) this.contents.set(basename(path), null)
    if (call === 'syncDirectory' && path === this.directory) this.sync()
  }

  afterPowerCut(target: string): void {
    mkdirSync(target, { recursive: true })
    for (const [name, content] of this.contents) {
      const from = join(this.directory, name)
      if (content !== null) writeFileSync(join(target, name), content)
      else if (existsSync(from)) cpSync(from, join(target, name), { recursive: true })
    }
  }

  private sync(): void {
    this.contents.clear()
    for (const entry of readdirSync(this.directory, { withFileTypes: true })) {
      this.contents.set(entry.name, entry.isDirectory() ? null : readFileSync(join(this.directory, entry.name)))
    }
  }
}

t.test('a power cut forgets no generation that was flushed', async (t) => {
  const root = temporary(t)
  const directory = join(root, 'state')
  const names = new DurableNames(directory)
  const images: { path: string; expected: RegExp }[] = []
  let expected = /^-: $/
  const cut = (): void => {
    const path = join(root, `image-${images.length}`)
    names.afterPowerCut(path)
    images.push({ path, expected })
  }
  const files = watchedFiles(cut, (call, path) => names.onCall(call, path))
  const store = new RocksStateStore({ directory }, { files })
  await store.open()
  cut()
  await store.write([put('a', 'old')], Buffer.from('m1'))
  await store.flush()
  expected = /^m1: a=old$/
  cut()
  const install = await store.beginInstall()
  cut()
  await install.write([{ key: Buffer.from('a'), value: Buffer.from('new') }])
  expected = /^m1: a=old$|^m2: a=new$/
  await install.commit(Buffer.from('m2'))
  expected = /^m2: a=new$/
  cut()
  await store.close()
  cut()
  for (const { path, expected: found } of images) t.match(await look(path), found)
  t.ok(images.length > 10, `${images.length} moments`)
})

t.test('an opening makes durable what it finds, before it is used', async (t) => {
  const directory = join(temporary(t), 'state')
  const first = new RocksStateStore({ directory })
  await first.open()
  await first.write([put('a', '1')], Buffer.from('m1'))
  await first.flush()
  await first.close()
  const found = ['current', ...readdirSync(join(directory, 'generation-1')).map((name) => join('generation-1', name))]
  const synced: string[] = []
  const files = watchedFiles(
    () => undefined,
    (call, path) => void (call.startsWith('sync') && synced.push(relative(directory, path))),
  )
  const load = async (): Promise<{ default: RocksDbClass }> => {
    return {
      default: class extends RocksDB {
        constructor(path: string, options?: DatabaseOptions) {
          t.same(new Set(synced), new Set([...found, 'generation-1', '']), 'every file and both directories')
          super(path, options)
        }
      },
    }
  }
  const second = new RocksStateStore({ directory }, { files, load })
  await second.open()
  await second.close()
  t.equal(await look(directory), 'm1: a=1')
})

t.test('a flipped bit: the state of the last flush, or an error that says damaged', async (t) => {
  const root = temporary(t)
  const directory = join(root, 'state')
  const store = new RocksStateStore({ directory })
  await store.open()
  for (let i = 0; i < 10; i++) await store.write([put(`k${i}`, `${i}`.repeat(1000))], Buffer.from(`m${i}`))
  await store.flush()
  for (let i = 10; i < 20; i++) await store.write([put(`k${i}`, `${i}`.repeat(500))], Buffer.from(`m${i}`))
  const original = join(root, 'original')
  cpSync(directory, original, { recursive: true })
  await store.close()

  const outcomes = { whole: 0, damaged: 0 }
  for (const name of readdirSync(join(original, 'generation-1'))) {
    const content = readFileSync(join(original, 'generation-1', name))
    if (name === 'LOG' || content.length === 0) continue
    for (const part of [0.02, 0.5, 0.999]) {
      const path = join(root, 'flipped')
      rmSync(path, { recursive: true, force: true })
      cpSync(original, path, { recursive: true })
      const flipped = Buffer.from(content)
      const at = Math.floor(content.length * part)
      flipped.writeUInt8(flipped.readUInt8(at) ^ 8, at)
      writeFileSync(join(path, 'generation-1', name), flipped)
      const text = await look(path)
      if (text.startsWith('DamagedStateError')) {
        outcomes.damaged += 1
        continue
      }
      t.match(text, /^m9: /, `${name} at ${at}`)
      t.equal(text.split(' ').length - 1, 10, `${name} at ${at}: the rows belong to the meta`)
      outcomes.whole += 1
    }
  }
  t.ok(outcomes.whole > 0 && outcomes.damaged > 3, JSON.stringify(outcomes))
})

t.test('files that are missing, foreign or newer', async (t) => {
  const root = temporary(t)
  const original = join(root, 'original')
  const store = new RocksStateStore({ directory: original })
  await store.open()
  await store.write([put('a', '1')], Buffer.from('m1'))
  await store.flush()
  await store.close()
  const expected = await look(original)
  t.equal(expected, 'm1: a=1')
  const sst = readdirSync(join(original, 'generation-1')).find((name) => name.endsWith('.sst')) ?? ''
  const cases: [string, (path: string) => void, RegExp][] = [
    ['an SST file', (path) => rmSync(join(path, 'generation-1', sst)), /^DamagedStateError.*No such file/],
    ['CURRENT', (path) => rmSync(join(path, 'generation-1', 'CURRENT')), /^DamagedStateError.*CURRENT.*is missing/],
    [
      'current',
      (path) => rmSync(join(path, 'current')),
      /^DamagedStateError.*the file current is missing.*can be rebuilt/,
    ],
    [
      'the content of current',
      (path) => writeFileSync(join(path, 'current'), '{"format'),
      /^DamagedStateError.*cannot be read/,
    ],
    [
      'sense',
      (path) => writeFileSync(join(path, 'current'), '{"format":1,"generation":-4}'),
      /^DamagedStateError.*is not valid/,
    ],
    [
      'the generation',
      (path) => writeFileSync(join(path, 'current'), '{"format":1,"generation":3}'),
      /^DamagedStateError.*generation-3 is missing/,
    ],
    [
      'the first generation',
      (path) => rmSync(join(path, 'generation-1'), { recursive: true }),
      /^DamagedStateError.*generation-1 is missing/,
    ],
    [
      'a newer format',
      (path) => writeFileSync(join(path, 'current'), '{"format":2,"generation":1}'),
      /^StorageError.*has format 2.*newer version/,
    ],
    [
      'a stranger',
      (path) => writeFileSync(join(path, 'notes.txt'), ''),
      /^StorageError.*notes.txt is not a file of the state/,
    ],
    [
      'leftovers',
      (path) => [mkdirSync(join(path, 'generation-2')), writeFileSync(join(path, 'current.tmp'), 'x')],
      /^m1: a=1$/,
    ],
  ]
  for (const [what, plant, message] of cases) {
    const path = join(root, 'case')
    rmSync(path, { recursive: true, force: true })
    cpSync(original, path, { recursive: true })
    plant(path)
    t.match(await look(path), message, what)
  }
  await setStateAside(original)
  t.equal(await look(original), '-: ')
})

t.test('damage that is met while running is remembered', async (t) => {
  const directory = join(temporary(t), 'state')
  const store = new RocksStateStore({ directory })
  await store.open()
  for (let i = 0; i < 200; i++) await store.write([put(`k${i}`, `${i}`.repeat(300))], Buffer.from(`m${i}`))
  await store.flush()
  await store.close()
  const generation = join(directory, 'generation-1')
  for (const name of readdirSync(generation).filter((one) => one.endsWith('.sst'))) {
    const content = readFileSync(join(generation, name))
    content.fill(0x55, content.length >> 1, (content.length >> 1) + 100)
    writeFileSync(join(generation, name), content)
  }
  const again = new RocksStateStore({ directory })
  await again.open()
  const view = await again.view()
  await t.rejects(view.scan(EVERYTHING), {
    name: 'StorageError',
    kind: 'refused',
    message: /is damaged: .*checksum mismatch/,
  })
  await t.rejects(again.write([put('x', '1')], Buffer.from('m')), { message: /is damaged/ }, 'and ends the store')
  await again.close()
  t.match(await look(directory), /^DamagedStateError.*met while the node was running/)
  await setStateAside(directory)
  t.equal(await look(directory), '-: ')
})

t.test('a state in use by another store is refused', async (t) => {
  const directory = join(temporary(t), 'state')
  const store = new RocksStateStore({ directory })
  await store.open()
  const second = new RocksStateStore({ directory })
  await t.rejects(second.open(), { name: 'StorageError', kind: 'refused', message: /in use by another process/ })
  await second.close()
  await store.write([put('a', '1')], Buffer.from('m'))
  await store.close()
})

t.test('a library that is missing is named', async (t) => {
  const directory = join(temporary(t), 'state')
  const failing = (message: string): RocksStateStore =>
    new RocksStateStore({ directory }, { load: async () => Promise.reject(new Error(message)) })
  await t.rejects(failing('libatomic.so.1: cannot open shared object file: No such file or directory').open(), {
    name: 'StorageError',
    kind: 'refused',
    message: /libatomic is missing: install it \(package libatomic1 in Debian/,
  })
  await t.rejects(failing('Cannot find addon').open(), {
    message: /no build of RocksDB for this system .*or this package was packed for another one/,
  })
  t.notOk(existsSync(directory), 'and nothing is written')
})

t.test('views keep a replaced state alive until they are closed', async (t) => {
  const directory = join(temporary(t), 'state')
  const store = new RocksStateStore({ directory })
  await store.open()
  await store.write([put('a', '1')], Buffer.from('m1'))
  const view = await store.view()
  for (let i = 2; i < 5; i++) {
    const install = await store.beginInstall()
    await install.write([{ key: Buffer.from('a'), value: Buffer.from(`${i}`) }])
    await install.commit(Buffer.from(`m${i}`))
  }
  t.equal((await view.scan(EVERYTHING)).length, 1)
  t.ok(existsSync(join(directory, 'generation-1')))
  await view.close()
  await store.close()
  t.same(readdirSync(directory).toSorted(), ['current', 'generation-4'])
  t.equal(await look(directory), 'm4: a=4')
})

t.test('a full disk ends the store and loses nothing that was flushed', async (t) => {
  const disk = smallDisk(t, 8)
  if (disk === null) return
  const directory = join(disk.path, 'state')
  const store = new RocksStateStore({ directory, writeBufferBytes: 1024 * 1024 })
  await store.open()
  await store.write([put('first', '1')], Buffer.from('m0'))
  await store.flush()
  let written = 0
  const fill = async (): Promise<void> => {
    for (;;) {
      const value = Buffer.alloc(50_000)
      for (let at = 0; at < value.length; at += 4) value.writeUInt32LE(Math.imul(at + written, 0x9e3779b1) >>> 0, at)
      await store.write([put(`k${String(written).padStart(6, '0')}`, value)], Buffer.from(`m${written + 1}`))
      written += 1
    }
  }
  await t.rejects(fill(), { name: 'StorageError', kind: 'failed', message: /disk is full/ })
  await t.rejects(store.write([], Buffer.from('m')), { name: 'StorageError' })
  await t.rejects(store.flush(), { name: 'StorageError' })
  await store.close().catch(() => undefined)
  disk.grow(64)
  const again = new RocksStateStore({ directory })
  const meta = Buffer.from((await again.open()) ?? '').toString()
  const view = await again.view()
  const rows = await view.scan(EVERYTHING)
  t.equal(`m${rows.length - 1}`, meta, 'rows and meta belong together')
  t.ok(rows.length - 1 <= written)
  await view.close()
  await again.close()
})

/** What no compression makes smaller. */
function noise(seed: number, bytes: number): Buffer {
  const value = Buffer.alloc(bytes)
  let word = seed
  for (let at = 0; at + 4 <= bytes; at += 4) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0
    value.writeUInt32LE(word, at)
  }
  return value
}

t.test('a compaction gives back what was deleted, as a whole where there is room, and else in parts', async (t) => {
  const MIB = 1024 * 1024
  for (const [name, freeBytes] of [
    ['as a whole', 1e12],
    ['in parts', 24 * MIB],
  ] as const) {
    const directory = join(temporary(t), 'state')
    const ranges: (readonly [start: string, end: string])[] = []
    class Watched extends RocksDB {
      override async compactRange(start?: Uint8Array, end?: Uint8Array): Promise<void> {
        const [from, to] = [start, end].map((key) => Buffer.from(key ?? '').toString('hex'))
        ranges.push([from ?? '', to ?? ''])
        return start === undefined ? super.compactRange() : super.compactRange(start, end)
      }
    }
    const store = new RocksStateStore(
      { directory, writeBufferBytes: 2 * MIB },
      { load: async () => ({ default: Watched }), freeBytes: async () => freeBytes },
    )
    await store.open()
    const keyOf = (at: number): string => `\u0001same-prefix/${String(at).padStart(6, '0')}`
    for (let at = 0; at < 240; at += 8) {
      const rows = Array.from({ length: 8 }, (_, more) => put(keyOf(at + more), noise(at + more + 1, 256 * 1024)))
      await store.write(rows, Buffer.from(`m${at}`))
    }
    await store.flush()
    const sizes = [store.sizeBytes()]
    const removed = Array.from({ length: 200 }, (_, at) => ({ type: 'delete' as const, key: Buffer.from(keyOf(at)) }))
    await store.write(removed, Buffer.from('removed'))
    await store.flush()
    t.equal(await store.compact(), 'done', name)
    sizes.push(store.sizeBytes())
    const [before = 0, after = 0] = sizes
    t.ok(before > 55 * MIB && after < 15 * MIB, `${name}: from ${before} to ${after} bytes`)
    t.equal(ranges.length > 1, name === 'in parts', `${name}: ${ranges.length} compactions`)
    for (const [at, [start]] of ranges.entries()) if (at > 0) t.equal(start >= (ranges[at - 1]?.[1] ?? ''), true)
    t.equal(await store.compact(), 'nothing', 'nothing was deleted since')
    await store.write([put('other', '1')], Buffer.from('m'))
    t.equal(await store.compact(), 'nothing', 'nor by a put')
    const view = await store.view()
    const rows = await view.scan({ ...EVERYTHING, bytesMax: 1e9 })
    t.same(
      rows.map(({ key }) => Buffer.from(key).toString()),
      [...Array.from({ length: 40 }, (_, at) => keyOf(200 + at)), 'other'],
    )
    await view.close()
    await store.close()
  }
})

t.test('a compaction without room for any part leaves everything as it is, and is tried again', async (t) => {
  const directory = join(temporary(t), 'state')
  let free = 0
  const store = new RocksStateStore({ directory }, { freeBytes: async () => free })
  await store.open()
  for (let at = 0; at < 4; at++) await store.write([put(`k${at}`, noise(at + 1, 4_000_000))], Buffer.from('m'))
  await store.flush()
  t.equal(await store.compact(), 'no-room')
  free = 1e12
  t.equal(await store.compact(), 'done', 'nobody has deleted anything since, and yet')
  await store.close()
})

/** RocksDB whose flushes wait for `room` while `isFull`. */
function waitingRocksDb(disk: { isFull: boolean; readonly room: Promise<void> }): typeof RocksDB {
  return class extends RocksDB {
    override async flush(): Promise<void> {
      if (disk.isFull) await disk.room
      return super.flush()
    }
  }
}

t.test('a flush that waits for room fails with the reason, and the close does not wait for it', async (t) => {
  const directory = join(temporary(t), 'state')
  const room = deferred<void>()
  t.teardown(() => room.resolve())
  const disk = { isFull: false, room: room.promise }
  const slow: SlowCall[] = []
  let looks = 0
  const store = new RocksStateStore(
    { directory, slowMs: 20 },
    {
      load: async () => ({ default: waitingRocksDb(disk) }),
      freeBytes: async () => (++looks <= 3 ? 1e12 : 300_000),
      onSlow: (call) => slow.push(call),
    },
  )
  await store.open()
  await store.write([put('a', '1')], Buffer.from('m1'))
  await store.flush()
  await store.write([put('b', '1')], Buffer.from('m2'))
  disk.isFull = true
  looks = 0
  slow.length = 0
  await t.rejects(store.flush(), {
    name: 'StorageError',
    kind: 'failed',
    message:
      /Could not flush the state: the disk is full: free some space.*has not answered for 0\.\d+ s; 300000 bytes are free/,
  })
  t.same(new Set(slow.map(({ action }) => action)), new Set(['flush the state']), 'with room it was waited for')
  await t.rejects(store.write([], Buffer.from('m3')), { message: /the disk is full/ }, 'the store has failed')
  await store.close()
})

t.test('a slow disk with room, or one that does not tell, is waited for', async (t) => {
  for (const freeBytes of [async () => 1e12, async () => Promise.reject(new Error('no such call'))]) {
    const room = deferred<void>()
    const slow: SlowCall[] = []
    const store = new RocksStateStore(
      { directory: join(temporary(t), 'state'), slowMs: 10 },
      {
        load: async () => ({ default: waitingRocksDb({ isFull: true, room: room.promise }) }),
        freeBytes,
        onSlow: (call) => {
          if (slow.push(call) === 5) room.resolve()
        },
      },
    )
    await store.open()
    await store.write([put('a', '1')], Buffer.from('m1'))
    await store.flush()
    t.ok(slow.length >= 5)
    await store.write([put('b', '1')], Buffer.from('m2'))
    await store.close()
  }
})

t.test('writers wait outside of RocksDB, which stops none, and memory stays bounded', async (t) => {
  const directory = join(temporary(t), 'state')
  const writeBufferBytes = 256 * 1024
  const databases: RocksDB[] = []
  const load = async () => ({
    default: class extends RocksDB {
      override async ready(): Promise<void> {
        databases.push(this)
        return super.ready()
      }
    },
  })
  const store = new RocksStateStore({ directory, writeBufferBytes }, { load })
  await store.open()
  let most = 0
  for (let written = 0; written < 400; written++) {
    await store.write([put(`k${written}`, randomBytes(40_000))], Buffer.from(`m${written}`))
    most = Math.max(most, Number(await databases[0]?.getProperty('rocksdb.cur-size-all-mem-tables')))
  }
  await store.close()
  t.ok(most > 0 && most < 4 * writeBufferBytes, `${most} bytes in memory`)
  const log = readFileSync(join(directory, 'generation-1', 'LOG'), 'utf8')
  t.match(log, /flush_started/)
  t.notMatch(log, /Stopping writes/)
})
t.test('rows are read once, page after page, though large ones follow small ones', async (t) => {
  const store = new RocksStateStore({ directory: join(temporary(t), 'state') })
  await store.open()
  const small = Array.from({ length: 200 }, (_, i) => put(`a${1000 + i}`, 'x'))
  await store.write(small, Buffer.from('m'))
  const value = Buffer.alloc(500_000, 'v')
  for (let i = 0; i < 60; i++) await store.write([put(`b${100 + i}`, value)], Buffer.from('m'))
  await store.flush()
  for (const reverse of [false, true]) {
    const view = await store.view()
    const before = bytesRead()
    const keys: string[] = []
    let range: StateRange = { ...EVERYTHING, reverse, limit: 4096, bytesMax: 256 * 1024 }
    for (let page = await view.scan(range); page.length > 0; page = await view.scan(range)) {
      keys.push(...page.map(({ key }) => Buffer.from(key).toString()))
      const last = Buffer.from(page.at(-1)?.key ?? [])
      range = { ...range, ...(reverse ? { end: last } : { start: Buffer.concat([last, Buffer.from([0])]) }) }
    }
    const read = bytesRead() - before
    await view.close()
    t.equal(keys.length, 260)
    t.same(keys, reverse ? keys.toSorted().toReversed() : keys.toSorted())
    const times = read / (60 * value.length)
    t.ok(times < 2, `${times.toFixed(2)} times the rows' size was read`)
  }
  await store.close()
})

t.test('pages that do not follow each other, and two walks over one view', async (t) => {
  const store = new RocksStateStore({ directory: join(temporary(t), 'state') })
  await store.open()
  const names = Array.from({ length: 100 }, (_, i) => `k${100 + i}`)
  await store.write(
    names.map((name) => put(name, name)),
    Buffer.from('m'),
  )
  const view = await store.view()
  const page = async (start: string, limit: number): Promise<string[]> => {
    const rows = await view.scan({ ...EVERYTHING, start: Buffer.from(start), limit })
    return rows.map(({ key }) => Buffer.from(key).toString())
  }
  t.same(await page('k100', 3), ['k100', 'k101', 'k102'])
  t.same(await page('k100', 2), ['k100', 'k101'], 'again from the beginning')
  t.same(await page('k150', 2), ['k150', 'k151'], 'further on')
  t.same(await page('k101\0', 2), ['k102', 'k103'], 'back to where a page ended')
  const both = await Promise.all([page('k103\0', 2), page('k103\0', 3)])
  t.same(both, [
    ['k104', 'k105'],
    ['k104', 'k105', 'k106'],
  ])
  await view.close()
  await store.close()
})

/** Everything that this process has read from files so far; nothing else reads here. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
}
