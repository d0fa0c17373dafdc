import t from 'tap'
import type { LogStore } from '../../src/ports/log-store.ts'
import type { StateStore } from '../../src/ports/state-store.ts'
import { logIndex, nodeId, term, type LogBatch } from '../../src/raft/index.ts'
import { entryCodec } from '../../src/node/codec/entry.ts'
import { logStoreContract } from '../contract/log-store.ts'
import { stateStoreContract } from '../contract/state-store.ts'
import { calmDisk } from './disk/faults.ts'
import { LogDisk } from './disk/log-disk.ts'
import { SimLogStore } from './disk/log-store.ts'
import { StateDisk } from './disk/state-disk.ts'
import { SimPeerRegister, type PeerDisk } from './disk/peer-register.ts'
import { SimStateStore } from './disk/state-store.ts'
import { SimProcess } from './world/process.ts'
import { Trace } from './world/trace.ts'
import { World } from './world/world.ts'

function newWorld(seed: number): World {
  return new World({ seed, eventsMax: 1_000_000 }, { trace: new Trace(null) })
}

function newProcess(world: World): SimProcess {
  return new SimProcess({ name: 'n1/1', pace: { workMs: 0, turnMs: 0.1 }, rate: 1 }, world)
}

/** Advances virtual time until `promise` is settled. */
async function pump<T>(world: World, promise: Promise<T>): Promise<T> {
  let settled = false
  const settle = (): void => {
    settled = true
  }
  promise.then(settle, settle)
  await world.runUntil(world.now() + 60_000, () => settled)
  return promise
}

/** A store whose calls advance virtual time, because the contract tests know nothing of the world. */
function pumped<T extends object>(world: World, target: T): T {
  return new Proxy(target, {
    get(inner, name): unknown {
      const value: unknown = Reflect.get(inner, name, inner)
      if (typeof value !== 'function') return value
      return (...parts: unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, inner, parts)
        if (!(result instanceof Promise)) return result
        return pump(world, result).then((given: unknown) =>
          typeof given === 'object' && given !== null && 'close' in given
            ? pumped(world, given)
            : withWrites(world, given),
        )
      }
    },
  })
}

function withWrites(world: World, given: unknown): unknown {
  return typeof given === 'object' && given !== null && 'commit' in given ? pumped(world, given) : given
}

function openLog(world: World, disk: LogDisk, weather = calmDisk()): { store: SimLogStore; process: SimProcess } {
  const process = newProcess(world)
  const ignore = (): void => undefined
  const store = new SimLogStore({
    world,
    process,
    disk,
    weather,
    cachedProbability: 1,
    onSubmit: ignore,
    onWrite: ignore,
    onDurable: ignore,
  })
  return { store, process }
}

function openState(world: World, disk: StateDisk, weather = calmDisk()): { store: SimStateStore; process: SimProcess } {
  const process = newProcess(world)
  const ignore = (): void => undefined
  const store = new SimStateStore({
    world,
    process,
    disk,
    weather,
    onState: ignore,
    onWrite: ignore,
    onCommit: ignore,
  })
  return { store, process }
}

t.test('the simulated log keeps the contract of the port', (t) => {
  logStoreContract(t, () => {
    const world = newWorld(1)
    const disk = new LogDisk()
    return {
      open: async () => {
        const { store } = openLog(world, disk)
        const contents = await pump(world, store.open())
        return { store: pumped<LogStore>(world, store), contents }
      },
    }
  })
  t.end()
})

t.test('the simulated state keeps the contract of the port', (t) => {
  stateStoreContract(t, () => {
    const world = newWorld(1)
    const disk = new StateDisk()
    return {
      open: async () => {
        const { store } = openState(world, disk)
        const meta = await pump(world, store.open())
        return { store: pumped<StateStore>(world, store), meta }
      },
    }
  })
  t.end()
})

function blanks(first: number, count: number): LogBatch {
  const body = Buffer.concat(Array.from({ length: count }, () => entryCodec.blank()))
  return {
    leaderId: { term: term(1), nodeId: nodeId(1) },
    first: logIndex(first),
    last: logIndex(first + count - 1),
    body,
    membershipCount: 0,
  }
}

t.test('a crash keeps what was acknowledged, and of a write on its way some part from the front', async (t) => {
  const kept = new Set<number>()
  for (let seed = 0; seed < 200; seed++) {
    const world = newWorld(seed)
    const disk = new LogDisk()
    const { store, process } = openLog(world, disk)
    await pump(world, store.open())
    await pump(world, store.write([{ type: 'append', batch: blanks(0, 3) }]))
    void store.write([
      { type: 'append', batch: blanks(3, 2) },
      { type: 'append', batch: blanks(5, 2) },
    ])
    process.end()
    kept.add(disk.durable.lastIndex)
    t.ok(disk.durable.lastIndex >= 2, 'what was acknowledged is there')
  }
  t.same(
    [...kept].toSorted((a, b) => a - b),
    [2, 3, 4, 5, 6],
    'every cut of the rest comes up',
  )
})

