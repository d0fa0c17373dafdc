import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import type { LogContents, LogStore, LogWrite } from '../../src/ports/log-store.ts'
import type { WalLogStoreDependencies } from '../../src/storage/wal/wal-log-store.ts'
import { WalLogStore } from '../../src/storage/wal/wal-log-store.ts'
import { batch, describeEntries, entryNames, index, logId } from '../contract/entries.ts'
import { describeLog, LogModel } from './log-model.ts'
import { type Call, failure, MemoryFiles } from './memory-files.ts'
import { smallDisk } from './small-disk.ts'

async function openOn(
  files: MemoryFiles,
  segmentBytes = 1536,
  cacheBytesMax = 0,
  dependencies: WalLogStoreDependencies = {},
): Promise<{ store: WalLogStore; contents: LogContents }> {
  const store = new WalLogStore({ directory: '/log', segmentBytes, cacheBytesMax }, { ...dependencies, files })
  return { store, contents: await store.open() }
}

function append(term: number, first: number, last: number, bytes = 12): LogWrite {
  return { type: 'append', batch: batch(term, first, last, bytes) }
}

function vote(term: number): LogWrite {
  return {
    type: 'hard-state',
    state: { vote: { leaderId: logId(term, 1, 0).leaderId, committed: false }, clusterId: null },
  }
}

/** A random write that a node could make next. */
function drawWrites(random: SeededRandom, model: LogModel): LogWrite[] {
  const writes: LogWrite[] = []
  const now = model.copy()
  const add = (write: LogWrite): void => {
    writes.push(write)
    now.apply(write)
  }
  const lastTerm = (): number => now.terms.at(-1) ?? now.purged?.leaderId.term ?? 1
  for (let i = random.integer(1, 4); i > 0; i--) {
    const kind = random.integer(0, 20)
    if (kind < 10) {
      const term = lastTerm() + (random.integer(0, 6) === 0 ? 1 : 0)
      const large = random.integer(0, 12) === 0
      add(append(term, now.last + 1, now.last + random.integer(1, large ? 3 : 9), large ? 900 : random.integer(0, 40)))
    } else if (kind < 13 && now.terms.length > 0) {
      add({ type: 'truncate', from: index(random.integer(now.first, now.last + 2)) })
    } else if (kind < 16 && now.terms.length > 0) {
      const upTo = random.integer(now.first, now.last + 1)
      add({ type: 'purge', purged: logId(now.terms[upTo - now.first] ?? 0, 1, upTo) })
    } else if (kind < 17) {
      add({ type: 'reset', purged: logId(lastTerm() + 1, 1, now.last + random.integer(1, 20)) })
    } else {
      add(vote(now.hardState.vote.leaderId.term + 1))
    }
  }
  return writes
}

class PowerCut extends Error {}

/** Opens the log of `files`, cutting the power at call number `cutAt`; the disk then, or the open store. */
async function openUntil(
  files: MemoryFiles,
  cutAt: number,
  random: SeededRandom,
): Promise<MemoryFiles | Awaited<ReturnType<typeof openOn>>> {
  let cut: MemoryFiles | null = null
  files.beforeCall = () => {
    if (files.calls < cutAt) return
    cut ??= files.afterPowerCut(random, { reached: (offset) => offset < 90 })
    throw new PowerCut()
  }
  try {
    const opened = await openOn(files)
    files.beforeCall = () => undefined
    // The power may also have gone in the background.
    return cut ?? opened
  } catch (error) {
    if (cut === null) throw error
    return cut
  }
}

