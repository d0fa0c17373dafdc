import type { Test } from 'tap'
import type { StateRange, StateRow, StateStore, StateView, StateWrite } from '../../src/ports/state-store.ts'

/** Opens the same state again and again. */
export interface StateFixture {
  open(): Promise<{ store: StateStore; meta: Uint8Array | null }>
}

const EVERYTHING: StateRange = { start: null, end: null, reverse: false, limit: Infinity, bytesMax: Infinity }

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

function put(key: string, value: string): StateWrite {
  return { type: 'put', key: bytes(key), value: bytes(value) }
}

function row(key: string, value: string): StateRow {
  return { key: bytes(key), value: bytes(value) }
}

function text(value: Uint8Array | null | undefined): string | null {
  return value === null || value === undefined ? null : Buffer.from(value).toString('latin1')
}

function pairs(rows: readonly StateRow[]): string[] {
  return rows.map(({ key, value }) => `${text(key)}=${text(value)}`)
}

async function scan(view: StateView, range: Partial<StateRange> = {}): Promise<string[]> {
  return pairs(await view.scan({ ...EVERYTHING, ...range }))
}

async function contents(store: StateStore): Promise<{ meta: string | null; rows: string[] }> {
  const view = await store.view()
  const rows = await scan(view)
  await view.close()
  return { meta: text(view.meta), rows }
}

