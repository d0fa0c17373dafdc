import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import type { WatchItem } from '../../src/api/services.ts'
import type { Change, EntryChanges, Key } from '../../src/kv/index.ts'
import { RequestError } from '../../src/lib/errors.ts'
import { SeededRandom } from '../../src/lib/random.ts'
import { toError } from '../../src/lib/to-error.ts'
import { ChangeRing } from '../../src/node/watches/change-ring.ts'
import { wants, type Interest } from '../../src/node/watches/interest.ts'
import { WatchHub, type WatchHubOptions } from '../../src/node/watches/watch-hub.ts'
import { WatcherIndex } from '../../src/node/watches/watcher-index.ts'
import type { Watcher } from '../../src/node/watches/watcher.ts'
import { limits } from '../../src/limits.ts'
import type { NodeOptions } from '../../src/node/options.ts'
import { MemoryFeed, TurningClock } from '../support/watch-feed.ts'
import { key, revisionOf } from './support/client.ts'
import { refused, TestCluster, type Harness } from './support/cluster.ts'
import { EVERYTHING, Watching } from './support/watching.ts'

const LETTERS = 'abcdefgh'

function everything(options: Partial<Interest> = {}): Interest {
  return { keys: { start: null, end: null }, puts: true, deletes: true, wantsPrevious: false, ...options }
}

function keyFrom(random: SeededRandom): Key {
  const letter = (): string => LETTERS[random.integer(0, LETTERS.length)] ?? ''
  return (letter() + (random.fraction() < 0.5 ? letter() : '')) as Key
}

function interestFrom(random: SeededRandom): Interest {
  const [a, b] = [keyFrom(random), keyFrom(random)].sort()
  const start = random.fraction() < 0.2 ? null : (a ?? null)
  const end = random.fraction() < 0.2 ? null : (b ?? null)
  const keys = random.fraction() < 0.4 ? keyFrom(random) : { start, end }
  const puts = random.fraction() < 0.8
  return everything({ keys, puts, deletes: !puts || random.fraction() < 0.7, wantsPrevious: random.fraction() < 0.5 })
}

t.test('a key finds exactly those who watch it, whoever came and went before', async (t) => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed)
    const index = new WatcherIndex<{ readonly interest: Interest }>()
    const model = new Set<{ readonly interest: Interest }>()
    for (let step = 0; step < 120; step++) {
      if (random.fraction() < 0.6 || model.size === 0) {
        const watcher = { interest: interestFrom(random) }
        index.add(watcher)
        index.add(watcher)
        model.add(watcher)
      } else {
        const watcher = [...model][random.integer(0, model.size)]
        if (watcher === undefined) continue
        index.delete(watcher)
        index.delete(watcher)
        model.delete(watcher)
      }
      const key = keyFrom(random)
      const found: unknown[] = []
      index.visit(key, (watcher) => found.push(watcher))
      const expected = [...model].filter(({ interest: { keys } }) => wants(everything({ keys }), { kind: 'put', key }))
      if (found.length !== expected.length || !expected.every((one) => found.includes(one))) {
        t.fail(`seed ${seed}, step ${step}: ${found.length} instead of ${expected.length}`)
      }
    }
    if (index.size !== model.size) t.fail(`seed ${seed}: ${index.size} instead of ${model.size}`)
  }
  t.pass('whatever was watched')
})

t.test('a key costs by who watches it, not by how many watch', async (t) => {
  const index = new WatcherIndex<{ readonly interest: Interest }>()
  const count = 20_000
  const name = (n: number): Key => `k${String(n).padStart(6, '0')}` as Key
  let comparisons = 0
  /** Stands for the name, and counts how often that is compared. */
  const counted = (n: number): Key => {
    const text = name(n)
    const bound: unknown = {
      [Symbol.toPrimitive]: () => {
        comparisons += 1
        return text
      },
    }
    return bound as Key
  }
  // In order, which would make a list of a tree that is not balanced.
  for (let n = 0; n < count; n++)
    index.add({ interest: everything({ keys: { start: counted(n), end: counted(n + 1) } }) })
  comparisons = 0
  let found = 0
  for (let n = 0; n < count; n++) index.visit(name(n), () => (found += 1))
  t.equal(found, count)
  // At each level of the tree, a few.
  const most = 6 * Math.ceil(Math.log2(count))
  t.ok(comparisons / count < most, `${comparisons / count} comparisons for each key`)
})

