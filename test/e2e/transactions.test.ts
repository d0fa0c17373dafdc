import t, { type Test } from 'tap'
import type { ImportAnswer } from '../../src/api/keys.ts'
import type { TransactionAnswer, TransactionBody } from '../../src/api/transactions.ts'
import { TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import { holdingsOf } from './support/holdings.ts'
import type { NodeProcess } from './support/node-process.ts'

const accounts = ['bank/__proto__', 'bank/🔑', 'bank//c', `bank/${'d'.repeat(4091)}`]
const startAmount = 1000
const retryable = new Set([429, 503, 504])

/**
 * Sends until there is an answer that settles it, to one node after the other: the name makes sure that it is done once. An answer after which
 * nobody would repeat it settles it as well, and fails the test.
 */
async function settle(nodes: readonly NodeProcess[], name: string, body: TransactionBody): Promise<TransactionAnswer> {
  let turn = 0
  const answer = await eventually(`an answer to ${name}`, async () => {
    const node = nodes[turn % nodes.length]
    turn += 1
    const given = await node?.client.request('POST', '/txn?timeout=2s', { body, headers: { 'idempotency-key': name } })
    return given === undefined || retryable.has(given.status) ? null : given
  })
  if (answer.status !== 200) throw new Error(`${name}: ${answer.summary}`)
  return answer.json<TransactionAnswer>()
}

const reading: TransactionBody = { success: accounts.map((key) => ({ get: { key } })) }

interface Balance {
  readonly key: string
  readonly amount: number
  readonly modRevision: number
}

function balancesIn({ results }: TransactionAnswer): readonly Balance[] {
  return results.map((outcome, at) => {
    const record = 'get' in outcome ? outcome.get.record : null
    if (record === null) throw new Error('every account is there')
    if (record.key !== accounts[at]) throw new Error('results are in the order of the operations')
    return { key: record.key, amount: Number(record.value), modRevision: record.modRevision }
  })
}

/** Moves money between accounts, each move only when both are as they were read, and every answered one asked for again elsewhere. */
class Mover {
  readonly revisions: number[] = []
  readonly wrong: string[] = []
  isStopped = false
  readonly ended: Promise<void>
  private readonly nodes: readonly NodeProcess[]
  private readonly name: string

  constructor(name: string, nodes: readonly NodeProcess[]) {
    this.name = name
    this.nodes = nodes
    this.ended = this.run()
  }

  private async run(): Promise<void> {
    for (let round = 0; !this.isStopped; round++) await this.move(`${this.name}-${round}`, round)
  }

  private async move(name: string, round: number): Promise<void> {
    const balances = balancesIn(await settle(this.nodes, `${name}-read`, reading))
    const sum = balances.reduce((all, { amount }) => all + amount, 0)
    if (sum !== accounts.length * startAmount) this.wrong.push(`${name} read ${sum}`)
    const from = balances[round % accounts.length]
    const to = balances[(round + 1 + (round % 3)) % accounts.length]
    if (from === undefined || to === undefined || from === to) return
    const compare = [from, to].map(
      ({ key, modRevision }) => ({ key, target: 'modRevision', op: '=', value: modRevision }) as const,
    )
    const put = ({ key }: Balance, amount: number) => ({ put: { key, value: String(amount) } })
    const success = [put(from, from.amount - 1), put(to, to.amount + 1)]
    const body = { compare, success, failure: [{ get: { key: from.key } }] }
    const first = await settle(this.nodes, name, body)
    const again = await settle(this.nodes.toReversed(), name, body)
    if (JSON.stringify(first) !== JSON.stringify(again)) this.wrong.push(`${name} was answered differently`)
    if (first.succeeded) this.revisions.push(first.revision)
  }
}

const opening: TransactionBody = {
  compare: accounts.map((key) => ({ key, target: 'version', op: '=', value: 0 })),
  success: accounts.map((key) => ({ put: { key, value: String(startAmount) } })),
}

async function openBank(t: Test): Promise<TestCluster> {
  const cluster = await TestCluster.formed(t, { size: 3 })
  const leader = await cluster.leader()
  const opened = await settle(cluster.others(leader.id), 'open', opening)
  t.ok(opened.succeeded)
  t.notOk((await settle(cluster.nodes, 'open-again', opening)).succeeded, 'a transaction that creates does so once')
  return cluster
}

t.test('transfers through every node, with retries and a leader that is killed: no money comes or goes', async (t) => {
  const cluster = await openBank(t)
  const movers = ['a', 'b', 'c'].map((name, at) => {
    const nodes = cluster.nodes.map((_, step) => cluster.node(((at + step) % cluster.nodes.length) + 1))
    return new Mover(name, nodes)
  })
  const moved = (): number => movers.reduce((count, { revisions }) => count + revisions.length, 0)
  const untilMoved = async (count: number): Promise<unknown> =>
    await eventually(`${count} transfers`, () => (moved() >= count ? true : null))
  await untilMoved(30)
  const leader = await cluster.leader()
  await leader.kill()
  await untilMoved(moved() + 30)
  await leader.start()
  t.ok((await settle([leader], 'open', opening)).succeeded, 'a node that is still catching up tells a retry')
  await untilMoved(moved() + 10)
  for (const mover of movers) mover.isStopped = true
  await Promise.all(movers.map(async ({ ended }) => await ended))
  t.same(
    movers.flatMap(({ wrong }) => wrong),
    [],
    'every read sees one state, and every retry gets the first answer',
  )
  const revisions = movers.flatMap((mover) => mover.revisions)
  t.equal(new Set(revisions).size, revisions.length, 'each transfer is one change')

  await cluster.untilReady()
  const [follower] = cluster.others((await cluster.leader()).id)
  if (follower === undefined) throw new Error('three nodes have followers')
  const balances = balancesIn(await settle([follower], 'last-read', reading))
  t.equal(
    balances.reduce((all, { amount }) => all + amount, 0),
    accounts.length * startAmount,
  )
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, 'equal digests')
})