t.test('random writes, reads, restarts and power cuts against an array', async (t) => {
  const seeds = [1, 2, 3, 4, 5, 6]
  let lives = 0
  let cuts = 0
  for (const seed of seeds) {
    const random = new SeededRandom(seed)
    let files = new MemoryFiles()
    let model = new LogModel()
    for (let life = 0; life < 40; life++) {
      lives += 1
      const opened = await openUntil(files, files.calls + random.integer(1, 90), random)
      if (opened instanceof MemoryFiles) {
        files = opened
        cuts += 1
        continue
      }
      const { store, contents } = opened
      t.equal(await describeLog(store, contents), model.describe(), `seed ${seed}, life ${life}`)
      t.equal(contents.lostUpTo, null)
      const writes = random.integer(0, 25)
      const cutAt = random.integer(0, 3) === 0 ? files.calls + random.integer(1, 40) : Infinity
      let cut: MemoryFiles | null = null
      files.beforeCall = () => {
        if (files.calls < cutAt) return
        const reach = random.integer(0, 400)
        cut ??= files.afterPowerCut(random, { reached: (offset) => offset < reach })
        throw new PowerCut()
      }
      let steps = [model]
      for (let i = 0; i < writes; i++) {
        const group = drawWrites(random, model)
        steps = model.steps(group)
        try {
          await store.write(group)
        } catch (error) {
          if (cut === null) throw error
          break
        }
        for (const write of group) model.apply(write)
        steps = [model]
        try {
          if (model.terms.length > 0) await checkRead(random, store, model)
        } catch (error) {
          if (cut === null) throw error
          break
        }
      }
      await store.close().catch((error: unknown) => {
        if (cut === null) throw error
      })
      if (cut !== null) {
        cuts += 1
        files = cut
        model = await settle(files, steps)
      }
    }
  }
  t.ok(cuts > 30, `${cuts} power cuts in ${lives} lives`)
})

/** Which of the states that a cut write may leave is there. */
async function settle(files: MemoryFiles, steps: readonly LogModel[]): Promise<LogModel> {
  const image = files.copy()
  const { store, contents } = await openOn(image)
  const text = await describeLog(store, contents)
  await store.close()
  const found = steps.find((step) => step.describe() === text)
  if (found === undefined)
    throw new Error(`after a power cut: ${text}; allowed: ${steps.map((step) => step.describe()).join(' | ')}`)
  return found.copy()
}

async function checkRead(random: SeededRandom, store: LogStore, model: LogModel): Promise<void> {
  const first = random.integer(model.first, model.last + 1)
  const last = random.integer(first, model.last + 5)
  const bytesMax = random.integer(0, 2000)
  const batches = await store.read(index(first), index(last), bytesMax)
  if (batches === null) throw new Error(`entries ${first} to ${last} of ${model.last} are not there`)
  const names = describeEntries(batches)
  const expected = model.terms
    .map((term, i) => `${term}@${model.first + i}`)
    .slice(first - model.first, last + 1 - model.first)
  if (names.length === 0 || names.join() !== expected.slice(0, names.length).join())
    throw new Error(`read ${names.join()}`)
  const bytes = batches.reduce((sum, { body }) => sum + body.length, 0)
  if (batches.length > 1 && bytes > bytesMax) throw new Error(`${bytes} bytes, ${bytesMax} wanted`)
}

t.test(
  'the first error of any call to the disk ends the store, and the next life has what was acknowledged',
  async (t) => {
    const random = new SeededRandom(7)
    let failures = 0
    for (let failAt = 1; ; failAt++) {
      const files = new MemoryFiles()
      const { store } = await openOn(files)
      const model = new LogModel()
      const from = files.calls
      let failed: string | null = null
      files.beforeCall = (call: Call, name: string) => {
        if (files.calls - from !== failAt) return
        failed = `${call} ${name}`
        throw failure(failAt % 2 === 0 ? 'EIO' : 'ENOSPC', name)
      }
      const draws = new SeededRandom(99)
      let steps = [model.copy()]
      let error: unknown = null
      for (let i = 0; i < 12 && error === null; i++) {
        const group = drawWrites(draws, model)
        steps = model.steps(group)
        try {
          await store.write(group)
          for (const write of group) model.apply(write)
          steps = [model.copy()]
        } catch (caught) {
          error = caught
        }
      }
      if (error !== null) {
        failures += 1
        t.match(
          error,
          { name: 'StorageError', kind: 'failed', message: /Could not .*(disk is full|disk reported an error)/ },
          failed ?? '',
        )
        for (const late of [store.write([]), store.read(index(0), index(1), 1)]) {
          await late.then(
            () => t.fail(`${failed}: a later call was answered`),
            (again: unknown) => again === error || t.fail(`${failed}: another error`, { again }),
          )
        }
      }
      await store.close().catch(() => undefined)
      files.beforeCall = () => undefined
      const left = random.integer(0, 2) === 0 ? files.copy() : files.afterPowerCut(random, null)
      await settle(left, steps)
      if (failed === null) break
    }
    t.ok(failures > 20, `${failures} of the calls failed a write`)
  },
)

