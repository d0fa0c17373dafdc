import t from 'tap'
import { toError } from '../../src/lib/to-error.ts'
import { limits } from '../../src/limits.ts'
import type { NodeOptions } from '../../src/node/options.ts'
import { SnapshotReceiver } from '../../src/node/snapshots/snapshot-receiver.ts'
import { STATE_STREAM_FORMAT, stateChunks } from '../../src/node/snapshots/state-stream.ts'
import type { SnapshotAnswer } from '../../src/ports/transport.ts'
import { NO_MEMBERSHIP, logIndex, nodeId, term } from '../../src/raft/index.ts'
import { MemoryStateStore } from '../../src/storage/memory/memory-state-store.ts'
import { refused, specOf, TestCluster } from './support/cluster.ts'

/** Logs that are purged soon, and states that take many chunks. */
const SMALL: Partial<NodeOptions> = {
  purgeEveryEntries: 20,
  keepEntries: 5,
  keepBytes: 2_000,
  appendBytesMax: 1_000,
  snapshotChunkBytes: 200,
}

async function fill(c: TestCluster, id: number, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await c.on(id).put(`k${i}`, `value-${i}`)
}

function metricsOf(c: TestCluster, id: number) {
  return c.on(id).services.health.metrics()
}

t.test(
  'a state that takes longer than the hold, under constant writes, is sent once: the log waits for it',
  async (t) => {
    const options = { snapshotHoldMs: 1_000, snapshotBytesPerSecondMax: 2_000, caughtUpEntriesMax: 10 }
    const c = new TestCluster(t, [1, 2, 3, 4], { ...SMALL, ...options })
    const leader = await c.form([1, 2, 3])
    await fill(c, leader, 200)
    await c.on(leader).purge()
    let stopped = false
    const writing = (async () => {
      for (let i = 0; !stopped; i++) {
        await c.on(leader).put(`more${i % 50}`, `value-${i}`)
        await c.pass(20)
      }
    })()
    await c.start(4)
    const begun = c.clock.now()
    const purgedAt = (): number => c.on(leader).status().purged?.index ?? -1
    const [purgedBefore, held] = [purgedAt(), c.at(leader).view.last?.index ?? -1]
    await c.on(leader).addLearner(specOf(4), { wait: false })
    const seen: { phase: string; percent: number; remainingMs: number | null }[] = []
    let purgedMost = purgedBefore
    const watch = (): boolean => {
      const { phase, snapshot, remainingMs } = c.on(leader).status().nodes['4'] ?? { phase: null, snapshot: null }
      if (phase === 'snapshot' || phase === 'log') {
        seen.push({ phase, percent: snapshot?.percent ?? 0, remainingMs: remainingMs ?? null })
        purgedMost = Math.max(purgedMost, phase === 'snapshot' ? purgedAt() : 0)
      }
      return phase === 'caught-up'
    }
    await c.until('the learner has caught up', watch, 120_000)
    const tookMs = c.clock.now() - begun
    t.ok(tookMs > 5_000, `${Math.round(tookMs)} ms, more than five times the hold`)
    t.equal(metricsOf(c, 4).snapshotsInstalled, 1, 'one snapshot is enough')
    // Writes go on for a few heartbeats before the snapshot begins.
    t.ok(purgedMost <= held + 20, 'nothing behind the snapshot is purged meanwhile')
    t.same(
      seen.map(({ percent }) => percent),
      seen.map(({ percent }) => percent).toSorted((a, b) => a - b),
    )
    t.equal(seen.at(-1)?.percent, 100)
    const middle = seen.find(({ percent }) => percent >= 50)
    t.ok(
      Math.abs((middle?.remainingMs ?? 0) - tookMs / 2) < tookMs / 4,
      `${middle?.remainingMs} ms are left in the middle`,
    )
    t.match((await c.on(leader).learners())[0], { id: 4, caughtUp: true, phase: 'caught-up', snapshot: null })
    await c.on(leader).change({ add: [4], remove: [] })
    await c.until('then the log goes', () => purgedAt() > held + 50)
    stopped = true
    await writing
    await c.settled()
  },
)

t.test('all receivers together get what one would get, and a third waits', async (t) => {
  const options = { snapshotBytesPerSecondMax: 10_000 }
  const c = new TestCluster(t, [1, 2, 3, 4], { ...SMALL, ...options })
  const leader = await c.form([1])
  await fill(c, leader, 200)
  await c.on(leader).purge()
  for (const id of [2, 3, 4]) {
    await c.start(id)
    await c.on(leader).addLearner(specOf(id), { wait: false })
  }
  const begun = c.clock.now()
  await c.until('all have it', () => [2, 3, 4].every((id) => metricsOf(c, id).snapshotsInstalled === 1), 120_000)
  const bytes = 3 * metricsOf(c, leader).stateBytes
  const tookMs = c.clock.now() - begun
  t.ok(tookMs > (bytes / 10_000) * 1_000 * 0.9, `${bytes} bytes in ${Math.round(tookMs)} ms`)
  await c.settled()
})

