import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { compare, LeaseLostError, op, ProblemError, QuorateClient } from '../../src/client/index.ts'
import { limits } from '../../src/limits.ts'
import { TestCluster } from '../e2e/support/cluster.ts'
import { eventually } from '../e2e/support/eventually.ts'
import { collect, thrownBy } from '../support/outcomes.ts'
import { byBytes, strangeKeys, strangeValues } from '../support/strange.ts'
import { formedNodes } from './support/formed-nodes.ts'
import { nobody } from './support/stand.ts'

/* What the library does on nodes: in this process, and in processes of their own that are killed. */

/** Among them a view of a part of a buffer. */
const values: readonly (string | Uint8Array)[] = [
  ...strangeValues(limits.valueBytesMaxDefault),
  'text',
  '\ufeffbom',
  new Uint8Array(Buffer.from('xxview').buffer, Buffer.from('xxview').byteOffset + 2, 4),
]

t.test('three nodes', async (t) => {
  const { origins, nodes } = await formedNodes(t)
  const client = new QuorateClient({ servers: [await nobody(), ...origins] })
  t.teardown(() => client.close())

  await t.test('keys and values of every kind come back as they were', async (t) => {
    for (const [at, key] of strangeKeys.entries()) {
      const value = values[at % values.length] ?? ''
      const { revision, version } = await client.put(key, value)
      const record = await client.get(key, { minRevision: revision })
      t.match(record, { key, modRevision: revision, createRevision: revision, version, lease: 0 })
      t.ok(record !== null && Buffer.from(record.value).equals(Buffer.from(value)), JSON.stringify(key.slice(0, 20)))
      if (typeof value === 'string') t.equal(record?.text, value)
    }
    const listed = await collect(client.list())
    t.strictSame(
      listed.map(({ key }) => key),
      byBytes(strangeKeys),
    )
    const streamed = await collect(client.export())
    t.strictSame(JSON.stringify(streamed), JSON.stringify(listed), 'a stream gives what a listing gives')
    t.same(
      await collect(client.listKeys({ prefix: '//' })),
      [{ ...listed.find(({ key }) => key === '//')?.toJSON() }].map(
        ({ value: _value, valueBase64: _base64, ...head }) => head,
      ),
    )
    t.equal((await client.count()).count, strangeKeys.length)
    t.equal(await client.get('never written'), null)
    for (const key of strangeKeys) t.match(await client.delete(key, { ifPresent: true }), { deleted: 1 })
    t.equal((await client.count()).count, 0)
  })

  await t.test('conditions, and what was there before', async (t) => {
    const first = await client.put('c', 'one', { ifAbsent: true })
    const taken = await thrownBy(client.put('c', 'two', { ifAbsent: true }))
    t.ok(taken instanceof ProblemError && taken.code === 'precondition-failed')
    t.match(taken, { status: 412, problem: { currentRevision: first.revision } })
    const second = await client.put('c', 'two', { ifRevision: first.revision, prev: true })
    t.equal(second.prev?.text, 'one')
    await t.rejects(client.delete('c', { ifRevision: first.revision }), { code: 'precondition-failed' })
    const gone = await client.delete('c', { prev: true })
    t.equal(gone.prev?.text, 'two')
    t.equal((await client.delete('c', { prev: true })).prev, null)
    await t.rejects(client.put('c', 'x', { ifPresent: true }), { code: 'precondition-failed' })
    const name = { idempotencyKey: 'once' }
    t.strictSame(await client.put('c', 'x', name), await client.put('c', 'x', name), 'one effect, one answer')
    await t.rejects(client.put('c', 'y', name), { code: 'idempotency-key-reused' })
  })

  await t.test('lists page by page, and deletes by range', async (t) => {
    const names = Array.from({ length: 12 }, (_, at) => `page/${String(at).padStart(2, '0')}`)
    await Promise.all(names.map(async (key) => await client.put(key, key)))
    const keysOf = async (records: AsyncIterable<{ key: string }>): Promise<string[]> =>
      (await collect(records)).map(({ key }) => key)
    t.same(await keysOf(client.list({ prefix: 'page/' })), names)
    t.same(await keysOf(client.list({ prefix: 'page/' }, { limit: 3, reverse: true })), names.slice(-3).reverse())
    t.same(await keysOf(client.list({ start: 'page/03', end: 'page/05' }, { consistency: 'lease' })), names.slice(3, 5))
    t.same(await keysOf(client.listKeys({ prefix: 'page/' }, { limit: 0 })), [])
    for await (const { key } of client.list({ prefix: 'page/' })) {
      if (key === names[1]) break
    }
    t.match(await client.deleteRange({ prefix: 'page/0' }), { deleted: 10 })
    t.match(await client.deleteRange({ start: 'page/' }, { chunked: true }), { deleted: 2, chunks: 1 })
    t.match(await client.deleteRange('all'), { deleted: 1 })
  })

  await t.test('transactions, with results as typed as their operations', async (t) => {
    const moved = await client
      .transaction()
      .if(compare.absent('t/a'), compare.version('t/b', '=', 0))
      .do(op.put('t/a', 'one'), op.put('t/b', Buffer.from([0xff])))
      .commit()
    t.ok(moved.succeeded)
    const read = await client
      .transaction()
      .do(op.get('t/a'), op.list({ prefix: 't/' }), op.listKeys({ prefix: 't/' }, { limit: 1 }), op.get('t/none'))
      .commit()
    if (!read.succeeded) throw new Error('a transaction without comparisons succeeds')
    const [record, list, heads, none] = read.results
    t.equal(record?.text, 'one')
    t.strictSame(list.items[1]?.value, Buffer.from([0xff]))
    t.match(heads, { items: [{ key: 't/a', modRevision: moved.revision }], more: true })
    t.equal(none, null)
    if (record === null) throw new Error('it was written')
    const swap = client
      .transaction()
      .if(compare.unchanged(record), compare.value('t/b', '=', Buffer.from([0xff])), compare.exists('t/a'))
      .do(op.put('t/a', 'two', { prev: true }), op.delete('t/b', { prev: true }), op.deleteRange({ prefix: 'u/' }))
      .else(op.get('t/a'))
    const swapped = await swap.commit()
    if (!swapped.succeeded) throw new Error('nobody has written in between')
    const [put, removed, range] = swapped.results
    t.match(put, { version: 2, prev: { text: 'one' } })
    t.match(removed, { deleted: 1, prev: { key: 't/b' } })
    t.strictSame(range, { deleted: 0 })
    const again = await swap.commit()
    if (again.succeeded) throw new Error('it was written since')
    t.equal(again.results[0]?.text, 'two')
    const wrong = await thrownBy(client.transaction().do(op.put('x', '1'), op.put('x', '2')).commit())
    t.ok(wrong instanceof ProblemError && wrong.code === 'invalid-request')
  })

  await t.test('the leader is found, and a node that stops is left', async (t) => {
    const leaderFirst = new QuorateClient({ servers: origins.slice(1), preferLeader: true })
    t.teardown(() => leaderFirst.close())
    const { revision } = await leaderFirst.put('l', '1')
    t.match(await leaderFirst.get('l'), { modRevision: revision })
    const { leader } = await client.cluster.status()
    t.ok(leader !== null)
    const writing = { stopped: false }
    const written: number[] = []
    const writer = (async () => {
      while (!writing.stopped) written.push((await client.put('l', 'on and on', { timeoutMs: 30_000 })).revision)
    })()
    await nodes[(leader ?? 1) - 1]?.stop()
    const before = written.length
    await leaderFirst.put('l', '2', { timeoutMs: 30_000 })
    while (written.length < before + 5) await client.get('l', { timeoutMs: 30_000 })
    writing.stopped = true
    await writer
    t.ok(
      written.every((revision, at) => at === 0 || revision > (written[at - 1] ?? 0)),
      'no write failed',
    )
  })
})

