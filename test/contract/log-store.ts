import type { Test } from 'tap'
import type { LogContents, LogStore, LogWrite } from '../../src/ports/log-store.ts'
import { batch, describeEntries, entryNames, index, logId } from './entries.ts'

/** Opens the same log again and again: each call is another life of the node. Directories go when the test ends. */
export interface LogFixture {
  open(): Promise<{ store: LogStore; contents: LogContents }>
}

const EVERYTHING = Number.MAX_SAFE_INTEGER

async function all(store: LogStore, first: number): Promise<string[] | null> {
  const batches = await store.read(index(first), index(EVERYTHING), EVERYTHING)
  return batches === null ? null : describeEntries(batches)
}

function append(term: number, first: number, last: number, bytes?: number, memberships?: number): LogWrite {
  return { type: 'append', batch: batch(term, first, last, bytes, memberships) }
}

function totalBytes(contents: LogContents): number {
  return contents.sizes.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** The promises that every log store keeps. `make` gives a new, empty log for each call. */
export function logStoreContract(t: Test, make: (t: Test) => LogFixture): void {
  t.test('a new log is empty', async (t) => {
    const { store, contents } = await make(t).open()
    t.match(contents, { purged: null, last: null, lostUpTo: null })
    t.same([contents.runs, contents.sizes, contents.membershipBatches, contents.findings], [[], [], [], []])
    t.same(contents.hardState, { vote: { leaderId: { term: 0, nodeId: 0 }, committed: false }, clusterId: null })
    t.equal(await store.read(index(0), index(10), 100), null)
    t.equal(store.readCached(index(0), index(10), 100), null)
    await store.close()
  })

  t.test('the hard state is what was written last, also in the next life', async (t) => {
    const log = make(t)
    const votes = [
      { vote: { leaderId: logId(1, 1, 0).leaderId, committed: false }, clusterId: null },
      { vote: { leaderId: logId(2 ** 40, 2_147_483_647, 0).leaderId, committed: true }, clusterId: 'a cluster ö' },
    ]
    for (const state of votes) {
      const { store } = await log.open()
      await store.write([{ type: 'hard-state', state }])
      await store.close()
      const { store: again, contents } = await log.open()
      t.same(contents.hardState, state)
      await again.close()
    }
  })

  t.test('entries are read back, clipped to the range and to whole batches within the bytes', async (t) => {
    const log = make(t)
    const { store } = await log.open()
    await store.write([append(1, 0, 4), append(1, 5, 9)])
    await store.write([append(2, 10, 19)])
    const checkReads = async (store: LogStore): Promise<void> => {
      t.same(await all(store, 0), [...entryNames(1, 0, 9), ...entryNames(2, 10, 19)])
      t.same(describeEntries((await store.read(index(3), index(11), EVERYTHING)) ?? []), [
        ...entryNames(1, 3, 9),
        ...entryNames(2, 10, 11),
      ])
      t.same(describeEntries((await store.read(index(7), index(7), 1)) ?? []), ['1@7'])
      // An entry takes 16 bytes: 3 and 4 are 32, 5 to 9 are 80 more.
      t.same(describeEntries((await store.read(index(3), index(19), 111)) ?? []), entryNames(1, 3, 4))
      t.same(describeEntries((await store.read(index(3), index(19), 112)) ?? []), entryNames(1, 3, 9))
      t.same(
        describeEntries((await store.read(index(0), index(19), 1)) ?? []),
        entryNames(1, 0, 4),
        'at least one batch',
      )
      t.equal(await store.read(index(20), index(30), 100), null, 'beyond the end')
    }
    await checkReads(store)
    const cached = store.readCached(index(3), index(11), EVERYTHING)
    if (cached !== null) t.same(describeEntries(cached), [...entryNames(1, 3, 9), ...entryNames(2, 10, 11)])
    await store.close()
    const { store: again, contents } = await log.open()
    t.same(contents.last, logId(2, 1, 19))
    t.same(contents.runs, [
      { leaderId: logId(1, 1, 0).leaderId, first: 0 },
      { leaderId: logId(2, 1, 0).leaderId, first: 10 },
    ])
    t.equal(totalBytes(contents), 20 * 16)
    t.equal(contents.sizes.at(-1)?.last, 19)
    await checkReads(again)
    await again.close()
  })

  t.test('what a write brings is seen before it is durable', async (t) => {
    const { store } = await make(t).open()
    await store.write([append(1, 0, 9)])
    const writing = store.write([{ type: 'truncate', from: index(8) }, append(2, 8, 11)])
    t.same(await all(store, 6), ['1@6', '1@7', ...entryNames(2, 8, 11)])
    await writing
    t.same(await all(store, 6), ['1@6', '1@7', ...entryNames(2, 8, 11)])
    await store.close()
  })

  for (const from of [0, 3, 5, 11, 12]) {
    t.test(`truncate from ${from} of 12`, async (t) => {
      const log = make(t)
      const { store } = await log.open()
      await store.write([append(1, 0, 4), append(2, 5, 11)])
      await store.write([{ type: 'truncate', from: index(from) }])
      const kept = [...entryNames(1, 0, Math.min(4, from - 1)), ...entryNames(2, 5, Math.min(11, from - 1))]
      t.same(await all(store, 0), kept.length === 0 ? null : kept)
      await store.close()
      const { store: again, contents } = await log.open()
      t.same(contents.last, from === 0 ? null : logId(from > 5 ? 2 : 1, 1, from - 1))
      t.equal(totalBytes(contents), from * 16)
      t.equal(contents.lostUpTo, null)
      t.same(await all(again, 0), kept.length === 0 ? null : kept)
      await again.write([append(3, from, from + 1)])
      t.same(await all(again, 0), [...kept, ...entryNames(3, from, from + 1)])
      await again.close()
      const { store: third } = await log.open()
      t.same(await all(third, 0), [...kept, ...entryNames(3, from, from + 1)])
      await third.close()
    })
  }

  for (const upTo of [0, 5, 7, 19]) {
    t.test(`purge up to ${upTo} of 20`, async (t) => {
      const log = make(t)
      const { store } = await log.open()
      await store.write([append(1, 0, 5), append(2, 6, 19)])
      const purged = logId(upTo > 5 ? 2 : 1, 1, upTo)
      await store.write([{ type: 'purge', purged }])
      const rest = [...entryNames(1, upTo + 1, 5), ...entryNames(2, Math.max(upTo + 1, 6), 19)]
      t.equal(await store.read(index(upTo), index(19), 100), null)
      t.equal(store.readCached(index(upTo), index(19), 100), null)
      t.same(await all(store, upTo + 1), rest.length === 0 ? null : rest)
      await store.close()
      const { store: again, contents } = await log.open()
      t.same([contents.purged, contents.last], [purged, logId(2, 1, 19)])
      t.equal(contents.runs[0]?.first, upTo === 19 ? undefined : upTo + 1)
      t.equal(contents.runs.length, upTo === 19 ? 0 : upTo < 5 ? 2 : 1)
      t.equal(totalBytes(contents), (19 - upTo) * 16)
      await again.write([append(2, 20, 20)])
      t.same(await all(again, upTo + 1), [...rest, '2@20'])
      await again.close()
    })
  }

  t.test('reset drops every entry, and the log goes on after the purge mark', async (t) => {
    const log = make(t)
    const { store } = await log.open()
    await store.write([append(1, 0, 9)])
    await store.write([{ type: 'reset', purged: logId(5, 1, 100) }])
    t.equal(await all(store, 0), null)
    await store.write([append(5, 101, 103)])
    t.same(await all(store, 101), entryNames(5, 101, 103))
    await store.close()
    const { store: again, contents } = await log.open()
    t.same([contents.purged, contents.last], [logId(5, 1, 100), logId(5, 1, 103)])
    t.equal(contents.lostUpTo, null)
    t.same(await all(again, 101), entryNames(5, 101, 103))
    await again.write([{ type: 'reset', purged: logId(6, 1, 102) }, append(7, 103, 104)])
    t.equal(await all(again, 102), null)
    await again.close()
    const { store: third, contents: last } = await log.open()
    t.same([last.purged, last.last], [logId(6, 1, 102), logId(7, 1, 104)])
    t.same(await all(third, 103), entryNames(7, 103, 104))
    await third.close()
  })

  t.test('the batches that set a membership are named, clipped to what is left', async (t) => {
    const log = make(t)
    const { store } = await log.open()
    await store.write([append(1, 0, 4, 12, 1), append(1, 5, 9), append(1, 10, 14, 12, 2), append(1, 15, 15, 12, 1)])
    await store.write([
      append(1, 16, 19, 12, 1),
      { type: 'truncate', from: index(18) },
      { type: 'purge', purged: logId(1, 1, 11) },
    ])
    await store.close()
    const { store: again, contents } = await log.open()
    const named = contents.membershipBatches.map((one) => [one.first, one.last, one.membershipCount])
    t.same(named, [
      [12, 14, 2],
      [15, 15, 1],
      [16, 17, 1],
    ])
    for (const one of contents.membershipBatches) t.equal(describeEntries([one]).length, one.last - one.first + 1)
    await again.close()
  })

  t.test('the order inside a write is kept: truncate, append, vote, append, purge', async (t) => {
    const log = make(t)
    const { store } = await log.open()
    await store.write([append(1, 0, 9)])
    const state = { vote: { leaderId: logId(4, 1, 0).leaderId, committed: true }, clusterId: 'c' }
    await store.write([
      { type: 'truncate', from: index(5) },
      append(3, 5, 6),
      { type: 'hard-state', state },
      append(4, 7, 9),
      { type: 'purge', purged: logId(1, 1, 2) },
      append(4, 10, 10),
    ])
    const expected = ['1@3', '1@4', '3@5', '3@6', ...entryNames(4, 7, 10)]
    t.same(await all(store, 3), expected)
    await store.close()
    const { store: again, contents } = await log.open()
    t.same(contents.hardState, state)
    t.same(await all(again, 3), expected)
    await again.close()
  })

  t.test('entries of any size, empty and large ones, survive', async (t) => {
    const log = make(t)
    const { store } = await log.open()
    const sizes = [0, 1, 3_000_000, 17, 100_000, 0]
    for (const [at, bytes] of sizes.entries()) await store.write([append(1, at, at, bytes)])
    t.same(await all(store, 0), entryNames(1, 0, 5))
    await store.close()
    const { store: again, contents } = await log.open()
    t.equal(
      totalBytes(contents),
      sizes.reduce((sum, bytes) => sum + bytes + 4, 0),
    )
    t.same(await all(again, 0), entryNames(1, 0, 5))
    await again.close()
  })

  t.test('many writes and a reader at work all the time', async (t) => {
    const { store } = await make(t).open()
    let written = -1
    let reads = 0
    const state = { done: false }
    const reader = (async () => {
      while (!state.done) {
        // A read from memory takes no turn of the event loop, and the writer needs them.
        await new Promise((resolve) => setImmediate(resolve))
        if (written < 0) continue
        const first = Math.max(0, written - 150)
        const batches = await store.read(index(first), index(written), 4000)
        if (batches?.[0]?.first !== first) throw new Error(`a read from ${first} began elsewhere`)
        describeEntries(batches)
        reads += 1
      }
    })()
    for (let i = 0; i < 100; i++) {
      await store.write([append(1, i * 3, i * 3 + 2, 100)])
      written = i * 3 + 2
    }
    state.done = true
    await reader
    t.ok(reads > 0)
    await store.close()
  })

  t.test('a closed log answers nothing', async (t) => {
    const { store } = await make(t).open()
    await store.write([append(1, 0, 0)])
    await store.close()
    await store.close()
    await t.rejects(store.write([append(1, 1, 1)]), { name: 'StorageError', kind: 'failed' })
    await t.rejects(store.read(index(0), index(0), 1), { name: 'StorageError' })
  })

  t.test('entries that do not follow the last one are a broken belief', async (t) => {
    for (const wrong of [append(1, 4, 4), append(1, 6, 6), append(0, 5, 5)]) {
      const { store } = await make(t).open()
      await store.write([append(1, 0, 4)])
      await t.rejects(store.write([wrong]), { name: 'InvariantError' })
      await store.close()
    }
  })
}