t.test('who is written to sends more slowly', async (t) => {
  const tookMs = async (isWritten: boolean): Promise<number> => {
    const c = new TestCluster(t, [1, 2], SMALL)
    const leader = await c.form([1])
    await fill(c, leader, 100)
    await c.on(leader).purge()
    c.at(leader).state.readMs = 10
    await c.start(2)
    const begun = c.clock.now()
    await c.on(leader).addLearner(specOf(2), { wait: false })
    const installed = (): boolean => metricsOf(c, 2).snapshotsInstalled === 1
    for (let i = 0; isWritten && !installed(); i++) {
      await c.on(leader).put('k', `${i}`)
      await c.pass(5)
    }
    await c.until('it has the state', installed, 60_000)
    return c.clock.now() - begun
  }
  const [quietMs, writtenMs] = [await tookMs(false), await tookMs(true)]
  t.ok(
    writtenMs > quietMs * 1.5 && writtenMs < quietMs * 2,
    `${Math.round(writtenMs)} ms instead of ${Math.round(quietMs)}`,
  )
})

t.test('a read while a received state is swapped in shows the old state or the new one', async (t) => {
  const c = new TestCluster(t, [1, 2, 3], { ...SMALL, recordCacheBytesMax: 0 })
  const leader = await c.form([1, 2, 3])
  await fill(c, leader, 10)
  await c.settled()
  const away = leader === 1 ? 2 : 1
  c.partition([away])
  await fill(c, leader, 60)
  await c.on(leader).purge()
  const { state } = c.at(away)
  state.readMs = 1
  state.commitMs = 20
  state.commitTellMs = 200
  const before = (await c.on(away).read('k1', { consistency: 'stale' })).context.revision
  c.heal()
  const seen: { revision: number; modRevision: number; waited: number }[] = []
  const reading = (async () => {
    for (let turn = 0; metricsOf(c, away).snapshotsInstalled === 0; turn++) {
      const from = c.clock.now()
      // Another one each time, so that the store is asked.
      const { record, context } = await c.on(away).read(`k${turn % 10}`, { consistency: 'stale' })
      const { revision } = context
      seen.push({ revision, modRevision: record?.modRevision ?? 0, waited: c.clock.now() - from })
      await c.pass(1)
    }
  })()
  await reading
  await c.settled()
  t.ok(
    seen.some(({ waited }) => waited > 150),
    'reads were asked for during the swap',
  )
  t.same(
    seen.filter(({ revision, modRevision }) => modRevision > revision),
    [],
    'no row is newer than the revision that comes with it',
  )
  t.ok(seen.some(({ revision }) => revision === before))
  const { record, context } = await c.on(away).read('k1', { consistency: 'stale' })
  t.ok(context.revision > before && (record?.modRevision ?? 0) > before)
})

t.test('reads that wait for a swap end with the node', async (t) => {
  const c = new TestCluster(t, [1, 2, 3], { ...SMALL, recordCacheBytesMax: 0 })
  const leader = await c.form([1, 2, 3])
  await fill(c, leader, 10)
  await c.settled()
  const away = leader === 1 ? 2 : 1
  c.partition([away])
  await fill(c, leader, 60)
  await c.on(leader).purge()
  const { state } = c.at(away)
  state.readMs = 1
  state.commitMs = 500
  c.heal()
  const { client } = c.at(away)
  await c.until('the state is being swapped in', () => c.at(away).node.replica.rows.isReplacing === true)
  const read = refused(client.get('k1', { consistency: 'stale' }), 'shutting-down')
  await c.pass(5)
  const stopping = c.at(away).stop()
  await read
  await stopping
})

const MiB = 1024 * 1024

/** A piece of `bytes` that is read, or counted, and is none of a state. */
function noise(bytes: number): Buffer {
  const piece = Buffer.alloc(bytes)
  piece[0] = 0xff
  return piece
}

/** The first piece of a state, of `bytes`. */
async function opening(bytes: number): Promise<Uint8Array> {
  const store = new MemoryStateStore()
  await store.open()
  for await (const { chunk } of stateChunks(await store.view(), Buffer.alloc(bytes - 1), MiB)) return chunk
  throw new Error('a stream begins with a piece')
}