/** Programs that use the same nodes, each with a client that asks the leader of now first. */
class Programs {
  readonly cluster: TestCluster
  private readonly owner: Test

  constructor(owner: Test, cluster: TestCluster) {
    this.owner = owner
    this.cluster = cluster
  }

  async start(): Promise<QuorateClient> {
    const leader = await this.cluster.leader()
    const all = [leader, ...this.cluster.others(leader.id)]
    const client = new QuorateClient({ servers: all.map(({ client: { origin } }) => origin), timeoutMs: 60_000 })
    this.owner.teardown(() => client.close())
    return client
  }

  /** Kills the leader. What is returned starts its node again. */
  async killLeader(): Promise<() => Promise<void>> {
    const leader = await this.cluster.leader()
    await leader.kill()
    await this.cluster.leader(this.cluster.running)
    return async () => {
      await leader.start()
      await this.cluster.untilReady()
    }
  }
}

t.test('three processes, of which the leader is killed again and again', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3 })
  const programs = new Programs(t, cluster)

  await t.test('a watch tells each change once, in order', async (t) => {
    const client = await programs.start()
    const writer = await programs.start()
    const { revision: since } = await writer.put('begin', '')
    const told: number[] = []
    const watching = (async () => {
      for await (const { key, revision } of client.watch({ prefix: 'w/' }, { since })) {
        told.push(revision)
        if (key === 'w/end') break
      }
    })()
    const written: number[] = []
    const write = async (key: string): Promise<void> => void written.push((await writer.put(key, '')).revision)
    for (let at = 0; at < 40; at++) await write(`w/${at % 7}`)
    await eventually('the watch is on its way', () => (told.length > 0 ? true : null))
    const restart = await programs.killLeader()
    for (let at = 0; at < 40; at++) await write(`w/${at % 7}`)
    await restart()
    await write('w/end')
    await watching
    t.strictSame(told, written)
  })

  await t.test('a lease is kept, with its keys, and one that is revoked is lost', async (t) => {
    const client = await programs.start()
    const ttlMs = 6_000
    const lease = await client.lease({ ttlMs })
    await client.put('member', 'here', { lease: lease.id })
    const lost = await client.lease({ ttlMs })
    const restart = await programs.killLeader()
    await delay(1.2 * ttlMs)
    t.ok(lease.isHeld && !lease.signal.aborted)
    t.equal((await client.get('member'))?.lease, lease.id)
    await client.leases.revoke(lost.id)
    await eventually('the holder knows', () => (lost.signal.aborted ? true : null))
    t.ok(lost.signal.reason instanceof LeaseLostError)
    t.notOk(lost.isHeld)
    await lease.release()
    t.equal(await client.get('member'), null)
    t.notOk(lease.signal.aborted, 'what is released is not lost')
    await restart()
  })

  await t.test('a lock passes on to those who wait, past one that has left', async (t) => {
    const [holder, leaver, waiter] = [await programs.start(), await programs.start(), await programs.start()]
    const untilWaiting = async (count: number): Promise<void> => {
      await eventually(`${count} wait`, async () => ((await holder.lockStatus('l')).waiting === count ? true : null))
    }
    const abort = new AbortController()
    const entered = { token: 0 }
    let waiting: Promise<void> | null = null
    {
      await using lock = await holder.lock('l', { ttlMs: 20_000, owner: 'first' })
      entered.token = lock.token
      const leaving = leaver.lock('l', { signal: abort.signal })
      leaving.catch(() => undefined)
      await untilWaiting(1)
      waiting = (async () => {
        await using next = await waiter.lock('l', { ttlMs: 20_000, owner: 'second' })
        t.ok(next.token > lock.token, 'a later holder has a larger token')
        t.match(await waiter.lockStatus('l'), { holder: { token: next.token, owner: 'second' } })
      })()
      await untilWaiting(2)
      t.match(await holder.lockStatus('l', { waiters: true }), { waiting: 2, waiters: [{}, { owner: 'second' }] })
      await using other = await holder.lock('lists/of locks', { owner: 'first' })
      t.match(await collect(holder.listLocks()), [
        { name: 'l', holder: { token: lock.token }, waiting: 2 },
        { name: 'lists/of locks', holder: { lease: other.lease, owner: 'first' }, waiting: 0 },
      ])
      t.match(await collect(holder.listLocks({}, { limit: 1 })), [{ name: 'l' }])
      t.match(await collect(holder.listLocks({ prefix: 'lists/' })), [{ name: 'lists/of locks' }])
      t.same(await collect(holder.listLocks({ start: 'lists0' }, { consistency: 'lease' })), [])
      abort.abort(new Error('enough'))
      await t.rejects(leaving, { message: 'enough' })
      await untilWaiting(1)
      const restart = await programs.killLeader()
      t.equal(await holder.tryLock('l'), null)
      t.ok(lock.isHeld)
      await restart()
    }
    await waiting
    t.strictSame(await holder.lockStatus('l'), { name: 'l', holder: null, waiting: 0 })
  })

  await t.test('what is left is the same on every node', async (t) => {
    const { digests } = await cluster.untilEqual()
    t.equal(new Set(digests).size, 1)
  })
})
