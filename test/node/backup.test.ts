import { createHash } from 'node:crypto'
import t from 'tap'
import { crc32 } from '../../src/lib/checksum.ts'
import { limits } from '../../src/limits.ts'
import { readBackup, type Backup } from '../../src/node/backup/backup-reader.ts'
import { BlockReader, type Block } from '../../src/node/backup/block-reader.ts'
import { BackupError, BlockWriter, HEAD_BYTES, PREFIX_BYTES, type BlockKind } from '../../src/node/backup/format.ts'
import {
  membersProblem,
  planRestore,
  writeRestoredLog,
  type RestorePlan,
  type RestoreWishes,
} from '../../src/node/backup/restore-plan.ts'
import { encodeStateMeta } from '../../src/node/codec/state-meta.ts'
import type { NodeOptions } from '../../src/node/options.ts'
import type { StateRow } from '../../src/ports/state-store.ts'
import { key, revisionOf, type Client } from './support/client.ts'
import { refused, specsOf, TestCluster } from './support/cluster.ts'
import { formed } from './support/formed.ts'
import { Life } from './support/life.ts'
import { DiskLogStore } from './support/log-disk.ts'

/** Many blocks, although the states are small. */
const SMALL: Partial<NodeOptions> = { snapshotChunkBytes: 200, featureLevelMax: 1 }

const hash = (text: string): string => createHash('sha256').update(text).digest('hex')
const NOWHERE = { write: async () => {} }

async function* piecesOf(...pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces
}

const read = (bytes: Uint8Array): Promise<Backup> => readBackup(piecesOf(bytes), NOWHERE, limits)

async function backupOf(c: TestCluster, id: number, consistency: 'linearizable' | 'stale' = 'linearizable') {
  const pieces: Uint8Array[] = []
  const { chunks, ...facts } = await c.on(id).guard(c.on(id).services.cluster.snapshot(consistency, 1_000))
  for await (const chunk of chunks) pieces.push(Buffer.from(chunk))
  return { ...facts, bytes: Buffer.concat(pieces) }
}

async function blocksOf(bytes: Uint8Array): Promise<(Block & { readonly at: number; readonly end: number })[]> {
  const reader = new BlockReader(piecesOf(bytes))
  await reader.prefix()
  const blocks = []
  for (;;) {
    const at = reader.bytes
    const block = await reader.next()
    blocks.push({ ...block, at, end: reader.bytes })
    if (block.kind === 'end') return blocks
  }
}

/** A cluster at level 1 with something of everything, and its backup. */
async function filled(test: Parameters<typeof formed>[0]) {
  const { c, leader, followers } = await formed(test, [1, 2, 3], SMALL)
  await c.until('the level is raised', () => [1, 2, 3].every((id) => c.at(id).node.replica.applier.level === 1))
  const client = c.on(leader)
  for (let i = 0; i < 30; i++) await client.put(`k${i}`, `first-${i}`)
  const earlier = revisionOf(await client.put('k0', 'second', { idempotency: { key: 'once', fingerprint: 7 } }))
  await client.put('k0', 'third')
  await client.delete('k1')
  await client.execute({ type: 'lease-grant', id: 77, ttlMs: 60_000, idempotency: null })
  const lease = { type: 'granted', id: 77 } as const
  const put = { type: 'put', condition: null, wantsPrevious: false, idempotency: null } as const
  await client.execute({ ...put, key: key('attached'), value: Buffer.from('x'), lease })
  const lock = await client.execute({
    type: 'lock-acquire',
    name: key('lock'),
    ttlMs: 60_000,
    waitMs: 0,
    owner: 'me',
    idempotency: null,
  })
  await c.settled()
  return { c, leader, followers, earlier, lock, ...(await backupOf(c, followers[0] ?? 0)) }
}

function watching(client: Client, since: number) {
  const keys = { start: null, end: null }
  return client.watch({ keys, puts: true, deletes: true, wantsPrevious: false, since, timeoutMs: 1_000 })
}

const WISHES: RestoreWishes = { members: specsOf([4, 5, 6]), clusterToken: '', name: '', revisionGap: 0 }

