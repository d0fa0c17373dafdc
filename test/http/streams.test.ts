import { readdirSync, readlinkSync } from 'node:fs'
import t from 'tap'
import type { Key } from '../../src/kv/index.ts'
import { deferred } from '../../src/lib/deferred.ts'
import { limits } from '../../src/limits.ts'
import { answerIn, eventually } from '../support/raw-client.ts'
import { exportRequest, fill, head, host, last, serve, type Served } from './support/raw-api.ts'

t.test('a stream asks the store for no more than its reader takes', async (t) => {
  const api = await serve(t)
  fill(api, 1000, 32 * 1024)
  let pieces = 0
  api.services.keys.beforePiece = async () => {
    pieces += 1
  }
  const opened = api.connection()
  await opened.connected()
  opened.socket.pause()
  opened.send(exportRequest)
  await eventually(() => pieces > 0, 'the stream has begun')
  // It has stopped when it stands still for much longer than a piece takes.
  let seen = 0
  while (seen !== pieces) {
    seen = pieces
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  t.ok(pieces < 80, `${pieces} of 125 pieces for a reader that takes none`)
  opened.socket.resume()
  const text = await opened.untilClosed()
  t.equal(text.match(/"key":"item\/\d+"/g)?.length, 1000)
  t.ok(text.endsWith('0\r\n\r\n'), 'the end of the stream is marked')
  await eventually(() => api.services.keys.openScans === 0, 'the scan is closed')
})

t.test('a reader that goes away leaves no scan behind', async (t) => {
  const api = await serve(t)
  fill(api, 2000, 32 * 1024)
  for (const taken of [0, 1, 100_000]) {
    const opened = api.connection()
    opened.send(exportRequest)
    await eventually(() => api.services.keys.openScans === 1, 'the scan is open')
    await opened.until((text) => text.length >= taken)
    opened.destroy()
    await eventually(() => api.services.keys.openScans === 0, `the scan is closed after ${taken} bytes`)
  }
  const { promise, resolve } = deferred<void>()
  api.services.keys.beforePiece = async () => promise
  const opened = api.connection()
  opened.send(exportRequest)
  await eventually(() => api.services.keys.openScans === 1, 'the scan is open')
  opened.destroy()
  resolve()
  await eventually(() => api.services.keys.openScans === 0, 'the scan is closed after the piece that it was reading')
  t.same(api.unexpected, [], 'and it is no fault of the node')
})

t.test('a snapshot is closed, however soon its reader goes', async (t) => {
  const api = await serve(t)
  const { cluster } = api.services
  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  cluster.snapshotChunks = Array.from({ length: 1000 }, () => Buffer.alloc(64 * 1024))
  const request = head('GET /cluster/snapshot HTTP/1.1', host)
  const reading = api.connection()
  reading.send(request)
  await reading.until((text) => text.length > 100_000)
  t.equal(cluster.openSnapshots, 1)
  reading.destroy()
  await eventually(() => cluster.openSnapshots === 0, 'closed when the reader goes')

  const { promise, resolve } = deferred<void>()
  let asked = false
  cluster.beforeSnapshot = async () => {
    asked = true
    await promise
  }
  const gone = api.connection()
  gone.send(request)
  await eventually(() => asked, 'the snapshot is asked for')
  gone.destroy()
  await eventually(() => gone.closed, 'the reader is gone')
  await new Promise((done) => api.app.server.getConnections((_error, count) => done(count)))
  resolve()
  await new Promise((done) => setImmediate(done))
  await eventually(() => cluster.openSnapshots === 0, 'closed when the reader had gone before')
  t.same(api.unexpected, [])
})

/** Sends `requests` behind one that never ends, and leaves once `isBegun`. */
async function leaveBehindAWatch({ connection }: Served, requests: string, isBegun: () => boolean): Promise<void> {
  const opened = connection()
  opened.send(head('GET /watch?key=q HTTP/1.1', host) + requests)
  await eventually(isBegun, 'what is queued has begun')
  opened.destroy()
}

t.test('streams that are queued behind another answer learn that their connection has closed', async (t) => {
  const api = await serve(t)
  fill(api, 100, 32 * 1024)
  const { cluster, keys } = api.services
  const exports = head('GET /kv HTTP/1.1', host, 'Accept: application/x-ndjson').repeat(2)
  for (let round = 0; round <= limits.httpStreamsMax / 2; round++) {
    await leaveBehindAWatch(api, exports, () => keys.openScans === 2)
    await eventually(() => keys.openScans === 0, `both scans are closed, round ${round}`)
  }
  t.equal((await api.exchange(exportRequest)).status, 200, 'their slots are free again')

  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  cluster.snapshotChunks = Array.from({ length: 1000 }, () => Buffer.alloc(64 * 1024))
  const snapshot = head('GET /cluster/snapshot HTTP/1.1', host)
  await leaveBehindAWatch(api, snapshot, () => cluster.openSnapshots === 1)
  await eventually(() => cluster.openSnapshots === 0, 'the snapshot is closed')

  const { promise, resolve } = deferred<void>()
  let asked = false
  cluster.beforeSnapshot = async () => {
    asked = true
    await promise
  }
  await leaveBehindAWatch(api, snapshot, () => asked)
  await new Promise((done) => api.app.server.getConnections((_error, count) => done(count)))
  await eventually(() => api.services.watches.hub.view().watchers === 0, 'the node knows that the connection is closed')
  resolve()
  await new Promise((done) => setImmediate(done))
  await eventually(() => cluster.openSnapshots === 0, 'a snapshot that opens after its reader has gone is closed')
  t.same(api.unexpected, [])
})

const hasDescriptors = process.platform === 'linux' ? false : 'the open files of a process are seen under Linux alone'

t.test('no file stays open for whoever asks for it and reads nothing', { skip: hasDescriptors }, async (t) => {
  const api = await serve(t)
  let asked = 0
  api.app.server.on('request', () => (asked += 1))
  const page = (await api.exchange(head('GET /ui/ HTTP/1.1', host, last))).body
  const script = /assets\/(\S+\.js)/.exec(page)?.[1] ?? ''
  const file = 'swagger-ui-bundle.js'
  const paths = [
    `/docs/static/${file}`,
    `/docs/static//${file}`,
    `/docs/static/./${file}`,
    `/ui/assets/${script}`,
    `/ui//assets/${script}`,
  ]
  asked = 0
  const silent = paths.map(() => api.connection())
  for (const [at, opened] of silent.entries()) {
    await opened.connected()
    opened.socket.pause()
    opened.send(head(`GET ${paths[at]} HTTP/1.1`, host).repeat(limits.httpPipelinedMax))
  }
  await eventually(() => asked === silent.length * limits.httpPipelinedMax, 'all have arrived')
  await eventually(() => openFiles(file) + openFiles(script) === 0, 'none is open')
  for (const path of [paths[0] ?? '', paths[3] ?? ''])
    t.equal((await api.exchange(head(`GET ${path} HTTP/1.1`, host, last))).status, 200, path)
  t.equal(openFiles(file) + openFiles(script), 0, 'nor does one last')
})

/** How many descriptors of this process are of a file of that name. */
function openFiles(name: string): number {
  const targets = readdirSync('/proc/self/fd').map((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`)
    } catch {
      // The descriptor with which the folder was read.
      return ''
    }
  })
  return targets.filter((target) => target.endsWith(`/${name}`)).length
}

t.test('a reader that takes nothing for too long is cut off', async (t) => {
  const api = await serve(t, { server: { answerStallTimeoutMs: 200 } })
  fill(api, 1000, 32 * 1024)
  const opened = api.connection()
  await opened.connected()
  opened.socket.pause()
  opened.send(exportRequest)
  await eventually(() => api.services.keys.openScans === 1, 'the scan is open')
  await eventually(() => api.services.keys.openScans === 0, 'the scan is closed')
  opened.socket.resume()
  const text = await opened.untilClosed()
  t.notOk(text.endsWith('0\r\n\r\n'), 'the stream is not whole')

  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  const patient = api.connection()
  patient.send(head('GET /cluster/snapshot HTTP/1.1', host))
  await patient.until((received) => received.endsWith('0\r\n\r\n'))
  await new Promise((resolve) => setTimeout(resolve, 400))
  patient.send(head('GET /version HTTP/1.1', host, last))
  t.match(await patient.untilClosed(), /"version"/, 'the time limit ends with the stream')
})

t.test('answers that nobody takes are ended, whatever they are; slow readers go on', async (t) => {
  const api = await serve(t, { server: { answerStallTimeoutMs: 400 } })
  const value = Buffer.alloc(24 * 1024 * 1024, 'x')
  api.services.keys.store.plant('big' as Key, { createRevision: 1, modRevision: 1, version: 1, lease: 0, value })
  for (const request of ['GET /kv/big HTTP/1.1', 'GET /kv HTTP/1.1']) {
    const opened = api.connection()
    await opened.connected()
    opened.socket.pause()
    opened.send(head(request, host))
    let isEnded = false
    await eventually(() => {
      api.app.server.getConnections((_error, count) => (isEnded = count === 0))
      return isEnded
    }, `${request}: the connection is ended`)
    opened.socket.resume()
    t.ok((await opened.untilClosed()).length < value.length, request)
  }
  const trickle = api.connection()
  trickle.send(head('GET /kv/big HTTP/1.1', host))
  // A byte now and then is no progress.
  const reading = setInterval(() => trickle.socket.read(1), 50)
  t.teardown(() => clearInterval(reading))
  trickle.socket.pause()
  let open = 1
  await eventually(() => {
    api.app.server.getConnections((_error, count) => (open = count))
    return open === 0
  }, 'a reader of single bytes is ended')
  trickle.destroy()

  const slow = api.connection()
  slow.send(head('GET /kv/big HTTP/1.1', host, last))
  const timer = setInterval(() => {
    slow.socket.resume()
    setTimeout(() => slow.socket.pause(), 20)
  }, 100)
  t.teardown(() => clearInterval(timer))
  await eventually(() => slow.closed, 'a slow reader gets everything')
  t.equal(answerIn(slow.text).body.length, value.length)
})

t.test('a stream that fails in the middle does not end as if it were whole', async (t) => {
  const api = await serve(t)
  fill(api, 100, 32 * 1024)
  let pieces = 0
  api.services.keys.beforePiece = async () => {
    pieces += 1
    if (pieces === 4) throw new Error('the disk is gone')
  }
  const opened = api.connection()
  opened.send(exportRequest)
  const text = await opened.untilClosed()
  t.match(text, /^HTTP\/1\.1 200/)
  t.notOk(text.endsWith('0\r\n\r\n'), 'no mark of the end')
  t.equal(api.services.keys.openScans, 0)
  pieces = 3
  t.equal((await api.exchange(exportRequest)).body.endsWith('0\r\n\r\n'), false)
  api.services.keys.store.rows.clear()
  const empty = await api.exchange(exportRequest)
  t.equal(empty.status, 200)
  t.equal(empty.headers.get('content-length'), '0', 'an empty range is an empty stream')
})

t.test('streams have a number that they do not exceed', async (t) => {
  const api = await serve(t)
  fill(api, 10, 10)
  const { promise, resolve } = deferred<void>()
  api.services.keys.beforePiece = async () => promise
  const exportsMax = limits.httpStreamsMax - limits.httpStreamsForBackups
  const connections = Array.from({ length: exportsMax }, () => api.connection())
  for (const opened of connections) opened.send(exportRequest)
  await eventually(() => api.services.keys.openScans === exportsMax, 'all are open')
  const refused = await api.inject({ url: '/kv', headers: { accept: 'application/x-ndjson' } })
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), { code: 'overloaded', retryable: true })
  await api.inject({ method: 'POST', url: '/cluster/initialize' })
  t.equal((await api.exchange(head('GET /cluster/snapshot HTTP/1.1', host, last))).status, 200, 'a backup has a place')
  resolve()
  for (const opened of connections) t.match(await opened.untilClosed(), /item\/9/)
  await eventually(() => api.services.keys.openScans === 0, 'all are closed')
  t.equal((await api.exchange(exportRequest)).status, 200, 'there is room again')

  api.services.keys.failure = new Error('no scan')
  for (let at = 0; at <= limits.httpStreamsMax; at++) {
    api.services.keys.failure = new Error('no scan')
    t.equal((await api.inject({ url: '/kv', headers: { accept: 'application/x-ndjson' } })).statusCode, 500)
  }
  t.equal((await api.exchange(exportRequest)).status, 200, 'a scan that does not open takes no room')
})
