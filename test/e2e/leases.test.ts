import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { KeepaliveAnswer, LeaseAnswer, LockAnswer, LockStatus } from '../../src/api/leases.ts'
import { TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import type { NodeProcess } from './support/node-process.ts'
import type { RestAnswer } from './support/rest-client.ts'

const ttlMs = 4_000
/** The cluster measures a tenth longer; the rest is for a busy machine, which takes its time for an election and for each step. */
const slackMs = ttlMs / 10 + 10_000

interface Sent {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  readonly path: string
  readonly body?: unknown
}

let names = 0

/** Sends until there is an answer, to one node after the other: the name makes sure that it is done once. */
async function settle(nodes: readonly NodeProcess[], { method, path, body }: Sent): Promise<RestAnswer> {
  const name = `request-${names++}`
  let turn = 0
  return await eventually(`an answer to ${method} ${path}`, async () => {
    const node = nodes[turn % nodes.length]
    turn += 1
    if (node === undefined || !node.isRunning) return null
    const headers = method === 'GET' ? {} : { 'idempotency-key': name }
    const answer = await node.client.request(method, path, { body, headers })
    return [429, 503, 504].includes(answer.status) ? null : answer
  })
}

async function isThere(node: NodeProcess, key: string): Promise<boolean> {
  return (await node.client.request('GET', `/kv/${key}?consistency=stale`)).status === 200
}

async function goneAt(node: NodeProcess, key: string): Promise<number> {
  return await eventually(`${key} is gone`, async () => ((await isThere(node, key)) ? null : performance.now()))
}

t.test('a lease that is kept alive outlives its leader, and ends neither early nor late', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 3 })
  const leader = await cluster.leader()
  const [one, two] = cluster.others(leader.id)
  if (one === undefined || two === undefined) throw new Error('three nodes have followers')
  const grant = async (key: string): Promise<number> => {
    const answer = await settle([one], { method: 'POST', path: '/leases', body: { ttlMs } })
    const { id } = answer.json<LeaseAnswer>()
    await settle([two], { method: 'PUT', path: `/kv/${key}?lease=${id}`, body: 'x' })
    return id
  }
  const kept = await grant('kept')
  const leftSentAt = performance.now()
  await grant('left')
  let sentAt = 0
  let answeredAt = 0
  const keepAlive = async (): Promise<void> => {
    const at = performance.now()
    const answer = await settle([two, one], { method: 'POST', path: `/leases/${kept}/keepalive` })
    if (answer.status !== 200) throw new Error(answer.summary)
    t.equal(answer.json<KeepaliveAnswer>().remainingMs, ttlMs)
    sentAt = at
    answeredAt = performance.now()
  }
  await keepAlive()
  await delay(ttlMs / 4)
  await leader.kill()
  const next = await cluster.leader([one, two])
  const electedAt = performance.now()
  const leftGone = goneAt(one, 'left')
  for (let round = 0; round < 8; round++) {
    await keepAlive()
    await delay(ttlMs / 4)
    t.ok(await isThere(next, 'kept'), `it is there after ${Math.round(performance.now() - leftSentAt)} ms`)
  }
  const leftAt = await leftGone
  t.ok(leftAt >= leftSentAt + ttlMs, `the other ended after ${Math.round(leftAt - leftSentAt)} ms`)
  t.ok(leftAt <= electedAt + ttlMs + slackMs, `${Math.round(leftAt - electedAt)} ms after the election`)
  const keptAt = await goneAt(two, 'kept')
  t.ok(keptAt >= sentAt + ttlMs, `it ended ${Math.round(keptAt - sentAt)} ms after its last renewal`)
  t.ok(keptAt <= answeredAt + ttlMs + slackMs, `${Math.round(keptAt - answeredAt)} ms after its answer`)
  await leader.start()
  await cluster.untilReady()
  const { digests } = await cluster.untilEqual()
  t.equal(new Set(digests).size, 1, 'equal digests')
})

t.test(
  'a lock passes on in the order of those who wait, with growing tokens, though its leader is killed',
  async (t) => {
    const cluster = await TestCluster.formed(t, { size: 3 })
    const leader = await cluster.leader()
    const followers = cluster.others(leader.id)
    const [one] = followers
    if (one === undefined) throw new Error('three nodes have followers')
    const lockTtlMs = 60_000
    const first = await settle([one], { method: 'POST', path: '/locks/l', body: { ttlMs: lockTtlMs, owner: 'first' } })
    let held = first.json<LockAnswer>()
    const order: number[] = []
    const tokens = [held.token]
    const waits: Promise<void>[] = []
    for (let at = 0; at < 6; at++) {
      const node = followers[at % followers.length] ?? one
      const body = { ttlMs: lockTtlMs, waitMs: 60_000, owner: `waiter ${at}` }
      waits.push(
        node.client.request('POST', '/locks/l', { body, silenceMsMax: 120_000 }).then((answer) => {
          if (answer.status !== 200) throw new Error(answer.summary)
          held = answer.json<LockAnswer>()
          order.push(at)
          tokens.push(held.token)
        }),
      )
      await eventually(`${at + 1} wait`, async () => {
        const { waiting } = (await one.client.get('/locks/l')).json<LockStatus>()
        return waiting === at + 1 ? waiting : null
      })
    }
    for (let at = 0; at < 6; at++) {
      const { lease } = held
      if (at === 2) await leader.kill()
      const released = await settle(followers, { method: 'DELETE', path: `/locks/l?lease=${lease}` })
      t.equal(released.status, 200, released.summary)
      await eventually('the next holds it', () => (held.lease === lease ? null : held))
    }
    await Promise.all(waits)
    t.same(order, [0, 1, 2, 3, 4, 5])
    t.same(
      tokens,
      [...tokens].sort((a, b) => a - b),
    )
    t.equal(new Set(tokens).size, tokens.length)
    await leader.start()
    await cluster.untilReady()
    const { digests } = await cluster.untilEqual()
    t.equal(new Set(digests).size, 1, 'equal digests')
  },
)