/** Machines of a new cluster, each restored from `bytes`. */
async function restored(test: Parameters<typeof formed>[0], bytes: Uint8Array, wishes: RestoreWishes) {
  const ids = wishes.members.map(({ id }) => id)
  const d = new TestCluster(test, ids, SMALL)
  const plans: RestorePlan[] = []
  for (const id of ids) {
    const rows: StateRow[] = []
    const backup = await readBackup(piecesOf(bytes), { write: async (some) => void rows.push(...some) }, limits)
    const plan = planRestore(backup, wishes, hash)
    if (typeof plan === 'string') throw new Error(plan)
    const log = new DiskLogStore(d.at(id).log, new Life(d.clock))
    await log.open()
    await writeRestoredLog(plan, log)
    d.at(id).state.flushed = [{ type: 'install', rows, meta: encodeStateMeta(plan.meta) }]
    plans.push(plan)
  }
  const [plan] = plans
  if (plan === undefined) throw new Error('no members')
  return { d, ids, plan, plans }
}

t.test('a backup of a follower holds all that is replicated, and three nodes go on from it', async (t) => {
  const { c, leader, earlier, lock, bytes, revision, logId } = await filled(t)
  const before = c.on(leader).status()
  await c.on(leader).put('later', '1')
  const backup = await read(bytes)
  t.match(backup.header, { clusterId: before.clusterId, logId, revision, featureLevel: 1, version: '0.0.0-test' })
  t.equal(backup.keys, 30, '29 of the first keys, and one with a lease')
  t.equal(String(backup.meta.machine.digest), before.digest)
  const { d, ids, plan, plans } = await restored(t, bytes, WISHES)
  for (const other of plans) t.same(other, plan, 'each node computes the same')
  await d.start(...ids)
  const first = await d.leader()
  t.match(d.on(first).status(), { clusterId: plan.clusterId, digest: before.digest, failureTolerance: 1 })
  t.not(plan.clusterId, before.clusterId)
  t.equal(plan.clusterId.split('-')[0], before.clusterId?.split('-')[0], 'the token is the same')
  const client = d.on(first)
  t.equal(await client.get('k0'), 'third')
  t.equal(await client.get('later'), null)
  t.equal((await client.scan()).items.length, 30)
  t.equal(await client.get('k0', { revision: earlier }), 'second', 'history')
  t.equal(await client.get('k1', { revision: earlier }), 'first-1')
  const watch = await watching(client, earlier)
  const [change] = await client.guard(watch.next(1_000))
  t.match(change, { revision: earlier + 1, changes: [{ kind: 'put', key: 'k0' }] }, 'a watch goes on where it was')
  watch.close()
  const again = await client.put('k0', 'second', { idempotency: { key: 'once', fingerprint: 7 } })
  t.equal(revisionOf(again), earlier, 'the first answer, not a second write')
  t.equal(await client.get('k0'), 'third')
  const options = { consistency: 'linearizable', minRevision: null, maxStalenessMs: null, timeoutMs: 2_000 } as const
  const held = await client.execute({
    type: 'lock-acquire',
    name: key('lock'),
    ttlMs: 60_000,
    waitMs: 0,
    owner: 'you',
    idempotency: null,
  })
  t.match([lock.type, held.type], ['lock-acquired', 'lock-held'])
  const { lease } = await client.guard(d.at(first).node.services.leases.get(77, { after: null, limit: 10 }, options))
  t.ok(lease !== null, 'the lease is there')
  await d.pass(50_000)
  t.equal(await client.get('attached'), 'x', 'its time has begun anew')
  await d.pass(30_000)
  t.equal(await d.on(await d.leader()).get('attached'), null, 'and ends')
  t.ok(revisionOf(await d.on(await d.leader()).put('new', '1')) > plan.meta.applied.index)
  await d.settled()
  const now = await d.leader()
  await d.at(now).crash()
  const next = await d.leader(ids.filter((id) => id !== now))
  t.equal(await d.on(next).get('new'), '1', 'one may fail')
  await d.start(now)
  await d.settled()
  t.equal(new Set(ids.map((id) => d.on(id).status().digest)).size, 1)
})

