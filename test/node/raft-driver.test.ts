/** The core joined to its world: what breaks on the way is a fault of the node and nobody else's, and effects keep the order of their inputs. */
import t, { type Test } from 'tap'
import { SeededRandom } from '../../src/lib/random.ts'
import { limits } from '../../src/limits.ts'
import { Conditions } from '../../src/node/requests/conditions.ts'
import { LogTail } from '../../src/node/driver/log-tail.ts'
import { RaftDriver } from '../../src/node/driver/raft-driver.ts'
import { OwnCluster } from '../../src/node/peers/own-cluster.ts'
import { entryCodec } from '../../src/node/codec/entry.ts'
import type { PeerMessage, Transport } from '../../src/ports/transport.ts'
import type { Effects, RaftEvent, RaftView } from '../../src/raft/index.ts'
import { NO_MEMBERSHIP, Raft, VOTE_ZERO, logIndex, nodeId, term } from '../../src/raft/index.ts'
import { MemoryLogStore } from '../../src/storage/memory/memory-log-store.ts'
import { refused, TestCluster } from './support/cluster.ts'
import { VirtualClock } from './support/virtual-clock.ts'

type Step = 'receive' | 'tick' | 'persisted' | 'applied' | 'takeEffects' | 'propose' | 'read' | 'peerDisconnected'

/** Cores that break at a step, once they are told to. */
function brittle() {
  let breaking: Step | null = null
  const check = (step: Step): void => {
    if (step === breaking) throw new Error(`${step} breaks`)
  }
  class BrittleRaft extends Raft {
    override receive(...parts: Parameters<Raft['receive']>): void {
      check('receive')
      super.receive(...parts)
    }

    override tick(...parts: Parameters<Raft['tick']>): void {
      check('tick')
      super.tick(...parts)
    }

    override persisted(...parts: Parameters<Raft['persisted']>): void {
      check('persisted')
      super.persisted(...parts)
    }

    override applied(...parts: Parameters<Raft['applied']>): void {
      check('applied')
      super.applied(...parts)
    }

    override takeEffects(): Effects {
      check('takeEffects')
      return super.takeEffects()
    }

    override read(...parts: Parameters<Raft['read']>): ReturnType<Raft['read']> {
      check('read')
      return super.read(...parts)
    }

    override peerDisconnected(...parts: Parameters<Raft['peerDisconnected']>): void {
      check('peerDisconnected')
      super.peerDisconnected(...parts)
    }

    /** Breaks when the entry is in the log. */
    override propose(...parts: Parameters<Raft['propose']>): ReturnType<Raft['propose']> {
      const outcome = super.propose(...parts)
      check('propose')
      return outcome
    }
  }
  const breakAt = (step: Step): void => {
    breaking = step
  }
  return { BrittleRaft, breakAt }
}

async function brittleNode(t: Test, of: 'leader' | 'follower') {
  const c = new TestCluster(t, [1, 2, 3])
  const cores = brittle()
  c.at(1).raft = cores.BrittleRaft
  await c.form()
  if (of === 'leader') await c.on(1).transfer(1)
  else await c.on(1).transfer(2)
  await c.leader()
  await c.settled()
  return { c, breakAt: cores.breakAt }
}

for (const [step, of] of [
  ['receive', 'follower'],
  ['receive', 'leader'],
  ['tick', 'leader'],
  ['persisted', 'follower'],
  ['applied', 'follower'],
  ['takeEffects', 'follower'],
  ['propose', 'leader'],
  ['read', 'leader'],
  ['peerDisconnected', 'leader'],
] as const) {
  t.test(
    `a core of a ${of} that breaks at ${step} is a fault of its node, told once and thrown at nobody`,
    async (t) => {
      const { c, breakAt } = await brittleNode(t, of)
      const uncaught: unknown[] = []
      const onUncaught = (error: unknown): void => void uncaught.push(error)
      process.on('uncaughtException', onUncaught)
      process.on('unhandledRejection', onUncaught)
      t.teardown(() => {
        process.off('uncaughtException', onUncaught)
        process.off('unhandledRejection', onUncaught)
      })
      breakAt(step)
      const [elsewhere, other] = of === 'leader' ? [2, 3] : [2, 1]
      void c
        .on(elsewhere)
        .put('k', 'v')
        .catch(() => undefined)
      void c
        .on(other)
        .get('k')
        .catch(() => undefined)
      if (step === 'peerDisconnected') await c.at(3).crash()
      await c.until('the node has told of its fault', () => c.faults.length > 0)
      await c.pass(1_000)
      const told = c.faults.splice(0)
      t.match(told, [{ node: 1, error: { message: `${step} breaks` } }])
      t.equal(told.length, 1)
      t.same(uncaught, [])
      if (c.at(3).isUp) await c.leader([2, 3])
    },
  )
}

t.test('a write that the core has when it breaks may have taken effect, and its client is told so', async (t) => {
  const { c, breakAt } = await brittleNode(t, 'leader')
  breakAt('propose')
  await refused(c.on(1).put('k', 'v'), 'outcome-unknown')
  t.match(c.faults.splice(0), [{ node: 1, error: { message: 'propose breaks' } }])
})