t.test('a failed write leaves the log unusable', async (t) => {
  const world = newWorld(3)
  const weather = calmDisk()
  const { store } = openLog(world, new LogDisk(), weather)
  await pump(world, store.open())
  weather.broken = true
  await t.rejects(pump(world, store.write([{ type: 'append', batch: blanks(0, 1) }])), { name: 'StorageError' })
  weather.broken = false
  await t.rejects(pump(world, store.write([{ type: 'append', batch: blanks(0, 1) }])), { name: 'StorageError' })
  await t.rejects(pump(world, store.read(logIndex(0), logIndex(0), 100)), { name: 'StorageError' })
})

t.test('a full disk fails whatever needs space, is counted when it does, and fails nothing else', async (t) => {
  const world = newWorld(6)
  const weather = calmDisk()
  const full = async (call: () => Promise<unknown>, what: string): Promise<void> => {
    const before = world.census.of('disk-full')
    weather.full = true
    await t.rejects(pump(world, call()), /ENOSPC/, what)
    weather.full = false
    t.equal(world.census.of('disk-full'), before + 1, `${what} is counted`)
  }
  const opened = async (): Promise<SimStateStore> => {
    const { store } = openState(world, new StateDisk(), weather)
    await pump(world, store.open())
    return store
  }
  await full(() => openState(world, new StateDisk(), weather).store.open(), 'opening the state')
  const written = await opened()
  await full(() => written.write([], new Uint8Array(1)), 'writing the state')
  const flushed = await opened()
  await full(() => flushed.flush(), 'flushing the state')
  const begun = await opened()
  await full(() => begun.beginInstall(), 'beginning an install')
  const [filled, committed] = [await opened(), await opened()]
  const install = await pump(world, filled.beginInstall())
  await full(() => install.write([]), 'writing an install')
  const other = await pump(world, committed.beginInstall())
  await full(() => other.commit(new Uint8Array(1)), 'committing an install')
  const register = new SimPeerRegister({ world, process: newProcess(world), disk: new Map(), weather })
  await full(() => register.remember(nodeId(2), 'i2-1'), 'writing the register of peers')

  weather.full = true
  const { store } = openLog(world, new LogDisk(), weather)
  await pump(world, store.open())
  const vote = { leaderId: { term: term(1), nodeId: nodeId(1) }, committed: false }
  for (let i = 0; i < 20; i++)
    await pump(world, store.write([{ type: 'hard-state', state: { vote, clusterId: null } }]))
  t.pass('a vote is written over the one before')
  let index = 0
  const append = async (): Promise<void> => {
    for (; index < 50; index++) await pump(world, store.write([{ type: 'append', batch: blanks(index, 1) }]))
  }
  await t.rejects(append(), /ENOSPC/, 'the log needs another file by and by')
  t.ok(index > 0, 'but not at once')
})

t.test('the register of peers is changed in the order in which that was asked', async (t) => {
  const world = newWorld(5)
  const disk: PeerDisk = new Map()
  const register = new SimPeerRegister({ world, process: newProcess(world), disk, weather: calmDisk() })
  for (let round = 0; round < 20; round++) {
    const last = String(round)
    const changes = [
      register.remember(nodeId(2), 'old'),
      register.forget(nodeId(2)),
      register.remember(nodeId(2), last),
    ]
    await pump(world, Promise.all(changes))
    t.equal(disk.get(nodeId(2)), last)
  }
})

t.test(
  'damage to what was acknowledged is found at the next start, and forgotten when the log has grown over it',
  async (t) => {
    const world = newWorld(4)
    const disk = new LogDisk()
    const first = openLog(world, disk)
    await pump(world, first.store.open())
    await pump(world, first.store.write([{ type: 'append', batch: blanks(0, 6) }]))
    first.process.end()
    disk.damageFrom(logIndex(4))
    const second = openLog(world, disk)
    t.match(await pump(world, second.store.open()), { last: { index: 3 }, lostUpTo: 5, findings: [/damaged/] })
    await pump(world, second.store.write([{ type: 'append', batch: blanks(4, 1) }]))
    t.equal(disk.lostUpTo, 5)
    await pump(world, second.store.write([{ type: 'append', batch: blanks(5, 1) }]))
    t.equal(disk.lostUpTo, null)
  },
)

t.test('events happen in the order of their times, those of one time in the order they were asked for', async (t) => {
  const world = newWorld(5)
  const seen: string[] = []
  world.at(20, () => seen.push('late'))
  const wish = world.at(15, () => seen.push('never'))
  world.at(10, () => {
    seen.push('first')
    void Promise.resolve().then(() => {
      seen.push('what the first one set going')
    })
    world.at(10, () => seen.push('asked for later'))
  })
  world.at(10, () => seen.push('second'))
  wish.run = null
  await world.runUntil(100)
  t.same(seen, ['first', 'what the first one set going', 'second', 'asked for later', 'late'])
  t.equal(world.now(), 100)
})