t.test('with a gap no revision is given out twice, and what would miss the gap is refused', async (t) => {
  const { c, leader, bytes, revision, earlier } = await filled(t)
  const lost = revisionOf(await c.on(leader).put('lost', '1'))
  const { d, ids, plan } = await restored(t, bytes, { ...WISHES, revisionGap: 1_000 })
  await d.start(...ids)
  const first = await d.leader()
  const client = d.on(first)
  t.equal(plan.meta.machine.revision, plan.meta.applied.index)
  t.ok(plan.meta.applied.index > lost + 900)
  t.equal((await client.scan()).items.length, 30)
  t.equal(await client.get('k0'), 'third')
  t.match((await client.read('k0')).record, { version: 3 }, 'records are as they were')
  for (const gone of [earlier, revision, lost]) await refused(client.get('k0', { revision: gone }), 'compacted')
  await refused(
    watching(client, lost).then((watch) => client.guard(watch.next(1_000))),
    'compacted',
  )
  t.equal(await client.get('k0', { revision: plan.meta.applied.index }), 'third')
  const fresh = revisionOf(await client.put('k0', 'fourth'))
  t.ok(fresh > plan.meta.applied.index)
  t.equal(await client.get('k0', { revision: plan.meta.applied.index }), 'third', 'history goes on')
  await d.until('what is left of the old history is removed', () => {
    const { history } = d.at(first).node.replica.applier.machineState
    return history !== null && history.changes <= 2 && history.collectedRevision >= plan.meta.applied.index
  })
  await d.settled()
  t.equal(new Set(ids.map((id) => d.on(id).status().digest)).size, 1)
})

t.test('a plan differs with everything in which nodes could differ, and with nothing else', async (t) => {
  const { bytes } = await filled(t)
  const backup = await read(bytes)
  const idOf = (wishes: Partial<RestoreWishes>): string => {
    const plan = planRestore(backup, { ...WISHES, ...wishes }, hash)
    return typeof plan === 'string' ? plan : plan.clusterId
  }
  const ids = [
    idOf({}),
    idOf({ name: 'again' }),
    idOf({ revisionGap: 1 }),
    idOf({ clusterToken: 'secret' }),
    idOf({ members: specsOf([4, 5]) }),
  ]
  t.equal(new Set(ids).size, ids.length)
  t.equal(idOf({ members: specsOf([6, 5, 4]) }), ids[0], 'the order of the members is nothing')
  t.match(idOf({ revisionGap: limits.logIndexMax }), /beyond the highest possible index/)
  t.equal(membersProblem(specsOf([1, 2]), 1), null)
  t.match(membersProblem(specsOf([1, 2]), 3), /node 3, for which this directory is, is not among them/)
  t.match(membersProblem([...specsOf([1, 2]), ...specsOf([2])], 1), /two members have the id 2/)
  t.match(
    membersProblem([...specsOf([1]), ...specsOf([1]).map((spec) => ({ ...spec, id: 2 }))], 1),
    /two members have the raft/,
  )
  t.match(membersProblem([], 1), /no members/)
  t.match(membersProblem(specsOf(Array.from({ length: limits.membersMax + 1 }, (_, at) => at + 1)), 1), /at most/)
})

t.test('every flipped bit and every cut of a backup is found and told', async (t) => {
  const { bytes } = await filled(t)
  const blocks = await blocksOf(bytes)
  t.ok(blocks.length > 10, `${blocks.length} blocks`)
  const told = new Map<BlockKind | 'prefix', Set<string>>()
  const inHead = (at: number): boolean => blocks.some((one) => at >= one.at && at < one.at + HEAD_BYTES + 1)
  for (let at = 0; at < bytes.length; at++) {
    // Every byte of the prefix and of each head, and some of each body.
    if (at >= PREFIX_BYTES && !inHead(at) && at % 13 !== 0) continue
    const flipped = Buffer.from(bytes)
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8))
    const error: unknown = await read(flipped).catch((thrown: unknown) => thrown)
    if (!(error instanceof BackupError)) throw new Error(`byte ${at}: not found`, { cause: error })
    const block = blocks.find((one) => at >= one.at && at < one.end)
    if (error.fault !== 'damaged') throw new Error(`byte ${at}: ${error.fault}`)
    if (block !== undefined && !error.message.includes(`at byte ${block.at})`))
      throw new Error(`byte ${at} is in block ${block.name}: ${error.message}`)
    const kind = block?.kind ?? 'prefix'
    told.set(kind, (told.get(kind) ?? new Set()).add(error.message))
  }
  t.same([...told.keys()], ['prefix', 'header', 'meta', 'rows', 'trailer', 'end'])
  const ends = new Set(blocks.map(({ at }) => at))
  for (let length = 0; length < bytes.length; length++) {
    if (!ends.has(length) && length % 17 !== 0) continue
    const error: unknown = await read(bytes.subarray(0, length)).catch((thrown: unknown) => thrown)
    if (!(error instanceof BackupError)) throw new Error(`${length} bytes: not found`, { cause: error })
    if (error.fault !== (length === 0 ? 'empty' : 'cut')) throw new Error(`${length} bytes: ${error.message}`)
  }
  await t.rejects(read(bytes.subarray(0, 40)), {
    message: /cut off: it ends after 40 bytes, in the middle of block 1 \(its description/,
  })
  await t.rejects(read(bytes.subarray(0, -3)), { message: /cut off: .* in the middle of block \d+ \(its end/ })
})