t.test('a client that closes its connection leaves the queue of a lock', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 1 })
  const node = cluster.node(1)
  const body = { ttlMs: 60_000 }
  const { lease } = (await settle([node], { method: 'POST', path: '/locks/l', body })).json<LockAnswer>()
  const leaving = new AbortController()
  const waiting = fetch(`${node.addresses.api}/locks/l`, {
    method: 'POST',
    body: JSON.stringify({ ...body, waitMs: 60_000 }),
    headers: { 'content-type': 'application/json' },
    signal: leaving.signal,
  }).catch((error: unknown) => error)
  const untilWaiting = async (count: number): Promise<unknown> =>
    await eventually(`${count} wait`, async () =>
      (await node.client.get('/locks/l')).json<LockStatus>().waiting === count ? true : null,
    )
  await untilWaiting(1)
  leaving.abort()
  t.ok((await waiting) instanceof Error)
  await untilWaiting(0)
  t.match((await node.client.get('/locks/l')).json<LockStatus>(), { holder: { lease } })
})

function lockRequest(body: object, name = 'l'): string {
  const json = JSON.stringify(body)
  const head = `POST /locks/${name} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`
  return `${head}Content-Length: ${json.length}\r\n\r\n${json}`
}

async function connected(node: NodeProcess): Promise<Socket> {
  const { hostname, port } = new URL(node.addresses.api)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  await once(socket, 'connect')
  return socket
}

t.test('a client that is gone when a lock comes to it does not hold it', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 1 })
  const node = cluster.node(1)
  const ttlMs = 600_000
  const status = async (): Promise<LockStatus> => (await node.client.get('/locks/l')).json<LockStatus>()
  const untilFree = async (): Promise<unknown> =>
    await eventually('nobody holds it', async () => {
      const { holder, waiting } = await status()
      return holder === null && waiting === 0 ? true : null
    })
  for (const [what, leave, told] of [
    ['one that was killed', (socket: Socket): unknown => socket.destroy(), /^$/],
    ['one that was cut off', (socket: Socket): unknown => socket.resetAndDestroy(), /^$/],
    ['one that still reads', (socket: Socket): unknown => socket.end(), /^HTTP\/1.1 504 .*outcome-unknown/s],
  ] as const) {
    const held = await settle([node], { method: 'POST', path: '/locks/l', body: { ttlMs } })
    const { lease } = held.json<LockAnswer>()
    const socket = await connected(node)
    t.teardown(() => socket.destroy())
    const closed = once(socket, 'close')
    const answer: Buffer[] = []
    socket.on('data', (bytes) => answer.push(bytes))
    socket.write(lockRequest({ ttlMs, waitMs: 60_000 }))
    await eventually('it waits', async () => ((await status()).waiting === 1 ? true : null))
    leave(socket)
    await settle([node], { method: 'DELETE', path: `/locks/l?lease=${lease}` })
    await untilFree()
    await closed
    t.match(Buffer.concat(answer).toString(), told, what)
  }
})

t.test('a lock goes back when its answer could not leave', async (t) => {
  const cluster = await TestCluster.formed(t, { size: 1 })
  const node = cluster.node(1)
  for (const at of Array(16).keys()) {
    await settle([node], { method: 'PUT', path: `/kv/large/${at}`, body: 'x'.repeat(1_000_000) })
  }
  const socket = await connected(node)
  t.teardown(() => socket.destroy())
  socket.pause()
  // More than the buffers of a connection take. From some read on, the node has answers that cannot leave, and soon so many of them that it
  // begins no further request: the answer about the last lock before that stays on the node.
  const names = Array.from({ length: 16 }, (_, at) => `l${at}`)
  const requests = names.map(
    (name, at) => `GET /kv/large/${at} HTTP/1.1\r\nHost: x\r\n\r\n${lockRequest({ ttlMs: 600_000 }, name)}`,
  )
  socket.write(requests.join(''))
  const isHeld = async (name: string): Promise<boolean> =>
    (await node.client.get(`/locks/${name}`)).json<LockStatus>().holder !== null
  const heldOf = async (among: readonly string[]): Promise<readonly string[]> => {
    const held = await Promise.all(among.map(isHeld))
    return among.filter((_, at) => held[at])
  }
  let held: readonly string[] = []
  await eventually('it has locks, and gets no more', async () => {
    const before = held
    held = await heldOf(names)
    await delay(500)
    return held.length > 0 && held.length === before.length ? true : null
  })
  t.ok(held.length < names.length, 'not every request has begun')
  socket.destroy()
  await eventually('somebody else may have the last one', async () =>
    (await heldOf(held)).length < held.length ? true : null,
  )
})
