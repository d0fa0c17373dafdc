import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
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