t.test('a backup may come in pieces of any size', async (t) => {
  const { bytes } = await filled(t)
  const whole = await read(bytes)
  for (const size of [1, 7, 16, 1_000]) {
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    )
    t.same(await readBackup(piecesOf(...pieces), NOWHERE, limits), whole, `${size} bytes at a time`)
  }
})

t.test('blocks that are lost, doubled, moved or of another backup are found', async (t) => {
  const { c, leader, bytes } = await filled(t)
  const other = (await backupOf(c, leader)).bytes
  const blocks = await blocksOf(bytes)
  const theirs = await blocksOf(other)
  const prefix = bytes.subarray(0, PREFIX_BYTES)
  const part = (at: number, of = bytes, from = blocks): Uint8Array => of.subarray(from[at]?.at, from[at]?.end)
  const all = blocks.map((_, at) => part(at))
  const cases: [string, Uint8Array[]][] = [
    ['lost', all.filter((_, at) => at !== 3)],
    ['doubled', all.flatMap((one, at) => (at === 3 ? [one, one] : [one]))],
    ['moved', all.map((one, at) => (at === 3 ? part(4) : at === 4 ? part(3) : one))],
    ['of another backup', all.map((one, at) => (at === 3 ? part(3, other, theirs) : one))],
    ['all but the description of another backup', all.map((one, at) => (at === 0 ? part(0, other, theirs) : one))],
    ['something follows', [...all, Buffer.from('x')]],
  ]
  for (const [name, pieces] of cases)
    await t.rejects(read(Buffer.concat([prefix, ...pieces])), { name: 'BackupError', fault: 'damaged' }, name)
})

/** A backup with other blocks, and all checks right. */
function written(blocks: readonly (readonly [BlockKind, Uint8Array])[], { isEnded = true } = {}): Buffer {
  const writer = new BlockWriter()
  const parts = [writer.prefix()]
  for (const [kind, body] of blocks) parts.push(writer.head(kind, body), body)
  return Buffer.concat(isEnded ? [...parts, writer.end()] : parts)
}