/** A receiver alone, with a disk whose free space is `free`, one figure for each look; the last one stays. */
function receiver(free: readonly number[]) {
  const looks = [...free]
  const counts = { begun: 0, aborted: 0, committed: 0, read: 0 }
  const faults: Error[] = []
  const state = new MemoryStateStore()
  const answers: SnapshotAnswer[] = []
  const alone = new SnapshotReceiver({
    state: {
      open: () => state.open(),
      getMany: (keys) => state.getMany(keys),
      write: (writes, meta) => state.write(writes, meta),
      flush: () => state.flush(),
      view: () => state.view(),
      compact: () => state.compact(),
      sizeBytes: () => state.sizeBytes(),
      close: () => state.close(),
      beginInstall: async () => {
        counts.begun += 1
        return {
          write: async () => undefined,
          commit: async () => void (counts.committed += 1),
          abort: async () => void (counts.aborted += 1),
        }
      },
    },
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    gate: { refuse: () => null, offer: () => 'accept', onNewerState: () => {} },
    core: { onSnapshotProgress: () => {} },
    applier: { appliedIndex: logIndex(0), pause: async () => {}, resume: () => {} },
    rows: { replace: (commit) => commit() },
    consequences: { onInstalled: () => {} },
    diskUsage: async () => ({ totalBytes: 1e12, freeBytes: (looks.length > 1 ? looks.shift() : looks[0]) ?? 0 }),
    idempotentWritesMax: 10,
    faults: { report: (error) => faults.push(toError(error)) },
  })
  /** The answer to the sender. */
  const offer = async (bytesEstimate: number, chunks: readonly Uint8Array[]): Promise<SnapshotAnswer> => {
    const logId = { leaderId: { term: term(1), nodeId: nodeId(1) }, index: logIndex(5) }
    const vote = { leaderId: logId.leaderId, committed: true }
    const header = {
      vote,
      session: 1,
      logId,
      membership: NO_MEMBERSHIP,
      formatVersion: STATE_STREAM_FORMAT,
      bytesEstimate,
    }
    await new Promise<void>((resolve) => {
      alone.onSnapshot({
        from: nodeId(1),
        header,
        async *chunks() {
          for (const chunk of chunks) {
            counts.read += 1
            yield chunk
          }
        },
        finish: async (answer) => {
          answers.push(answer)
          resolve()
        },
      })
    })
    const answer = answers.pop()
    if (answer === undefined || faults.length > 0) throw new Error('no answer', { cause: faults[0] })
    return answer
  }
  return { offer, counts }
}

t.test('a state is taken within what was announced for it, and not to the last byte of the disk', async (t) => {
  const {
    snapshotEstimateFactor: factor,
    snapshotEstimateSlackBytes: slack,
    snapshotDiskReserveBytes: reserve,
  } = limits

  t.test('more than its size explains is not taken', async (t) => {
    for (const announced of [0, MiB]) {
      const { offer, counts } = receiver([Infinity])
      const bytesMax = announced * factor + slack
      const answer = await offer(announced, [noise(bytesMax + 1), noise(1)])
      t.match(answer, {
        installed: false,
        detail: `more than ${bytesMax} bytes arrived, but only about ${announced} were announced`,
      })
      t.same(counts, { begun: 1, aborted: 1, committed: 0, read: 1 })
      t.match(
        await receiver([Infinity]).offer(announced, [noise(bytesMax)]),
        { detail: /of kind 255/ },
        'as much as that may come',
      )
    }
  })

  t.test('what would not fit the disk is refused before anything of it is read', async (t) => {
    const { offer, counts } = receiver([reserve + 10 * MiB])
    const answer = await offer(10 * MiB + 1, [noise(1)])
    t.match(answer, { installed: false, detail: /10485761 bytes are announced, but only .* are free on the disk/ })
    t.same(counts, { begun: 0, aborted: 0, committed: 0, read: 0 })
    const fitting = receiver([reserve + 10 * MiB])
    await fitting.offer(10 * MiB, [noise(1)])
    t.match(fitting.counts, { begun: 1, read: 1 }, 'what fits is begun')
  })

  t.test('a disk that fills meanwhile ends it while the reserve is whole', async (t) => {
    const { offer, counts } = receiver([Infinity, reserve, reserve - 1])
    const between = limits.snapshotDiskCheckBytes
    // The reserve is whole at the first look, and not at the second.
    const answer = await offer(0, [await opening(between), noise(between), noise(between)])
    t.match(answer, { installed: false, detail: /only 268435455 bytes are free on the disk: free some space/ })
    t.same(counts, { begun: 1, aborted: 1, committed: 0, read: 2 })
  })
})

t.test('a node whose disk has no room for the state says so to the leader, and takes it once there is', async (t) => {
  const c = new TestCluster(t, [1, 2], SMALL)
  const leader = await c.form([1])
  await fill(c, leader, 100)
  await c.on(leader).purge()
  c.at(2).freeBytes = limits.snapshotDiskReserveBytes
  await c.start(2)
  await c.on(leader).addLearner(specOf(2), { wait: false })
  const failure = (): unknown =>
    c.lines.find(({ node, event }) => node === 1 && event === 'snapshot not delivered')?.facts
  await c.until('the leader has been told', () => failure() !== undefined)
  t.match(failure(), { to: 2, error: /bytes are announced, but only .* are free on the disk.*free some space/ })
  t.equal(metricsOf(c, 2).snapshotsInstalled, 0)
  c.at(2).freeBytes = 2 * limits.snapshotDiskReserveBytes
  await c.until('it has the state', () => metricsOf(c, 2).snapshotsInstalled === 1, 60_000)
  await c.settled()
})