function put(key: string, value: string, before: string | null = null): Change {
  const previousRow = before === null ? null : Buffer.from(before)
  return { kind: 'put', key: key as Key, row: Buffer.from(value), previousRow, previousRevision: 0 }
}

t.test('recent changes are bounded in number and in bytes, and the last is always there', async (t) => {
  const ring = new ChangeRing({ entriesMax: 3, bytesMax: 1000 })
  ring.reset(10)
  t.match(ring, { floor: 10, last: 10, sizeBytes: 0 })
  for (const revision of [11, 13, 14, 20]) ring.push({ revision, changes: [put('a', 'v')] })
  t.match(ring, { floor: 11, last: 20 })
  t.equal(ring.find(11), undefined)
  t.equal(ring.find(12), undefined, 'a revision that changed nothing')
  t.match(ring.find(13), { revision: 13 })
  t.same(
    ring.after(13, 10).map(({ revision }) => revision),
    [14, 20],
  )
  t.throws(() => ring.after(10, 1), { message: /memory/ })
  t.throws(() => ring.push({ revision: 20, changes: [] }), { message: /order/ })
  ring.push({ revision: 21, changes: [put('a', 'v'.repeat(5000))] })
  t.match(ring, { floor: 20, last: 21 })
  t.match(ring.after(20, 1), [{ revision: 21 }])
  ring.push({ revision: 22, changes: [put('a', 'v')] })
  t.match(ring, { floor: 21, last: 22 })
  t.ok(ring.sizeBytes < 200)
  for (let revision = 23; revision < 6000; revision++) ring.push({ revision, changes: [put('a', 'v')] })
  t.same(
    ring.after(5996, 10).map(({ revision }) => revision),
    [5997, 5998, 5999],
  )
})

/** A store of which the changes are watched: applied entries go to the feed on the disk and to the hub. */
class World {
  readonly clock = new TurningClock()
  readonly feed = new MemoryFeed()
  readonly faults: Error[] = []
  readonly hub: WatchHub
  private readonly values = new Map<Key, string>()

  constructor(options: WatchHubOptions = {}) {
    this.hub = new WatchHub(options, {
      clock: this.clock,
      source: this.feed,
      applier: this.feed,
      membership: { isRemoved: false },
      faults: { report: (error) => this.faults.push(toError(error)) },
    })
  }

  /** Applies entries; with `unseen` they come with a state from another node. */
  apply(entries: readonly EntryChanges[], unseen = false): void {
    this.feed.entries.push(...entries)
    if (unseen) this.hub.onInstalled(this.feed.revision)
    else if (this.hub.isWatched) this.hub.onChanges(entries)
  }

  put(...keys: readonly string[]): number {
    const revision = this.feed.revision + 1
    this.apply([{ revision, changes: keys.map((key) => put(key, `${key}@${revision}`)) }])
    return revision
  }

  entryFrom(random: SeededRandom, revision: number): EntryChanges {
    const keys = new Set(
      Array.from({ length: random.fraction() < 0.8 ? 1 : random.integer(1, 6) }, () => keyFrom(random)),
    )
    const changes = [...keys].map((key): Change => {
      const before = this.values.get(key)
      const previousRow = before === undefined ? null : Buffer.from(before)
      if (before !== undefined && random.fraction() < 0.3) {
        this.values.delete(key)
        return { kind: 'delete', key, row: null, previousRow, previousRevision: 0 }
      }
      const value = `${key}@${revision}${random.fraction() < 0.05 ? '.'.repeat(40_000) : ''}`
      this.values.set(key, value)
      return { kind: 'put', key, row: Buffer.from(value), previousRow, previousRevision: 0 }
    })
    return { revision, changes }
  }
}