t.test('a failed opening leaves no file open and says what it was doing', async (t) => {
  const files = new MemoryFiles()
  const { store } = await openOn(files)
  await store.write([append(1, 0, 40)])
  await store.close()
  let refused = 0
  for (let failAt = 1; ; failAt++) {
    const image = files.copy()
    let failed = false
    image.beforeCall = (call, name) => {
      if (image.calls !== failAt) return
      failed = true
      throw failure('EIO', `${call} ${name}`)
    }
    const store = new WalLogStore({ directory: '/log', segmentBytes: 1536, cacheBytesMax: 0 }, { files: image })
    try {
      await store.open()
      await store.close()
    } catch (error) {
      refused += 1
      t.match(error, {
        name: 'StorageError',
        kind: 'failed',
        message: /Could not .*(open|close|make).*disk reported an error/,
      })
      await t.rejects(store.write([]), { name: 'StorageError' })
    }
    if (!failed) break
    image.beforeCall = () => undefined
  }
  t.ok(refused > 20, `${refused} calls`)
})

t.test('a segment that cannot be created in advance is reported, and created when it is needed', async (t) => {
  const files = new MemoryFiles()
  const findings: string[] = []
  const { store } = await openOn(files, 1536, 0, { onFinding: (finding) => findings.push(finding) })
  let isFull = true
  files.beforeCall = (call, name) => {
    if (isFull && call === 'write' && name.endsWith('.tmp')) throw failure('ENOSPC', name)
  }
  // The second segment is there already; the third cannot be created until there is room.
  await store.write([append(1, 0, 50)])
  while (findings.length === 0) await store.write([vote(1)])
  t.match(findings[0], /could not be created in advance.*disk is full/)
  t.notOk(
    files.fileNames().some((name) => name.endsWith('.tmp')),
    'its space is given back',
  )
  isFull = false
  await store.write([append(1, 51, 120)])
  isFull = true
  await t.rejects(
    (async () => {
      for (let at = 121; at < 1000; at += 10) await store.write([append(1, at, at + 9)])
    })(),
    {
      name: 'StorageError',
      kind: 'failed',
      message: /Could not create log segment \d+\.log in \/log: the disk is full: free some space/,
    },
  )
  await store.close()
})

t.test('an entry that has rotted is noticed when it is read', async (t) => {
  const files = new MemoryFiles()
  const { store } = await openOn(files)
  await store.write([append(1, 0, 9), append(1, 10, 19)])
  const segment = files.content('0000000001.log')
  const at = segment.indexOf(batch(1, 10, 10).body)
  segment.writeUInt8(segment.readUInt8(at + 9) ^ 16, at + 9)
  t.same(describeEntries((await store.read(index(0), index(9), Infinity)) ?? []), entryNames(1, 0, 9))
  await t.rejects(store.read(index(5), index(15), Infinity), {
    name: 'StorageError',
    kind: 'failed',
    message: /Entry \d+ of the log.*damaged on the disk/,
  })
  await t.rejects(
    store.write([append(1, 20, 20)]),
    { name: 'StorageError' },
    'no vote and no acknowledgement after that',
  )
  await store.close()
})

/** Reads end when `gate` does. */
class SlowFiles extends MemoryFiles {
  gate: Promise<void> | null = null

  override async read(fd: number, buffer: Uint8Array, position: number): Promise<number> {
    const count = await super.read(fd, buffer, position)
    await this.gate
    return count
  }
}

t.test('what is purged while it is read is gone for the reader, and no fault', async (t) => {
  const files = new SlowFiles()
  const { store } = await openOn(files)
  // Several segments, so several calls to the disk.
  for (let first = 0; first < 60; first += 10) await store.write([append(1, first, first + 9, 60)])
  t.ok(files.fileNames().filter((name) => name.endsWith('.log')).length > 3)
  let open = (): void => undefined
  files.gate = new Promise((resolve) => (open = resolve))
  const reading = store.read(index(0), index(59), Infinity)
  const rest = store.read(index(0), index(59), Infinity)
  await store.write([{ type: 'purge', purged: logId(1, 1, 49) }])
  files.gate = null
  open()
  t.equal(await reading, null)
  t.equal(await rest, null)
  t.same(describeEntries((await store.read(index(50), index(59), Infinity)) ?? []), entryNames(1, 50, 59))
  await store.close()
})