t.test('what no node writes is refused, also when every check is right', async (t) => {
  const { bytes } = await filled(t)
  const blocks = await blocksOf(bytes)
  const all = blocks.slice(0, -1).map(({ kind, body }): [BlockKind, Uint8Array] => [kind, body])
  const header = JSON.parse(String(blocks[0]?.body)) as Record<string, unknown>
  const described = (change: object): [BlockKind, Uint8Array] => [
    'header',
    Buffer.from(JSON.stringify({ ...header, ...change })),
  ]
  const [, meta, rows] = all
  if (meta === undefined || rows === undefined) throw new Error('the backup is short')
  t.ok(written(all).equals(bytes))
  const cases: [string, Uint8Array, RegExp][] = [
    ['no header', written(all.slice(1)), /block 1 \(the facts .* does not say what the backup is/],
    ['a header that is no JSON', written([['header', Buffer.from('{')], ...all.slice(1)]), /does not say what/],
    ['a header that is no object', written([['header', Buffer.from('7')], ...all.slice(1)]), /does not say what/],
    ['a header without a revision', written([described({ revision: 'x' }), ...all.slice(1)]), /does not say what/],
    ['a header without a log id', written([described({ logId: 1 }), ...all.slice(1)]), /does not say what/],
    [
      'a header of another state',
      written([described({ revision: 1 }), ...all.slice(1)]),
      /different log ids or revisions/,
    ],
    ['two headers', written([described({}), described({}), ...all.slice(1)]), /is not what it says/],
    ['rows under another name', written([described({}), ['rows', meta[1]]]), /is not what it says/],
    ['no rows', written([described({}), meta]), /ends before its trailer/],
    ['rows before the meta', written([described({}), rows]), /rows come before the meta/],
    [
      'a meta of another version',
      written([described({}), ['meta', Buffer.from([0, 9])], ...all.slice(2)]),
      /version that this build/,
    ],
    ['a row without a meaning', written([described({}), meta, ['rows', strangeRow()]]), /not a keyspace of this build/],
    ['an end that counts otherwise', miscounted(all), /its end counts other blocks/],
    ['a block of no kind', strangeBlock(99, 4), /of a kind or size that this version does not know/],
    ['a block of any size', strangeBlock(3, 2 ** 31), /of a kind or size that this version does not know/],
  ]
  for (const [name, file, message] of cases)
    await t.rejects(read(file), { name: 'BackupError', fault: 'unsound', message }, name)
  const broken = new Error('the disk is full')
  const failing = { write: () => Promise.reject(broken) }
  await t.rejects(
    readBackup(piecesOf(bytes), failing, limits),
    broken,
    'what is not the fault of the backup is told as it is',
  )
})

function strangeRow(): Buffer {
  const row = Buffer.alloc(11)
  row[0] = 1
  row.writeUInt32LE(1, 1)
  row.writeUInt32LE(1, 5)
  row[9] = 0x7f
  return row
}

function miscounted(all: readonly (readonly [BlockKind, Uint8Array])[]): Buffer {
  return written([...all, ['end', Buffer.alloc(12)]], { isEnded: false })
}

function strangeBlock(kind: number, length: number): Buffer {
  const prefix = new BlockWriter().prefix()
  const head = Buffer.alloc(16)
  head.writeUInt32LE(kind, 0)
  head.writeUInt32LE(length, 4)
  head.writeUInt32LE(crc32(head.subarray(0, 8), crc32(prefix.subarray(0, 12))), 8)
  return Buffer.concat([prefix, head, Buffer.alloc(64)])
}

t.test('a newer backup names the version that is needed; another product is named', async (t) => {
  const { bytes } = await filled(t)
  const [first] = await blocksOf(bytes)
  if (first === undefined) throw new Error('no header')
  const header = JSON.parse(String(first.body)) as object
  const level = written([['header', Buffer.from(JSON.stringify({ ...header, featureLevel: 9, version: '7.0.0' }))]])
  await t.rejects(read(level), {
    fault: 'newer',
    message: /feature level 9, .* use version 7\.0\.0, which wrote it, or a later/,
  })
  const newer = Buffer.from(bytes)
  newer.writeUInt32LE(2, 8)
  newer.writeUInt32LE(crc32(newer.subarray(0, 12)), 12)
  // The checks of the blocks follow from the prefix, so this header is taken for damaged.
  await t.rejects(read(newer), {
    fault: 'newer',
    message: /has format 2, and this version knows formats up to 1: use the version/,
  })
  const head = Buffer.from(newer.subarray(PREFIX_BYTES, first.end))
  let check = crc32(head.subarray(0, 8), crc32(newer.subarray(0, 12)))
  head.writeUInt32LE(check, 8)
  check = crc32(head.subarray(16), check)
  head.writeUInt32LE(check, 12)
  const named = Buffer.concat([newer.subarray(0, PREFIX_BYTES), head])
  await t.rejects(read(named), { fault: 'newer', message: /use version 0\.0\.0-test, which wrote it, or a later one/ })

  const etcd = Buffer.alloc(4_096)
  etcd.set([0xed, 0xda, 0x0c, 0xed], 16)
  const tar = Buffer.alloc(512)
  tar.write('ustar', 257)
  const files: [Uint8Array, RegExp][] = [
    [etcd, /database of etcd/],
    [tar, /tar archive/],
    [Buffer.from('\x1f\x8b\x08\0\0\0', 'latin1'), /compressed with gzip: unpack it first/],
    [Buffer.from('SQLite format 3\0...'), /SQLite/],
    [Buffer.from('REDIS0011'), /Redis/],
    [Buffer.from('{"key":"a","value":"b"}\n'), /quorate kv import/],
    [Buffer.from('{"code":"no-leader"}\n'), /JSON/],
    [Buffer.from('<html>'), /HTML/],
    [Buffer.from('abc'), /is not a backup of Quorate/],
    [Buffer.alloc(10_000), /is not a backup of Quorate/],
  ]
  for (const [file, message] of files) await t.rejects(read(file), { name: 'BackupError', fault: 'foreign', message })
})

t.test('a reader that leaves ends its backup, and whole ones are counted', async (t) => {
  const { c, leader, followers, bytes } = await filled(t)
  const id = followers[0] ?? 0
  const view = () => c.at(id).node.services.health.metrics().backups
  t.match(view(), { running: 0, completed: 1, failed: 0, last: { bytes: bytes.length } })
  const { chunks } = await c.on(id).services.cluster.snapshot('linearizable', 1_000)
  const iterator = chunks[Symbol.asyncIterator]()
  await iterator.next()
  t.match(view(), { running: 1, completed: 1 })
  t.equal(c.at(id).state.viewsOpen, 1)
  await iterator.return?.()
  t.match(view(), { running: 0, completed: 1, failed: 1 })
  t.equal(c.at(id).state.viewsOpen, 0)

  // Writes go on while one is read, and none of them is in it.
  const slow = await c.on(id).services.cluster.snapshot('linearizable', 1_000)
  const pieces: Uint8Array[] = []
  for await (const chunk of slow.chunks) {
    pieces.push(Buffer.from(chunk))
    await c.on(leader).put(`while-${pieces.length}`, 'x')
    await c.settled()
  }
  const rows: StateRow[] = []
  const sink = { write: async (some: readonly StateRow[]) => void rows.push(...some) }
  const backup = await readBackup(piecesOf(...pieces), sink, limits)
  t.equal(backup.keys, 30)
  t.ok(rows.every((row) => !Buffer.from(row.key).toString('latin1').includes('while-')))
  t.equal(backup.checksum, (await read(bytes)).checksum, 'backups of one state have one checksum')
  t.not(backup.header.id, (await read(bytes)).header.id, 'and names of their own')
})

t.test('without a leader a node gives what it has only when that is asked for', async (t) => {
  const { c, followers, leader } = await formed(t, [1, 2, 3], SMALL)
  await c.on(leader).put('a', '1')
  await c.settled()
  const [survivor = 0, other = 0] = followers
  await c.at(leader).crash()
  await c.at(other).crash()
  await c.pass(3_000)
  await refused(backupOf(c, survivor), 'no-leader', 'read-timeout')
  const { bytes } = await backupOf(c, survivor, 'stale')
  t.ok((await read(bytes)).keys >= 1)
  const d = new TestCluster(t, [9])
  await d.start(9)
  await refused(backupOf(d, 9, 'stale'), 'not-initialized', 'not-ready')
})

t.test('a node remembers through restarts when its last whole backup was taken, and can do without', async (t) => {
  const c = new TestCluster(t, [1])
  await c.form()
  const view = () => c.at(1).node.services.health.metrics().backups
  t.equal(view().last, null)
  const before = c.clock.wall()
  const { chunks } = await c.on(1).services.cluster.snapshot('linearizable', 1_000)
  const iterator = chunks[Symbol.asyncIterator]()
  await iterator.next()
  await c.pass(5_000)
  const { bytes } = await backupOf(c, 1)
  const last = view().last
  t.match(last, { bytes: bytes.length })
  t.ok((last?.takenAt ?? 0) * 1000 > before + 4_990, 'the moment of the state')
  for (let done = false; !done;) done = (await iterator.next()).done === true
  t.same(view().last, last, 'one that was begun before and ends after it shows an older state')
  t.match(view(), { completed: 2 })
  await c.restart(1)
  await c.leader()
  t.same(view(), { running: 0, completed: 0, failed: 0, last })

  c.at(1).backupFailure = new Error('an unreadable file')
  await c.restart(1)
  await c.leader()
  t.equal(view().last, null)
  await backupOf(c, 1)
  t.ok(view().last !== null)
  const said = c.lines.filter(({ level }) => level === 'warn').map(({ event }) => event)
  t.match(said, ['the last backup is forgotten', 'the last backup will be forgotten with this process'])
})