/** Reads one watch as a client does, and knows what it must be told. */
class Reader {
  readonly items: WatchItem[] = []
  error: RequestError | null = null
  readonly watcher: Watcher
  readonly since: number
  private readonly interest: Interest
  private asking = false

  constructor(world: World, interest: Interest, since: number) {
    this.interest = interest
    this.since = since
    this.watcher = world.hub.open(interest, since)
  }

  get isAsking(): boolean {
    return this.asking
  }

  ask(bytesMax: number): void {
    if (this.asking || this.error !== null) return
    this.asking = true
    this.watcher
      .next(bytesMax)
      .then((items) => this.items.push(...items))
      .catch((error: unknown) => (this.error = error instanceof RequestError ? error : null))
      .finally(() => (this.asking = false))
      .catch(() => undefined)
  }

  /** Up to where it was told that it has everything. */
  get told(): number {
    return this.items.at(-1)?.revision ?? this.since
  }

  /** What is wrong with what it was told, when the store has changed as `entries` say. */
  mistake(entries: readonly EntryChanges[]): string | null {
    let at = this.since
    const given = this.items.flatMap((item) => (item.type === 'changes' ? [item] : []))
    for (const item of this.items) {
      const isLater = item.type === 'changes' ? item.revision > at : item.revision >= at
      if (!isLater) return `${item.type} ${item.revision} after ${at}`
      at = item.revision
    }
    const expected = entries
      .filter(({ revision }) => revision > this.since && revision <= this.told)
      .map(({ revision, changes }) => ({ revision, changes: changes.filter((one) => wants(this.interest, one)) }))
      .filter(({ changes }) => changes.length > 0)
    const { wantsPrevious } = this.interest
    const shortly = (row: Uint8Array | null): string =>
      row === null ? '-' : Buffer.from(row).toString('latin1', 0, 20)
    const text = (list: readonly EntryChanges[]): string =>
      list
        .flatMap(({ revision, changes }) => [
          String(revision),
          ...changes.map(
            (one) => `${one.kind} ${one.key} ${shortly(one.row)} ${wantsPrevious ? shortly(one.previousRow) : ''}`,
          ),
        ])
        .join('\n')
    const got = text(given)
    return got === text(expected) ? null : `${given.length} revisions instead of ${expected.length}`
  }
}

async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await nextTurn()
}