t.test('transactions of the largest size pass through a follower, and back', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3 })
  const [follower] = cluster.others((await cluster.leader()).id)
  if (follower === undefined) throw new Error('three nodes have followers')
  const value = 'v'.repeat(1024 * 1024)
  const send = async (node: NodeProcess, body: TransactionBody, name: string) =>
    await node.client.request('POST', '/txn?timeout=60s', { body, headers: { 'idempotency-key': name } })
  const keysOf = (half: string): readonly string[] => Array.from({ length: 8 }, (_, at) => `large/${half}/${at}`)
  const put = (keys: readonly string[]): TransactionBody => ({ success: keys.map((key) => ({ put: { key, value } })) })
  const read = (keys: readonly string[]): TransactionBody => ({ success: keys.map((key) => ({ get: { key } })) })
  for (const half of ['a', 'b']) {
    const answer = await send(follower, put(keysOf(half)), `put-${half}`)
    t.equal(answer.status, 200, answer.summary)
  }
  const eight = await send(follower, read(keysOf('a')), 'eight')
  const { results } = eight.json<TransactionAnswer>()
  t.same(
    results.map((outcome) => 'get' in outcome && outcome.get.record?.value === value),
    keysOf('a').map(() => true),
  )
  const again = await send(cluster.node(1), read(keysOf('a')), 'eight')
  t.ok(again.body.equals(eight.body), 'a retry elsewhere gets the same results')

  const sixteen = read([...keysOf('a'), ...keysOf('b')])
  const whole = (await send(follower, sixteen, 'sixteen')).json<TransactionAnswer>()
  t.equal(whole.results.length, 16)
  t.strictSame(
    (await send(cluster.node(1), sixteen, 'sixteen')).json(),
    { succeeded: true, revision: whole.revision, results: [], resultsForgotten: true },
    'results that are too large to be kept are said to be forgotten',
  )
  const more = await send(
    follower,
    { success: [...(put(keysOf('a')).success ?? []), { put: { key: 'one', value } }] },
    'more',
  )
  t.equal(more.problem.code, 'request-too-large')
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, 'equal digests')
})

t.test('an import whose leader is killed is sent again to the others: every record is written once', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3 })
  const leader = await cluster.leader()
  const others = cluster.others(leader.id)
  const records = Array.from({ length: 40_000 }, (_, n) => ({ key: `import/${n}`, value: `${n}`.padEnd(200, '.') }))
  const body = records.map((record) => `${JSON.stringify(record)}\n`).join('')
  const headers = { 'content-type': 'application/x-ndjson', 'idempotency-key': 'an-import' }
  const attempts: string[] = []
  const imported = eventually('the import is answered', async () => {
    const node = [leader, ...others][attempts.length % 3]
    const answer = await node?.client.request('POST', '/kv?timeout=5s', { body, headers }).catch(() => null)
    attempts.push(answer?.summary ?? 'no answer')
    return answer?.status === 200 ? answer.json<ImportAnswer>() : null
  })
  const [witness] = others
  await eventually('the import has begun', async () => {
    const answer = await witness?.client.get('/kv?prefix=import/&countOnly=true&consistency=stale')
    return (answer?.json<{ count: number }>().count ?? 0) > 0 ? true : null
  })
  await leader.kill()
  t.equal((await imported).imported, records.length, attempts.join('\n'))
  t.ok(attempts.length > 1, 'the first attempt did not come to its end')
  await leader.start()
  await cluster.untilReady()
  const holdings = await holdingsOf(leader, 'import/')
  t.equal(holdings.size, records.length)
  const wrong = records.filter(({ key, value }) => {
    const held = holdings.get(key)
    return held?.version !== 1 || held.value.toString() !== value
  })
  t.same(wrong.slice(0, 5), [], 'each record is there, and was written once')
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, 'equal digests')
})
