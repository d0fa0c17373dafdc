import t from 'tap'
import type { RowKey } from '../../src/kv/index.ts'
import { type HashKey, KeyedHash } from '../../src/lib/keyed-hash.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { RowCache } from '../../src/node/state/row-cache.ts'

const MiB = 1024 ** 2
const KEY: HashKey = [0x1234_5678, 0x9abc_def0]

const row = (n: number): RowKey => `\x01key-${n}` as RowKey
const text = (bytes: Uint8Array | null | undefined): string | null | undefined =>
  bytes === null || bytes === undefined ? bytes : Buffer.from(bytes).toString('latin1')

t.test('hashes are those of HalfSipHash-1-3, and depend on the key', async (t) => {
  // Those of the kernel of Linux: the bytes 0, 1, 2 and so on, under the key 0 to 7.
  const published = [
    0x5814_c896, 0xe7e8_64ca, 0xbc4b_0e30, 0x0153_9939, 0x7e05_9ea6, 0x88e3_d89b, 0xa008_0b65, 0x9d38_d9d6, 0x5779_99b1,
  ]
  const hash = new KeyedHash([0x0302_0100, 0x0706_0504])
  for (const [length, expected] of published.entries())
    t.equal(hash.of(String.fromCharCode(...Array(length).keys())), expected, `${length} bytes`)
  t.not(new KeyedHash([0x0302_0100, 0x0706_0505]).of(''), published[0])
  t.not(new KeyedHash([0x0302_0101, 0x0706_0504]).of(''), published[0])
})