t.test(
  'every watcher is told each change once, in order and whole, however slow it is and whatever happens',
  async (t) => {
    let compactions = 0
    let behind = 0
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed)
      const watchVisitsMax = random.fraction() < 0.7 ? random.integer(1, 20) : limits.watchVisitsMax
      const watchRecentEntriesMax = random.integer(1, 30)
      const world = new World({ watchRecentEntriesMax, watchRecentBytesMax: 100_000, watchVisitsMax })
      world.feed.perRead = random.integer(1, 8)
      world.feed.beforeAnswer = () => turns(random.integer(0, 4))
      const readers: Reader[] = []
      const closed: Reader[] = []
      for (let step = 0; step < 150; step++) {
        const { feed, hub } = world
        const dice = random.fraction()
        if (dice < 0.45) {
          const first = feed.revision
          const isInstalled = random.fraction() < 0.05
          const entries = Array.from({ length: random.integer(1, 8) }, (_, n) =>
            world.entryFrom(random, first + 1 + n * 2),
          )
          world.apply(entries, isInstalled)
        } else if (dice < 0.55 && readers.length < 12) {
          const since = random.integer(feed.compactedRevision, feed.revision + 1)
          readers.push(new Reader(world, interestFrom(random), random.fraction() < 0.4 ? feed.revision : since))
        } else if (dice < 0.58 && readers.length > 0) {
          const [reader] = readers.splice(random.integer(0, readers.length), 1)
          reader?.watcher.close()
          if (reader !== undefined) closed.push(reader)
        } else if (dice < 0.6) {
          feed.compactedRevision = random.integer(feed.compactedRevision, feed.revision + 1)
        } else if (dice < 0.65) world.clock.pass(random.integer(1, 20_000))
        else if (dice < 0.9)
          for (const reader of readers) if (random.fraction() < 0.5) reader.ask(random.integer(1, 300))
        await turns(random.integer(0, 3))
        if (hub.view().watchers > readers.length) t.fail(`seed ${seed}: watches that nobody has`)
      }
      const { entries, revision, compactedRevision } = world.feed
      // Everybody reads to the end.
      for (let n = 0; n < 3000; n++) {
        const waiting = readers.filter((reader) => reader.error === null && reader.told < revision)
        if (waiting.length === 0) break
        for (const reader of waiting) reader.ask(1000)
        if (n % 20 === 0) world.clock.pass(16_000)
        await nextTurn()
      }
      for (const reader of [...readers, ...closed]) {
        const mistake = reader.mistake(entries)
        if (mistake !== null) t.fail(`seed ${seed}: ${mistake}`)
      }
      for (const { error, told } of readers) {
        if (error === null) {
          if (told < revision) t.fail(`seed ${seed}: told up to ${told} of ${revision}`)
          continue
        }
        compactions += 1
        if (error.code !== 'compacted') t.fail(`seed ${seed}: ${error.code}`)
        if (told >= compactedRevision) t.fail(`seed ${seed}: what it wanted was there: ${told}, ${compactedRevision}`)
      }
      behind += world.hub.view().fallenBehind
      for (const { watcher } of readers) watcher.close()
      await turns(20)
      if (world.feed.openNow !== 0) t.fail(`seed ${seed}: ${world.feed.openNow} views are left open`)
      if (world.faults.length > 0) t.fail(`seed ${seed}: ${world.faults[0]?.stack}`)
      t.same(world.hub.view(), { ...world.hub.view(), watchers: 0, behind: 0, recentBytes: 0 })
    }
    t.ok(compactions > 20 && behind > 100, `${compactions} compacted, ${behind} fallen behind`)
  },
)

t.test('who comes while an entry is being told to others is told all of it', async (t) => {
  for (let wait = 0; wait < 12; wait++) {
    const world = new World({ watchVisitsMax: 1 })
    const readers = [new Reader(world, everything(), 0)]
    const read = async (turnsLeft: number): Promise<void> => {
      for (let n = 0; n < turnsLeft; n++) {
        for (const reader of readers) reader.ask(1000)
        await nextTurn()
      }
    }
    await read(5)
    for (let n = 0; n < 3; n++) world.put('a', 'b', 'c', 'd')
    await read(40)
    readers.push(new Reader(world, everything(), 0))
    await read(wait)
    readers.push(new Reader(world, everything({ keys: 'a' as Key }), 0))
    readers.push(new Reader(world, everything({ keys: 'b' as Key }), 1))
    world.put('a', 'b', 'c', 'd')
    await read(100)
    world.clock.pass(20_000)
    await read(20)
    for (const [at, reader] of readers.entries()) {
      t.equal(reader.mistake(world.feed.entries), null, `reader ${at} after ${wait} turns`)
      t.equal(reader.told, world.feed.revision)
      reader.watcher.close()
    }
  }
})

