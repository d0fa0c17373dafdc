import t from 'tap'
import type { RowKey } from '../../src/kv/index.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { RowCache } from '../../src/node/state/row-cache.ts'

const MiB = 1024 ** 2

const row = (n: number): RowKey => `\x01key-${n}` as RowKey
const text = (bytes: Uint8Array | null | undefined): string | null | undefined =>
  bytes === null || bytes === undefined ? bytes : Buffer.from(bytes).toString('latin1')

t.test('what the cache remembers of a row is the last that was said of it', async (t) => {
  for (const bytesMax of [0, 100, 20_000, 300_000, 4 * MiB]) {
    const random = new SeededRandom(bytesMax + 1)
    const cache = new RowCache(bytesMax)
    const model = new Map<RowKey, string | null>()
    let known = 0
    for (let step = 0; step < 10_000; step++) {
      const one = row(random.integer(0, 2_000))
      if (random.fraction() < 0.5) {
        const size = random.fraction() < 0.02 ? random.integer(0, 40_000) : random.integer(0, 400)
        const value = random.fraction() < 0.1 ? null : String.fromCharCode(random.integer(0, 256)).repeat(size)
        cache.set(one, value === null ? null : Buffer.from(value, 'latin1'))
        model.set(one, value)
      } else {
        const found = text(cache.get(one))
        if (found === undefined) continue
        known += 1
        if (found !== model.get(one)) t.fail(`a budget of ${bytesMax}, step ${step}: ${one}`)
      }
    }
    t.ok(bytesMax < 20_000 ? known < 100 : known > 100, `a budget of ${bytesMax}: ${known} rows were known`)
  }
})

t.test('rows of a load that goes round stay as long as their bytes fit, and rows in use outlast others', async (t) => {
  const cache = new RowCache(4 * MiB)
  const value = Buffer.alloc(289, 7)
  for (let n = 0; n < 6_000; n++) cache.set(row(n), value)
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 6_000; n++) {
      if (cache.get(row(n)) === undefined) t.fail(`row ${n} of round ${round} is not there`)
      cache.set(row(n), value)
    }
  }
  for (let n = 6_000; n < 30_000; n++) {
    cache.set(row(n), value)
    cache.get(row(n % 100))
  }
  const left = (from: number, to: number): number => {
    let count = 0
    for (let n = from; n < to; n++) if (cache.get(row(n)) !== undefined) count += 1
    return count
  }
  t.equal(left(0, 100), 100, 'those that were asked for all the time')
  t.equal(left(1_000, 6_000), 0, 'those that nobody asked for')
})

t.test('a row that grows large or becomes small is not found as it was', async (t) => {
  const cache = new RowCache(16 * MiB)
  const one = row(1)
  for (const size of [10, 100_000, 20, 1_000_000, 20, 0]) {
    cache.set(one, Buffer.alloc(size, size & 0xff))
    t.equal(cache.get(one)?.length, size)
  }
  cache.set(one, null)
  t.equal(cache.get(one), null, 'it is known to be absent')
  cache.clear()
  t.equal(cache.get(one), undefined)
})

t.test('what was taken from the cache does not change with it', async (t) => {
  const cache = new RowCache(MiB)
  cache.set(row(1), Buffer.from('before'))
  const taken = cache.get(row(1))
  cache.set(row(1), Buffer.from('after!'))
  t.equal(text(taken), 'before')
  t.equal(text(cache.get(row(1))), 'after!')
})

t.test('many rows without content are no more than the index holds', async (t) => {
  const cache = new RowCache(64 * 1024)
  for (let n = 0; n < 20_000; n++) cache.set(row(n), null)
  let known = 0
  for (let n = 0; n < 20_000; n++) if (cache.get(row(n)) === null) known += 1
  t.ok(known > 100 && known < 2_000, `${known} rows are known`)
})