t.test('the cache holds what is on its way and stays within its bytes otherwise', async (t) => {
  const files = new MemoryFiles()
  const { store } = await openOn(files, 16 * 1024, 400)
  await store.write(Array.from({ length: 10 }, (_, i) => append(1, i * 5, i * 5 + 4)))
  t.equal(store.readCached(index(0), index(49), Infinity), null)
  t.equal(store.readCached(index(20), index(49), Infinity), null)
  t.same(describeEntries(store.readCached(index(25), index(49), Infinity) ?? []), entryNames(1, 25, 49))
  const writing = store.write([append(1, 50, 149)])
  t.same(describeEntries(store.readCached(index(50), index(149), Infinity) ?? []), entryNames(1, 50, 149))
  t.same(
    describeEntries((await store.read(index(10), index(149), Infinity)) ?? []),
    entryNames(1, 10, 149),
    'disk and memory',
  )
  await writing
  await store.close()
})

t.test('the index stays small however many batches there are', async (t) => {
  const files = new MemoryFiles()
  const { store } = await openOn(files, 8 * 1024 * 1024)
  const perWrite = 500
  const bytes = 2 * limits.logSpanBytes
  for (let at = 0; at < 40 * perWrite; at += perWrite) {
    await store.write(Array.from({ length: perWrite }, (_, i) => append(1, at + i, at + i)))
  }
  await store.close()
  const { store: again, contents } = await openOn(files, 8 * 1024 * 1024)
  t.ok(contents.sizes.length <= (20_000 * (72 + 16)) / limits.logSpanBytes + 4, `${contents.sizes.length} spans`)
  t.same(describeEntries((await again.read(index(12_345), index(12_350), bytes)) ?? []), entryNames(1, 12_345, 12_350))
  await again.close()
})

function temporary(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'quorate-wal-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

t.test('on a real disk: preallocated, private, synced', async (t) => {
  const directory = join(temporary(t), 'log')
  const syncs: number[] = []
  const store = new WalLogStore(
    { directory, segmentBytes: 256 * 1024, cacheBytesMax: 0 },
    { onSync: (_, bytes) => syncs.push(bytes) },
  )
  await store.open()
  const before = syncs.length
  await store.write([append(1, 0, 9), append(1, 10, 19), append(1, 20, 20, 300_000)])
  t.equal(syncs.length - before, 2, 'one write for the group, and one for the entry that needs a segment of its own')
  for (const name of readdirSync(directory)) {
    const { size, blocks, mode } = statSync(join(directory, name))
    t.equal(mode & 0o777, 0o600, name)
    if (name.endsWith('.log')) t.ok(blocks * 512 >= size, `${name} has its blocks`)
  }
  t.equal(statSync(directory).mode & 0o777, 0o700)
  t.same(describeEntries((await store.read(index(0), index(20), Infinity)) ?? []), entryNames(1, 0, 20))
  await store.close()
  truncateSync(join(directory, '0000000001.log'), 700)
  const again = new WalLogStore({ directory, segmentBytes: 256 * 1024, cacheBytesMax: 0 })
  t.equal((await again.open()).lostUpTo, 20, 'a file that was cut short')
  await again.close()
})

t.test('a real disk that is full, and then is not', async (t) => {
  const disk = smallDisk(t, 2)
  if (disk === null) return
  const log = join(disk.path, 'log')
  const open = async (): Promise<{ store: WalLogStore; contents: LogContents }> => {
    const store = new WalLogStore({ directory: log, segmentBytes: 256 * 1024, cacheBytesMax: 0 })
    return { store, contents: await store.open() }
  }
  const { store } = await open()
  let acknowledged = -1
  const fill = async (): Promise<void> => {
    for (;;) {
      await store.write([append(1, acknowledged + 1, acknowledged + 10, 2000)])
      acknowledged += 10
    }
  }
  await t.rejects(fill(), { name: 'StorageError', kind: 'failed', message: /create log segment.*the disk is full/ })
  await t.rejects(store.write([append(1, acknowledged + 1, acknowledged + 1)]), { name: 'StorageError' })
  await store.close()
  disk.grow(8)
  const { store: again, contents } = await open()
  t.equal(contents.lostUpTo, null)
  t.equal(contents.last?.index, acknowledged)
  t.same(
    describeEntries((await again.read(index(0), index(acknowledged), Infinity)) ?? []),
    entryNames(1, 0, acknowledged),
  )
  await again.write([append(1, acknowledged + 1, acknowledged + 300, 2000)])
  await again.close()
})