t.test('what is on the disk is not told before it is in memory, and told once then', async (t) => {
  for (const isInstalled of [true, false]) {
    const world = new World()
    for (let n = 0; n < 3; n++) world.put('a')
    const readers = [new Reader(world, everything(), world.feed.revision), new Reader(world, everything(), 1)]
    const read = async (): Promise<void> => {
      for (let n = 0; n < 30; n++) {
        for (const reader of readers) reader.ask(1000)
        await nextTurn()
      }
    }
    await read()
    readers.push(new Reader(world, everything(), 0))
    const entries = [4, 5].map((revision): EntryChanges => ({ revision, changes: [put('a', `a@${revision}`)] }))
    world.feed.entries.push(...entries)
    await read()
    for (const { told } of readers) t.equal(told, 3)
    if (isInstalled) world.hub.onInstalled(5)
    else world.hub.onChanges(entries)
    await read()
    world.put('a')
    await read()
    for (const reader of readers) {
      t.equal(reader.mistake(world.feed.entries), null)
      t.equal(reader.told, 6)
      reader.watcher.close()
    }
  }
})

const IDS = [1, 2, 3]

/** A cluster that keeps history, and the revision from which on it does. */
async function recording(t: Harness, ids: readonly number[] = IDS, options: Partial<NodeOptions> = {}) {
  const c = new TestCluster(t, ids, options)
  const leader = await c.form(IDS)
  await c.on(leader).put('first', '0')
  await c.on(leader).keepHistory()
  const { revision } = c.on(leader).services.health.metrics()
  await c.on(leader).compact(revision)
  return { c, leader, revision }
}

function revisionOn(c: TestCluster, id: number): number {
  return c.at(id).node.replica.applier.revision
}

t.test('all nodes tell the same, whole revisions, of what comes and of what has been', async (t) => {
  const { c, leader, revision } = await recording(t)
  const options = { since: revision, wantsPrevious: true }
  const live = IDS.map((id) => {
    const watching = new Watching(options)
    return { id, watching, done: watching.through(c, id) }
  })
  const base = revisionOf(await c.on(leader).put('a', '1'))
  await c.on(leader).put('b', '1')
  await c.on(leader).put('a', '2')
  await c.on(leader).execute({
    type: 'transaction',
    compares: [],
    success: ['a', 'c'].map((name) => ({
      type: 'put',
      key: key(name),
      value: Buffer.from('3'),
      wantsPrevious: false,
    })),
    failure: [],
    idempotency: null,
  })
  await c.on(leader).deleteRange('a', 'c')
  await c.on(leader).delete('absent')
  await c.settled()
  const last = revisionOn(c, leader)
  const expected = [
    `${base + 0} a=1(-)`,
    `${base + 1} b=1(-)`,
    `${base + 2} a=2(1)`,
    `${base + 3} a=3(2) c=3(-)`,
    `${base + 4} a=-(3) b=-(1)`,
  ]
  const later = IDS.map((id) => {
    const watching = new Watching(options)
    return { id, watching, done: watching.through(c, id) }
  })
  const all = [...live, ...later]
  await c.until('everybody is told', () => all.every(({ watching }) => watching.told === last))
  for (const { watching, id } of all) t.same(watching.lines, expected, `through node ${id}`)
  await c.until(
    'those that are idle hear how far they are',
    () => all.every(({ watching }) => watching.progress > 2),
    60_000,
  )
  for (const id of IDS) await c.at(id).stop()
  await Promise.all(all.map(({ done }) => done))
  for (const { watching } of all) t.equal(watching.error?.code, 'shutting-down')
})

