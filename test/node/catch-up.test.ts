import t from 'tap'
import type { NodeOptions } from '../../src/node/options.ts'
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
    t.ok(purgedMost <= held + 10, 'nothing behind the snapshot is purged meanwhile')
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
  await c.until('the state is being swapped in', () => c.at(away).node.running?.rows.isReplacing === true)
  const read = refused(client.get('k1', { consistency: 'stale' }), 'shutting-down')
  await c.pass(5)
  const stopping = c.at(away).stop()
  await read
  await stopping
})
