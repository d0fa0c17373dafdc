/** Entries that a leader looks up for a follower: what is sent, and what is not, when they come late, in part, or never. */
import t from 'tap'
import { toError } from '../../src/lib/to-error.ts'
import { AppendSender } from '../../src/node/driver/append-sender.ts'
import type { PeerMessage, Transport } from '../../src/ports/transport.ts'
import type { AppendPlan, LogBatch, LogIndex } from '../../src/raft/index.ts'
import { indexOf, logIndex, nodeId, term } from '../../src/raft/index.ts'

const ballot = { term: term(2), nodeId: nodeId(1) }

function plan(prev: number, last: number, to = 2): AppendPlan {
  return {
    type: 'append-plan',
    from: nodeId(1),
    to: nodeId(to),
    vote: { leaderId: ballot, committed: true },
    session: 1,
    prev: { leaderId: ballot, index: logIndex(prev) },
    last: logIndex(last),
    committed: logIndex(0),
    sentAt: 1,
    freshAt: null,
  }
}

function batch(first: number, last: number): LogBatch {
  return {
    leaderId: ballot,
    first: logIndex(first),
    last: logIndex(last),
    body: new Uint8Array((last - first + 1) * 4),
    membershipCount: 0,
  }
}

/** `2>1..3`: to node 2, behind entry 1, up to entry 3. */
function shown(message: PeerMessage): string {
  if (message.type !== 'append-request') return message.type
  const prev = indexOf(message.prev)
  const [first] = message.batches
  t.equal(first?.first ?? prev + 1, prev + 1, 'a request begins behind its prev')
  return `${message.to}>${prev}..${message.batches.at(-1)?.last ?? prev}`
}

interface Reading {
  readonly first: LogIndex
  readonly resolve: (batches: readonly LogBatch[] | null) => void
  readonly reject: (error: Error) => void
}

/** An append sender whose entries are all on disk, and whose reads end when the test says so. */
function slowSender(): {
  sender: AppendSender
  sent: () => string[]
  reads: Reading[]
  faults: Error[]
  leads: { value: boolean }
} {
  const messages: string[] = []
  const reads: Reading[] = []
  const faults: Error[] = []
  const leads = { value: true }
  const transport: Pick<Transport, 'send'> = { send: (message) => messages.push(shown(message)) }
  const sender = new AppendSender(
    { frameBytesMax: 100 },
    {
      transport,
      log: {
        readCached: () => null,
        read: (first) => new Promise((resolve, reject) => reads.push({ first, resolve, reject })),
      },
      leadership: { leadsUnder: () => leads.value },
      faults: { report: (error) => faults.push(toError(error)) },
    },
  )
  return { sender, sent: () => messages.splice(0), reads, faults, leads }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test(
  'what is read in parts is sent in parts, each behind the one before; heartbeats do not wait for it',
  async (t) => {
    const { sender, sent, reads } = slowSender()
    sender.send(plan(0, 5))
    sender.send(plan(5, 6))
    sender.send(plan(0, 0))
    sender.send(plan(5, 6, 3))
    t.same(sent(), ['2>0..0'])
    t.same(reads.splice(1, 1)[0]?.first, 6, 'another peer is read for at once')
    reads.shift()?.resolve([batch(1, 2), batch(3, 3)])
    await turn()
    t.same(sent(), ['2>0..3'])
    t.equal(reads[0]?.first, 4)
    reads.shift()?.resolve([batch(4, 5)])
    await turn()
    t.same(sent(), ['2>3..5'])
    reads.shift()?.resolve([batch(6, 6)])
    await turn()
    t.same(sent(), ['2>5..6'], 'plans keep their order')
  },
)

t.test('nothing is sent of what was purged or replaced while it was read', async (t) => {
  const { sender, sent, reads, leads, faults } = slowSender()
  sender.send(plan(0, 5))
  sender.send(plan(5, 6))
  reads.shift()?.resolve(null)
  await turn()
  t.same(sent(), [], 'purged: the core finds that nothing is acknowledged')
  reads.shift()?.resolve([])
  await turn()
  t.same(sent(), [], 'nothing where something should be: not read again and again')
  t.same(reads, [])
  sender.send(plan(0, 5))
  leads.value = false
  reads.shift()?.resolve([batch(1, 5)])
  await turn()
  t.same(sent(), [], 'under another vote the same indexes may hold other entries')
  t.same(faults, [])
})

t.test('a log that cannot be read stops the node, and sends nothing', async (t) => {
  const { sender, sent, reads, faults } = slowSender()
  sender.send(plan(0, 5))
  reads.shift()?.reject(new Error('EIO'))
  await turn()
  t.match(faults, [{ message: 'EIO' }])
  t.same(sent(), [])
})