t.test('a watch that is resumed through crashes of every node sees each change once, in order', async (t) => {
  const { c, revision } = await recording(t, IDS, { watchRecentEntriesMax: 5, purgeEveryEntries: 30, keepEntries: 5 })
  const watchings = [{}, { keys: key('k1') }, { keys: { start: key('k2'), end: key('k4') }, puts: false }].map(
    (options) => new Watching({ ...options, since: revision, wantsPrevious: true }),
  )
  const running = watchings.map((watching) => watching.throughAny(c))
  const reference = new Watching({ since: revision, wantsPrevious: true })
  for (let round = 0; round < 9; round++) {
    const leader = await c.leader()
    for (let n = 0; n < 12; n++) {
      if (n % 4 === 3) await c.on(leader).delete(`k${(n + round) % 6}`)
      else await c.on(leader).put(`k${n % 6}`, `${round}.${n}`)
    }
    const victim = round % 2 === 0 ? leader : IDS[round % 3]
    if (victim === undefined) continue
    await c.at(victim).crash()
    const next = await c.leader(IDS.filter((id) => id !== victim))
    for (let n = 0; n < 5; n++) await c.on(next).put(`k${n}`, `${round}+${n}`)
    await c.start(victim)
    await c.settled()
  }
  const last = revisionOn(c, 1)
  const done = reference.through(c, 1)
  await c.until('everybody is told', () => [...watchings, reference].every(({ told }) => (told ?? 0) >= last), 60_000)
  for (const watching of [...watchings, reference]) watching.stop()
  await c.pass(20_000)
  await Promise.all([...running, done])
  t.ok(reference.lines.length > 100)
  const about = (test: RegExp): string[] => reference.lines.filter((line) => test.test(line))
  t.same(watchings[0]?.lines, reference.lines)
  t.same(watchings[1]?.lines, about(/ k1=/))
  t.same(watchings[2]?.lines, about(/ k[23]=-/))
  t.ok(watchings.every(({ resumes }) => resumes >= 2))
})

t.test('a state from another node moves every watch to what that state tells of, or ends it', async (t) => {
  const small = { purgeEveryEntries: 20, keepEntries: 5, keepBytes: 2_000, snapshotHoldMs: 100, snapshotHoldBytes: 1 }
  const { c, leader, revision } = await recording(t, IDS, small)
  const [first = 0, second = 0] = IDS.filter((id) => id !== leader)
  const others = [first, second]
  const watchings = others.map((id) => {
    const watching = new Watching({ since: revision })
    return { id, watching, done: watching.through(c, id) }
  })
  await c.on(leader).put('a', '1')
  await c.until('they are live', () => watchings.every(({ watching }) => watching.lines.length === 1))
  c.partition([first])
  for (let n = 0; n < 80; n++) await c.on(leader).put(`k${n % 10}`, String(n))
  await c.on(leader).purge()
  c.heal()
  await c.settled()
  t.equal(c.on(first).services.health.metrics().snapshotsInstalled, 1)
  const last = revisionOn(c, leader)
  await c.until('both are told', () => watchings.every(({ watching }) => watching.told === last))
  t.same(watchings[0]?.watching.lines, watchings[1]?.watching.lines)
  t.equal(watchings[0]?.watching.lines.length, 81)

  c.partition([second])
  for (let n = 0; n < 80; n++) await c.on(leader).put(`k${n % 10}`, `again ${n}`)
  await c.on(leader).compact(revisionOn(c, leader) - 10)
  await c.on(leader).purge()
  c.heal()
  await c.settled()
  await c.until('the other has ended', () => watchings[1]?.watching.error !== null)
  t.match(watchings[1]?.watching.error, { code: 'compacted', facts: { compactRevision: revisionOn(c, leader) - 10 } })
  t.equal(watchings[1]?.watching.lines.length, 81, 'nothing was told after a gap')
  await c.until('who saw it all is told', () => watchings[0]?.watching.lines.length === 161)
  watchings[0]?.watching.stop()
  await c.pass(20_000)
})

