import t from 'tap'
import { closeGracefully } from '../../src/http/protocol/closing.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { limits } from '../../src/limits.ts'
import type { CheckedApi } from '../support/checked-api.ts'
import { answerIn, eventually } from '../support/raw-client.ts'
import { exportRequest, fill, head, host, last, problemIn, serve } from './support/raw-api.ts'

t.test('a connection on which nothing has come does not hold up a stop', async (t) => {
  const { app, connection } = await serve(t)
  const silent = connection()
  await silent.connected()
  await closeGracefully(app, 60_000)
  await silent.untilClosed()
})

t.test('closing lets requests finish, and cuts off what does not', async (t) => {
  const api = await serve(t)
  fill(api, 10, 10)
  const { promise, resolve } = deferred<void>()
  api.services.keys.beforePiece = async () => promise
  const idle = api.connection()
  idle.send(head('GET /version HTTP/1.1', host))
  await idle.until((text) => text.includes('"version"'))
  const busy = api.connection()
  busy.send(head('GET /kv HTTP/1.1', host))
  await eventually(() => api.services.keys.openScans === 1, 'the request is under way')
  const closing = closeGracefully(api.app, 5000)
  await idle.untilClosed()
  t.notOk(busy.closed)
  resolve()
  const answer = answerIn(await busy.untilClosed())
  t.equal(answer.status, 200)
  t.equal(JSON.parse(answer.body).items.length, 10)
  await closing

  const stuck = await serve(t)
  fill(stuck, 10, 10)
  const never = deferred<void>()
  stuck.services.keys.beforePiece = async () => never.promise
  const opened = stuck.connection()
  opened.send(exportRequest)
  await eventually(() => stuck.services.keys.openScans === 1, 'the stream is under way')
  const began = performance.now()
  await closeGracefully(stuck.app, 200)
  t.ok(performance.now() - began >= 150, 'not before the time is up')
  await opened.untilClosed()
  never.resolve()
  await eventually(() => stuck.services.keys.openScans === 0, 'its scan is closed')
})

const isAnswered = (text: string): boolean => text.includes('key-not-found')

async function untilBegun({ keys }: CheckedApi['services'], reads: number): Promise<void> {
  await eventually(() => keys.reads.length === reads, `${reads} reads have begun`)
}

t.test('a new connection takes the place of the one that was idle longest, never of one at work', async (t) => {
  let now = 0
  const connections = { max: 3, idleMsMin: 1_000 }
  const { connection, services } = await serve(t, { connections, now: () => now })
  const get = head('GET /kv/a?consistency=stale HTTP/1.1', host)
  const silent = connection()
  const used = connection()
  used.send(get)
  await used.until(isAnswered)
  const working = connection()
  const held = deferred<void>()
  services.keys.beforeGet = async () => held.promise
  working.send(get)
  await untilBegun(services, 2)
  now += 1_000
  const fourth = connection()
  fourth.send(get)
  await silent.untilClosed()
  await untilBegun(services, 3)
  const fifth = connection()
  fifth.send(get)
  await used.untilClosed()
  await untilBegun(services, 4)
  held.resolve()
  for (const busy of [working, fourth, fifth]) await busy.until(isAnswered)
})

t.test('when every connection is at work a new one is told so', async (t) => {
  const { connection, exchange, services, refused } = await serve(t, { connections: { max: 2, idleMsMin: 0 } })
  const held = deferred<void>()
  services.keys.beforeGet = async () => held.promise
  const get = head('GET /kv/a?consistency=stale HTTP/1.1', host)
  const busy = [connection(), connection()]
  for (const one of busy) one.send(get)
  await untilBegun(services, 2)
  for (let i = 0; i < limits.httpRefusalsMax + 2; i++) {
    const answer = await exchange(get)
    t.match(problemIn(answer), { code: 'overloaded', status: 429, retryable: true, detail: /at most 2 connections/ })
    t.equal(answer.headers.get('retry-after'), '1')
  }
  t.equal(services.keys.reads.length, 2, 'what came on them was not begun')
  t.same(refused, [1], 'reported once in a while')
  held.resolve()
  for (const one of busy) await one.until(isAnswered)
  t.equal((await exchange(head('GET /version HTTP/1.1', host, last))).status, 200, 'there is room again')
})

t.test('a connection that the system cannot accept leaves the listener working', async (t) => {
  const { app, exchange, refused } = await serve(t)
  const failure = Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' })
  app.server.emit('error', failure)
  t.same(refused, [failure])
  t.equal((await exchange(head('GET /version HTTP/1.1', host, last))).status, 200)
})