t.test('what the cache remembers of a row is the last that was said of it', async (t) => {
  for (const bytesMax of [0, 100, 20_000, 300_000, 4 * MiB]) {
    const random = new SeededRandom(bytesMax + 1)
    const cache = new RowCache(bytesMax, KEY)
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
  const cache = new RowCache(4 * MiB, KEY)
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
  const cache = new RowCache(16 * MiB, KEY)
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
  const cache = new RowCache(MiB, KEY)
  cache.set(row(1), Buffer.from('before'))
  const taken = cache.get(row(1))
  cache.set(row(1), Buffer.from('after!'))
  t.equal(text(taken), 'before')
  t.equal(text(cache.get(row(1))), 'after!')
})

t.test('many rows without content are no more than the index holds', async (t) => {
  const cache = new RowCache(64 * 1024, KEY)
  for (let n = 0; n < 20_000; n++) cache.set(row(n), null)
  let known = 0
  for (let n = 0; n < 20_000; n++) if (cache.get(row(n)) === null) known += 1
  t.ok(known > 100 && known < 2_000, `${known} rows are known`)
})

/** Rows whose searches begin at `homes`, in an index of `slots`. */
function rowsAt(homes: readonly number[], slots: number): readonly RowKey[] {
  const hash = new KeyedHash(KEY)
  const wanted = new Map<number, number[]>()
  for (const [at, home] of homes.entries()) {
    const others = wanted.get(home)
    if (others === undefined) wanted.set(home, [at])
    else others.push(at)
  }
  const rows: RowKey[] = []
  for (let n = 0, left = homes.length; left > 0; n++) {
    const at = wanted.get(hash.of(row(n)) & (slots - 1))?.pop()
    if (at === undefined) continue
    rows[at] = row(n)
    left -= 1
  }
  return rows
}

/** Processor time of `work`, in milliseconds. */
function cpuMs(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

t.test('rows whose hashes lie together cost no more than others', async (t) => {
  // The number of slots that a cache of this size ends with, and enough rows for it to grow so far.
  const bytesMax = 8 * MiB
  const slots = 2 ** 16
  const count = 20_000
  const value = Buffer.alloc(8, 1)
  const longer = Buffer.alloc(24, 2)
  const work = (rows: readonly RowKey[]): number => {
    const cache = new RowCache(bytesMax, KEY)
    for (const one of rows) cache.set(one, value)
    return cpuMs(() => {
      for (let round = 0; round < 500; round++) {
        for (const one of rows.slice(0, 4)) cache.set(one, round % 2 === 0 ? longer : value)
      }
    })
  }
  const scattered = Array.from({ length: count }, (_, n) => row(n))
  work(scattered)
  const costMax = 10 * work(scattered) + 20
  const side = Array.from({ length: count }, (_, n) => n)
  t.ok(work(rowsAt(side, slots)) < costMax, 'side by side')
  // Each row but the first is one slot behind its place, so each would move up when the first goes.
  t.ok(work(rowsAt([0, ...side.slice(0, -1)], slots)) < costMax, 'each behind its place')
})

t.test('rows whose hashes lie together are all found, whichever of them go', async (t) => {
  const large = Buffer.alloc(20_000)
  const slots = 1_024
  for (let seed = 1; seed <= 5; seed++) {
    const random = new SeededRandom(seed)
    const homes = Array.from({ length: 400 }, (_, n) => (n + 900 - random.integer(0, 20)) % slots)
    const rows = rowsAt(homes, slots)
    // Two thirds of it for small rows, and of these an eighth for the index: twice as many slots as the rows need.
    const cache = new RowCache(slots * 8 * 8 * 1.5, KEY)
    const model = new Map<RowKey, string>()
    for (let step = 0; step < 8_000; step++) {
      const one = rows[random.integer(0, rows.length)] ?? row(0)
      if (random.fraction() < 0.2) {
        // Too large for where it is, so it goes from there.
        cache.set(one, large)
        model.delete(one)
      } else {
        const value = String.fromCharCode(random.integer(0, 256)).repeat(random.integer(0, 12) * 3)
        cache.set(one, Buffer.from(value, 'latin1'))
        model.set(one, value)
      }
    }
    for (const [one, value] of model) {
      const found = text(cache.get(one))
      if (found !== value) t.fail(`seed ${seed}: ${one} is ${found}`)
    }
  }
})

t.test('where no slot is left for a row, the others stay what they are', async (t) => {
  const slots = 1_024
  for (let seed = 1; seed <= 5; seed++) {
    const random = new SeededRandom(seed)
    // Far more rows begin their search in the same places than find a slot there.
    const rows = rowsAt(
      Array.from({ length: 400 }, () => random.integer(0, 100)),
      slots,
    )
    const cache = new RowCache(slots * 8 * 8 * 1.5, KEY)
    const model = new Map<RowKey, string>()
    let known = 0
    for (let step = 0; step < 60_000; step++) {
      const one = rows[random.integer(0, rows.length)] ?? row(0)
      const found = text(cache.get(one))
      if (found !== undefined) known += 1
      if (found !== undefined && found !== model.get(one)) throw new Error(`seed ${seed}, step ${step}: ${one} is old`)
      const value = String.fromCharCode(random.integer(0, 256)).repeat(random.integer(0, 12) * 3)
      cache.set(one, Buffer.from(value, 'latin1'))
      model.set(one, value)
    }
    t.ok(known > 10_000, `seed ${seed}: ${known} rows were known`)
    // Nothing of it is left over: other rows find as much room as in a new cache.
    for (let n = 0; n < 2_000; n++) cache.set(row(n), Buffer.alloc(8))
    let kept = 0
    for (let n = 0; n < 2_000; n++) if (cache.get(row(n)) !== undefined) kept += 1
    t.ok(kept > slots / 4, `seed ${seed}: ${kept} rows are kept`)
  }
})

t.test('an index that is full keeps the rows in use', async (t) => {
  const cache = new RowCache(4 * MiB, KEY)
  for (let n = 0; n < 100_000; n++) {
    cache.set(row(n), null)
    cache.get(row(n % 100))
  }
  const known = (from: number, to: number): number => {
    let count = 0
    for (let n = from; n < to; n++) if (cache.get(row(n)) === null) count += 1
    return count
  }
  t.equal(known(0, 100), 100, 'those that were asked for all the time')
  t.ok(known(90_000, 100_000) > 5_000, 'and of the others the last')
  t.equal(known(100, 50_000), 0)
})