t.test('since: ahead of a node it waits, ahead of the cluster it is refused, and older than history too', async (t) => {
  const { c, leader, revision } = await recording(t)
  const follower = IDS.find((id) => id !== leader) ?? 0
  c.partition([follower])
  const put = await c.on(leader).put('a', '1')
  const since = put.type === 'put' ? put.revision : 0
  t.ok(revisionOn(c, follower) < since)
  await refused(c.on(follower).watch({ ...EVERYTHING, since, timeoutMs: 300 }), 'no-leader', 'read-timeout')
  await refused(c.on(follower).watch({ ...EVERYTHING, timeoutMs: 300 }), 'no-leader', 'read-timeout')
  const past = await c.on(follower).watch({ ...EVERYTHING, since: revision, timeoutMs: 300 })
  t.match(past.context, { revision, servedBy: follower, consistency: 'stale' }, 'the past needs nobody else')
  past.close()
  const opening = c.on(follower).watch({ ...EVERYTHING, since, timeoutMs: 10_000 })
  await c.pass(200)
  c.heal()
  const watch = await opening
  t.match(watch.context, { revision: since, consistency: 'linearizable' })
  watch.close()
  const error = await refused(c.on(follower).watch({ ...EVERYTHING, since: since + 1 }), 'future-revision')
  t.match(error.facts, { currentRevision: since })
  const now = await c.on(follower).watch(EVERYTHING)
  t.equal(now.context.revision, since)
  t.same(await now.next(1), [{ type: 'progress', revision: since }])
  now.close()
  t.same(await now.next(1), [], 'nothing more comes of what is closed')

  t.match(await refused(c.on(leader).watch({ ...EVERYTHING, since: revision - 1 }), 'compacted'), {
    facts: { compactRevision: revision },
  })
  await c.on(leader).put('a', '2')
  await c.on(leader).compact(since)
  await c.settled()
  await refused(c.on(follower).watch({ ...EVERYTHING, since: since - 1 }), 'compacted')
  const oldest = await c.on(follower).watch({ ...EVERYTHING, since })
  t.match(await oldest.next(1), [{ type: 'changes', revision: since + 1 }])
  oldest.close()
})

t.test(
  'there are no watches before every member knows history, and then each tells what was there before',
  async (t) => {
    const c = new TestCluster(t, IDS)
    const leader = await c.form()
    await c.on(leader).put('a', '1')
    for (const since of [null, 0]) {
      const error = await refused(c.on(leader).watch({ ...EVERYTHING, since }), 'feature-unavailable')
      t.match(error.facts, { level: 1, clusterLevel: 0 })
    }
    t.equal(c.on(leader).services.health.metrics().watches.watchers, 0)
    const opening = c.on(leader).watch({ ...EVERYTHING, wantsPrevious: true })
    await c.on(leader).keepHistory()
    const watch = await opening
    await c.on(leader).deleteRange('a', null)
    const [item] = await watch.next(1000)
    t.match(item, { type: 'changes', changes: [{ kind: 'delete', previousRow: Buffer }] })
    watch.close()
  },
)

t.test('without history a watch tells of what comes, and ends when it is too slow', async (t) => {
  const c = new TestCluster(t, [1], { watchRecentEntriesMax: 3 })
  await c.form([1])
  await c.on(1).put('a', '1')
  await c.on(1).keepHistory({ revisions: 0, ageMs: 1_000, bytes: 65_536 })
  await refused(c.on(1).watch({ ...EVERYTHING, since: 0 }), 'compacted')
  const watch = await c.on(1).watch(EVERYTHING)
  await c.on(1).put('a', '2')
  t.match(await watch.next(1000), [{ type: 'changes' }])
  for (let n = 0; n < 10; n++) await c.on(1).put('a', String(n))
  const late = (async () => {
    for (;;) await watch.next(1000)
  })()
  await refused(c.on(1).guard(late), 'compacted')
  t.equal(c.on(1).services.health.metrics().watches.watchers, 0)
})

t.test('a node that was removed ends its watches, and says why', async (t) => {
  const { c, leader, revision } = await recording(t)
  const follower = IDS.find((id) => id !== leader) ?? 0
  const watching = new Watching({ since: revision })
  const done = watching.through(c, follower)
  await c.on(leader).put('a', '1')
  await c.on(leader).change({ add: [], remove: [follower] })
  await c.until('the watch has ended', () => watching.error !== null, 60_000)
  await done
  t.equal(watching.error?.code, 'removed')
  t.equal(watching.lines.length, 1)
})