/** The promises that every state store keeps. `make` gives a new, empty state for each call. */
export function stateStoreContract(t: Test, make: (t: Test) => StateFixture): void {
  t.test('a new state is empty', async (t) => {
    const { store, meta } = await make(t).open()
    t.equal(meta, null)
    t.same(await store.getMany([bytes('a'), bytes('b')]), [null, null])
    t.same(await store.getMany([]), [])
    t.same(await contents(store), { meta: null, rows: [] })
    await store.flush()
    await store.close()
  })

  t.test('rows and meta change together and are there in the next life', async (t) => {
    const state = make(t)
    const { store } = await state.open()
    await store.write([put('b', '2'), put('a', '1'), put('\0', 'zero'), put('ÿÿ', ''), put('c', '3')], bytes('m1'))
    await store.write(
      [{ type: 'delete', key: bytes('c') }, { type: 'delete', key: bytes('never') }, put('a', 'one')],
      bytes('m2'),
    )
    const expected = { meta: 'm2', rows: ['\0=zero', 'a=one', 'b=2', 'ÿÿ='] }
    t.same(await contents(store), expected)
    t.same((await store.getMany(['ÿÿ', 'c', 'a', '\0'].map(bytes))).map(text), ['', null, 'one', 'zero'])
    await store.write([], bytes('m3'))
    t.equal((await contents(store)).meta, 'm3')
    await store.flush()
    t.ok(store.sizeBytes() > 0)
    await store.close()
    const { store: again, meta } = await state.open()
    t.equal(text(meta), 'm3')
    t.same((await contents(again)).rows, expected.rows)
    await again.close()
  })

  t.test('scans: bounds, both directions, limits', async (t) => {
    const { store } = await make(t).open()
    const names = Array.from({ length: 40 }, (_, i) => `k${String(i).padStart(2, '0')}`)
    await store.write(
      names.map((name) => put(name, 'v'.repeat(6))),
      bytes('m'),
    )
    const view = await store.view()
    const expected = names.map((name) => `${name}=vvvvvv`)
    const cases: [Partial<StateRange>, string[]][] = [
      [{}, expected],
      [{ reverse: true }, expected.toReversed()],
      [{ start: bytes('k10') }, expected.slice(10)],
      [{ start: bytes('k10'), end: bytes('k12') }, expected.slice(10, 12)],
      [{ start: bytes('k10'), end: bytes('k12'), reverse: true }, expected.slice(10, 12).toReversed()],
      [{ start: bytes('k10x'), end: bytes('k12x') }, expected.slice(11, 13)],
      [{ end: bytes('k03') }, expected.slice(0, 3)],
      [{ start: bytes('k12'), end: bytes('k12') }, []],
      [{ start: bytes('k12'), end: bytes('k10') }, []],
      [{ start: bytes('z') }, []],
      [{ end: bytes('a') }, []],
      [{ start: bytes(''), limit: 2 }, expected.slice(0, 2)],
      [{ end: bytes('') }, []],
      [{ limit: 0 }, []],
      [{ limit: 1 }, expected.slice(0, 1)],
      [{ limit: 8 }, expected.slice(0, 8)],
      [{ limit: 9 }, expected.slice(0, 9)],
      [{ limit: 39, reverse: true }, expected.slice(1).toReversed()],
      [{ limit: 41 }, expected],
      [{ start: bytes('k05'), limit: 20, reverse: true }, expected.slice(20).toReversed()],
      // A row takes nine bytes; the first one comes whatever its size.
      [{ bytesMax: 0 }, expected.slice(0, 1)],
      [{ bytesMax: 18 }, expected.slice(0, 2)],
      [{ bytesMax: 18 + 8 }, expected.slice(0, 2)],
      [{ bytesMax: 9 * 30, reverse: true }, expected.slice(10).toReversed()],
    ]
    for (const [range, rows] of cases) {
      t.same(await scan(view, range), rows, JSON.stringify(range))
      if (range.bytesMax !== undefined) continue
      const keys = (await view.keys({ ...EVERYTHING, ...range })).map(text)
      t.same(
        keys,
        rows.map((row) => row.slice(0, 3)),
        `the keys of ${JSON.stringify(range)}`,
      )
    }
    // Of keys alone the bytes of the keys count, three each.
    for (const [bytesMax, count] of [
      [0, 1],
      [3, 1],
      [6, 2],
      [8, 2],
    ] as const) {
      t.equal((await view.keys({ ...EVERYTHING, bytesMax })).length, count, `${bytesMax} bytes of keys`)
    }
    await view.close()
    await t.rejects(view.keys(EVERYTHING), 'a view that is closed gives no keys')
    await store.close()
  })

  t.test('single rows of a view', async (t) => {
    const { store } = await make(t).open()
    await store.write([put('a', '1'), put('b', '2')], bytes('m'))
    const view = await store.view()
    await store.write([put('a', 'later'), put('c', '3'), { type: 'delete', key: bytes('b') }], bytes('n'))
    const names = ['b', 'a', 'c', 'a']
    const shown = (values: readonly (Uint8Array | null)[]) =>
      values.map((value) => (value === null ? null : text(value)))
    t.same(shown(await view.getMany(names.map(bytes))), ['2', '1', null, '1'], 'as they were')
    t.same(shown(await store.getMany(names.map(bytes))), [null, 'later', '3', 'later'])
    t.same(await view.getMany([]), [])
    await view.close()
    await t.rejects(view.getMany([bytes('a')]), 'a view that is closed has no rows')
    await store.close()
  })

  t.test('how far a key is', async (t) => {
    const { store } = await make(t).open()
    const names = Array.from({ length: 4000 }, (_, i) => `k${String(i).padStart(4, '0')}`)
    await store.write(
      names.map((name) => put(name, 'v'.repeat(500))),
      bytes('m'),
    )
    // RocksDB estimates what is in memory only by drawing samples of it: nobody can say how far off those are.
    await store.flush()
    const view = await store.view()
    const fractions = await Promise.all(
      names.filter((_, i) => i % 400 === 399).map((name) => view.fractionUpTo(bytes(name))),
    )
    t.ok(
      fractions.every((fraction, i) => Math.abs(fraction - (i + 1) / 10) < 0.02),
      fractions.join(),
    )
    t.ok(
      fractions.every((fraction, i) => i === 0 || fraction > (fractions[i - 1] ?? 0)),
      fractions.join(),
    )
    t.equal(await view.fractionUpTo(bytes('z')), 1)
    const size = await view.sizeBytes()
    t.ok(size > 0.5 * 4000 * 500 && size < 3 * 4000 * 500, `the view tells a size measured now: ${size}`)
    await view.close()
    await t.rejects(view.fractionUpTo(bytes('z')))
    await t.rejects(view.sizeBytes())
    await store.close()
  })

  t.test('a scan of rows of every size, several at once', async (t) => {
    const { store } = await make(t).open()
    const sizes = [0, 1, 300_000, 5, 2_000_000, 0, 10, 70_000, ...Array.from({ length: 3000 }, (_, i) => i % 50)]
    const rows = sizes.map((size, i) => put(`k${String(i).padStart(5, '0')}`, String(i % 10).repeat(size)))
    await store.write(rows, bytes('m'))
    const view = await store.view()
    const expected = rows.map((one) => `${text(one.key)}=${one.type === 'put' ? text(one.value) : ''}`)
    const scans = await Promise.all([
      scan(view),
      scan(view, { reverse: true }),
      scan(view, { limit: 2000 }),
      scan(view),
    ])
    t.ok(scans[0]?.join() === expected.join())
    t.ok(scans[1]?.join() === expected.toReversed().join())
    t.ok(scans[2]?.join() === expected.slice(0, 2000).join())
    t.ok(scans[3]?.join() === expected.join())
    await view.close()
    await store.close()
  })

  t.test('a view stays as it was', async (t) => {
    const { store } = await make(t).open()
    const empty = await store.view()
    await store.write([put('a', '1'), put('b', '1')], bytes('m1'))
    const first = await store.view()
    await store.write([put('a', '2'), { type: 'delete', key: bytes('b') }, put('c', '2')], bytes('m2'))
    await store.flush()
    const second = await store.view()
    t.equal(empty.meta, null)
    t.same(await scan(empty), [])
    t.equal(text(first.meta), 'm1')
    t.same(await scan(first), ['a=1', 'b=1'])
    t.equal(text(second.meta), 'm2')
    t.same(await scan(second), ['a=2', 'c=2'])
    for (const view of [empty, first, second]) await view.close()
    await first.close()
    await t.rejects(first.scan(EVERYTHING), { name: 'StorageError' })
    await store.close()
  })

  t.test('an install replaces everything at once', async (t) => {
    const state = make(t)
    const { store } = await state.open()
    await store.write([put('old', '1'), put('both', 'old')], bytes('m1'))
    const before = await store.view()
    const install = await store.beginInstall()
    await install.write([row('a', '1'), row('both', 'new')])
    await install.write([])
    await install.write([row('c', '3')])
    await store.write([put('old', '2')], bytes('m2'))
    t.same(await contents(store), { meta: 'm2', rows: ['both=old', 'old=2'] }, 'nothing is visible before the commit')
    await install.commit(bytes('m9'))
    const expected = { meta: 'm9', rows: ['a=1', 'both=new', 'c=3'] }
    t.same(await contents(store), expected)
    t.same((await store.getMany([bytes('old'), bytes('c')])).map(text), [null, '3'])
    t.same(await scan(before), ['both=old', 'old=1'], 'a view of the old state stays valid')
    await before.close()
    await store.close()
    const { store: again, meta } = await state.open()
    t.equal(text(meta), 'm9')
    t.same(await contents(again), expected)
    await again.write([put('d', '4')], bytes('m10'))
    t.same(await contents(again), { meta: 'm10', rows: [...expected.rows, 'd=4'] })
    await again.close()
  })

  t.test('an install can be given up, and another one begun', async (t) => {
    const state = make(t)
    const { store } = await state.open()
    await store.write([put('a', '1')], bytes('m1'))
    const first = await store.beginInstall()
    await first.write([row('x', '1')])
    await first.abort()
    t.same(await contents(store), { meta: 'm1', rows: ['a=1'] })
    const second = await store.beginInstall()
    await second.write([row('y', '1')])
    await second.commit(bytes('m2'))
    t.same(await contents(store), { meta: 'm2', rows: ['y=1'] })
    const third = await store.beginInstall()
    await third.write([row('z', '1')])
    await store.close()
    const { store: again } = await state.open()
    t.same(await contents(again), { meta: 'm2', rows: ['y=1'] }, 'one that was not finished leaves nothing')
    await again.close()
  })

  t.test('an install refuses rows out of order, and is only one at a time', async (t) => {
    const { store } = await make(t).open()
    const install = await store.beginInstall()
    await t.rejects(store.beginInstall(), { name: 'InvariantError' })
    await install.write([row('b', '1')])
    await t.rejects(install.write([row('a', '1')]), { name: 'InvariantError' })
    await store.close()
  })

  t.test('closing waits for what is under way', async (t) => {
    const { store } = await make(t).open()
    await store.write(
      Array.from({ length: 500 }, (_, i) => put(`k${i}`, 'v'.repeat(200))),
      bytes('m'),
    )
    const view = await store.view()
    const work = Promise.allSettled([
      view.scan(EVERYTHING),
      store.getMany([bytes('k1')]),
      store.flush(),
      view.scan({ ...EVERYTHING, reverse: true }),
      store.write([put('last', '1')], bytes('m2')),
    ])
    await store.close()
    await store.close()
    for (const outcome of await work) t.equal(outcome.status, 'fulfilled')
    const refusal = { name: 'StorageError', kind: 'failed' }
    await t.rejects(store.getMany([bytes('k1')]), refusal)
    await t.rejects(store.write([], bytes('m')), refusal)
    await t.rejects(store.flush(), refusal)
    await t.rejects(store.view(), refusal)
    await t.rejects(store.beginInstall(), refusal)
  })
}