/** A driver whose core wants what the test says, one list of effects after the other. */
function scripted(script: readonly Partial<Effects>[]) {
  const left = [...script]
  class ScriptedRaft extends Raft {
    override takeEffects(): Effects {
      return { ...super.takeEffects(), ...left.shift() }
    }
  }
  const clock = new VirtualClock()
  const id = nodeId(1)
  const raft = new ScriptedRaft(
    {
      id,
      life: 1,
      heartbeatMs: 50,
      electionTimeoutMsMin: 300,
      electionTimeoutMsMax: 600,
      leaseDriftMs: 30,
      appendBytesMax: limits.appendBytesMax,
      appendEntriesMax: limits.appendEntriesMax,
      inflightAppendsMax: limits.inflightAppendsMax,
      inflightBytesMax: limits.inflightBytesMax,
      transferBytesPerMsMin: limits.diskBytesPerMsMin,
      uncommittedBytesMax: limits.uncommittedBytesMax,
      caughtUpEntriesMax: limits.caughtUpEntriesMax,
      keepEntries: 10,
      keepBytes: 1_000,
      snapshotHoldMs: 1_000,
      snapshotHoldBytes: 1_000,
    },
    {
      vote: VOTE_ZERO,
      purged: null,
      last: null,
      runs: [],
      sizes: [],
      applied: null,
      appliedMembership: NO_MEMBERSHIP,
      memberships: [],
      recoverUntil: null,
    },
    { random: new SeededRandom(1), codec: entryCodec },
    clock.now(),
  )
  const seen: string[] = []
  const hooks = { onSent: (_to: number): void => {}, onEvent: (_event: RaftEvent): void => {} }
  const transport: Pick<Transport, 'send'> = {
    send: (message: PeerMessage) => {
      seen.push(`sent to ${message.to}`)
      hooks.onSent(message.to)
    },
  }
  const log = new MemoryLogStore()
  const driver = new RaftDriver(
    { frameBytesMax: 1_000, disk: { graceMs: 1_000, patienceMs: 1_000 } },
    {
      raft,
      log,
      tail: new LogTail(log),
      clock,
      transport,
      logger: { debug() {}, info() {}, warn() {}, error() {} },
      leadership: { leadsUnder: () => false },
      ownCluster: new OwnCluster(null),
      peers: { onJoined: () => {} },
      outlets: {
        snapshotSender: { start: () => {} },
        applier: { foresee: () => {}, commitTo: () => {} },
        consequences: {
          onEvent: (event) => {
            seen.push(event.type === 'stepped-down' ? event.reason : event.type)
            hooks.onEvent(event)
          },
        },
        reads: { onRelease: ({ readId }) => seen.push(`read ${readId}`) },
      },
      conditions: { changed: () => seen.push('changed') },
      times: null,
      faults: {
        report: (error) => {
          throw error
        },
      },
    },
  )
  return { driver, seen, hooks }
}

function event(reason: string): RaftEvent {
  return { type: 'stepped-down', reason }
}

function requestTo(id: number): Effects['sends'][number] {
  const leaderId = { term: term(1), nodeId: nodeId(1) }
  return { type: 'transfer-request', from: nodeId(1), to: nodeId(id), vote: { leaderId, committed: true }, last: null }
}

t.test('effects of an input from within are carried out behind those of the input before it, and none is left', (t) => {
  t.test('an input that comes while messages are sent', (t) => {
    const { driver, seen, hooks } = scripted([
      { sends: [requestTo(2), requestTo(3)], events: [event('first')] },
      { sends: [requestTo(4)], events: [event('second')] },
    ])
    hooks.onSent = (to) => to === 2 && driver.input(() => undefined)
    driver.input(() => undefined)
    t.same(seen, ['sent to 2', 'sent to 3', 'first', 'changed', 'sent to 4', 'second', 'changed'])
    t.end()
  })

  t.test('an input that comes of an event', (t) => {
    const { driver, seen, hooks } = scripted([
      { events: [event('first'), event('second')], reads: [{ readId: 1, kind: 'ready', index: logIndex(1) }] },
      { events: [event('third')], reads: [{ readId: 2, kind: 'ready', index: logIndex(1) }] },
    ])
    hooks.onEvent = (one) => one.type === 'stepped-down' && one.reason === 'first' && driver.input(() => undefined)
    driver.input(() => undefined)
    t.same(seen, ['first', 'second', 'read 1', 'changed', 'third', 'read 2', 'changed'])
    t.end()
  })
  t.end()
})

t.test('a change costs one look at the core, however many requests wait for something to come true', async (t) => {
  const c = new TestCluster(t, [1])
  await c.form()
  const clock = new VirtualClock()
  let looks = 0
  const view = (): RaftView => {
    looks += 1
    return c.at(1).view
  }
  const conditions = new Conditions(clock, { view })
  let held = false
  let asked = 0
  const waits = Array.from({ length: 500 }, () =>
    conditions.until((view) => {
      asked += 1
      return view.id === 1 && held
    }, 1_000),
  )
  looks = 0
  asked = 0
  for (let change = 0; change < 10; change += 1) conditions.changed()
  t.equal(looks, 10)
  t.equal(asked, 5_000)
  held = true
  conditions.changed()
  t.same(new Set(await Promise.all(waits)), new Set([true]))
  conditions.changed()
  t.equal(looks, 11, 'nobody looks when nobody waits')
})