t.test('ten thousand watchers: who resumes reads the disk with others, and memory is bounded', async (t) => {
  const world = new World({ watchRecentEntriesMax: 100 })
  world.feed.perRead = 256
  for (let n = 0; n < 3_000; n++) world.put(`k${n % 10_000}`)
  const readers = Array.from(
    { length: 10_000 },
    (_, n) => new Reader(world, everything({ keys: `k${n}` as Key }), n % 2_000),
  )
  for (const reader of readers) reader.ask(1000)
  for (let n = 0; n < 5_000 && world.hub.view().behind > 0; n++) {
    await nextTurn()
    for (const reader of readers) reader.ask(1000)
  }
  t.same(world.faults, [])
  t.equal(world.hub.view().behind, 0)
  t.ok(world.feed.openMost <= limits.watchWalksMax, `${world.feed.openMost} views at once`)
  t.ok(world.feed.reads < 100, `${world.feed.reads} reads of the disk`)
  t.same(
    readers.map((reader) => reader.mistake(world.feed.entries)).filter((mistake) => mistake !== null),
    [],
  )
  t.throws(() => world.hub.open(everything(), 0), { code: 'overloaded' })
  for (const { watcher } of readers) watcher.close()
  t.match(world.hub.view(), { watchers: 0, recentBytes: 0 })
})

t.test('however many changes as many watchers want, other work has its turn in between', async (t) => {
  const world = new World()
  const count = 2_000
  const readers = Array.from({ length: count }, () => new Reader(world, everything(), 0))
  for (const reader of readers) reader.ask(1000)
  await turns(20)
  const toldNow = (): number => readers.filter(({ watcher }) => watcher.holdsRevisions).length
  // One entry, then as much in many.
  world.put(...Array.from({ length: 100 }, (_, n) => `k${n}`))
  for (let n = 0; n < 100; n++) world.put('a')
  t.equal(toldNow(), count, 'everybody has something to take')
  const position = (): number => Math.max(...readers.slice(0, 5).map(({ watcher }) => world.hub.positionOf(watcher)))
  let before = position()
  t.equal(before, 1, 'of the first entry, and of no other yet')
  let most = 0
  for (let n = 0; n < 1_000 && readers.some(({ told }) => told < world.feed.revision); n++) {
    most = Math.max(most, position() - before)
    before = position()
    for (const reader of readers) reader.ask(1000)
    await nextTurn()
  }
  t.ok(most > 1 && most <= 2 + limits.watchVisitsMax / count, `at most ${most} entries in a turn`)
  t.same(
    readers.map((reader) => reader.mistake(world.feed.entries)).filter((mistake) => mistake !== null),
    [],
  )
  t.equal(world.hub.view().fallenBehind, 0)
  for (const { watcher } of readers) watcher.close()
})

t.test(
  'a watcher that leaves things lying is told of them from the disk; together they hold a bounded amount',
  async (t) => {
    const world = new World()
    const large = 'x'.repeat(1_000_000)
    const slow = new Reader(world, everything(), 0)
    for (let n = 0; n < limits.watchQueuedMax + 50; n++) world.put('a')
    t.match(world.hub.view(), { watchers: 1, behind: 1, fallenBehind: 1 })
    for (let n = 0; n < 70; n++) world.apply([{ revision: world.feed.revision + 1, changes: [put('big', large)] }])
    const others = Array.from({ length: 20 }, () => new Reader(world, everything({ keys: 'big' as Key }), 0))
    for (const reader of others) reader.ask(1)
    await turns(300)
    const asking = [slow, ...others]
    for (let n = 0; n < 20_000 && asking.some(({ told }) => told < world.feed.revision); n++) {
      for (const reader of asking) reader.ask(1)
      if (n % 50 === 0) world.clock.pass(1_000)
      await nextTurn()
    }
    for (const reader of asking) t.equal(reader.mistake(world.feed.entries), null)
    t.ok(asking.every(({ told }) => told === world.feed.revision))
  },
)
