import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { logIndex, nodeId, term } from '../../src/raft/index.ts'
import { BatchList } from '../../src/storage/batch-list.ts'
import { MemoryLogStore } from '../../src/storage/memory/memory-log-store.ts'
import { MemoryStateStore } from '../../src/storage/memory/memory-state-store.ts'
import { RocksStateStore } from '../../src/storage/rocksdb/rocks-state-store.ts'
import { WalLogStore } from '../../src/storage/wal/wal-log-store.ts'
import { type LogFixture, logStoreContract } from '../contract/log-store.ts'
import { stateStoreContract } from '../contract/state-store.ts'

function temporary(t: Test): () => Promise<string> {
  let path: Promise<string> | null = null
  return async () => {
    path ??= mkdtemp(join(tmpdir(), 'quorate-contract-')).then((made) => {
      t.teardown(() => rmSync(made, { recursive: true, force: true }))
      return join(made, 'store')
    })
    return path
  }
}

function walFixture(segmentBytes: number, cacheBytesMax: number): (t: Test) => LogFixture {
  return (t) => {
    const directory = temporary(t)
    return {
      open: async () => {
        const store = new WalLogStore({ directory: await directory(), segmentBytes, cacheBytesMax })
        return { store, contents: await store.open() }
      },
    }
  }
}

t.test('log in memory', async (t) => {
  logStoreContract(t, () => {
    const store = new MemoryLogStore()
    return { open: async () => ({ store, contents: await store.open() }) }
  })
})

t.test('write-ahead log', async (t) => logStoreContract(t, walFixture(128 * 1024, 1024 * 1024)))

t.test('write-ahead log, tiny segments, no cache', async (t) => logStoreContract(t, walFixture(2048, 0)))

t.test('state in memory', async (t) => {
  stateStoreContract(t, () => {
    const store = new MemoryStateStore()
    return { open: async () => ({ store, meta: await store.open() }) }
  })
})

t.test('state in RocksDB', async (t) => {
  stateStoreContract(t, (t) => {
    const directory = temporary(t)
    return {
      open: async () => {
        const store = new RocksStateStore({ directory: await directory() })
        return { store, meta: await store.open() }
      },
    }
  })
})

t.test('a batch that the cache of the log has dropped is garbage', async (t) => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const list = new BatchList()
  const bodies = fillList(list, 10)
  list.dropThrough(logIndex(6))
  await delay(1)
  collect()
  t.same(
    bodies.map((body) => body.deref() !== undefined),
    [false, false, false, false, false, false, true, true, true, true],
  )
  t.equal(list.first, 7)
  t.equal(list.bytes, 4 * 1000)
})

/** In a function of its own, so that no variable of the test holds a body. */
function fillList(list: BatchList, count: number): WeakRef<Uint8Array>[] {
  return Array.from({ length: count }, (_, i) => {
    const body = new Uint8Array(1000)
    const index = logIndex(i + 1)
    const leaderId = { term: term(1), nodeId: nodeId(1) }
    list.push({ leaderId, first: index, last: index, body, membershipCount: 0 })
    return new WeakRef(body)
  })
}
