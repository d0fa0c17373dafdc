import { rowFromBytes, type Command } from '../../../src/kv/index.ts'
import type {
  StateInstall,
  StateRange,
  StateRow,
  StateStore,
  StateView,
  StateWrite,
} from '../../../src/ports/state-store.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import type { NodeId, SnapshotOffer, StoredMembership } from '../../../src/raft/index.ts'
import { ObservedRaft } from '../machines/observed-raft.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { StateDelegate, TransportDelegate } from './delegates.ts'
import { RewritesProposals } from './rewrites-proposals.ts'

const IDEMPOTENT_WRITES = '\x10'
const KEPT_VALUES = '\x12'

/** One change in forty is dropped, although the meta claims it. */
class DropsChanges extends StateDelegate {
  private count = 0

  override write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    this.count += 1
    return this.inner.write(this.count % 40 === 0 ? writes.slice(1) : writes, meta)
  }
}

/** The meta is one write behind its rows, so after a restart entries are applied a second time. */
class WritesOldMeta extends StateDelegate {
  private before: Uint8Array | null = null

  override write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    const given = this.before ?? meta
    this.before = meta
    return this.inner.write(writes, given)
  }
}

class SkipsFlush extends StateDelegate {
  override flush(): Promise<void> {
    return Promise.resolve()
  }
}

/** Idempotency keys of writes are not stored. */
class LosesNames extends StateDelegate {
  override write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    return this.inner.write(
      writes.filter(({ key }) => !rowFromBytes(key).startsWith(IDEMPOTENT_WRITES)),
      meta,
    )
  }
}

/** Previous values and results that belong to remembered answers are not stored. */
class LosesKeptValues extends StateDelegate {
  override write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    return this.inner.write(
      writes.filter(({ key }) => !rowFromBytes(key).startsWith(KEPT_VALUES)),
      meta,
    )
  }
}

/** They are never removed. */
class KeepsValuesForEver extends StateDelegate {
  override write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    return this.inner.write(
      writes.filter(({ type, key }) => type === 'put' || !rowFromBytes(key).startsWith(KEPT_VALUES)),
      meta,
    )
  }
}

/** Idempotency keys of writes are dropped before anything checks whether they were executed. */
class ForgetsNames extends RewritesProposals {
  protected override rewrite(command: Command): Command {
    return { ...command, idempotency: null }
  }
}

/** A view lacks its greatest row. */
class CutsViews extends StateDelegate {
  override async view(): Promise<StateView> {
    const view = await this.inner.view()
    const [last] = await view.scan({ start: null, end: null, reverse: true, limit: 1, bytesMax: 1 })
    const missing = last === undefined ? null : rowFromBytes(last.key)
    return {
      meta: view.meta,
      getMany: async (keys) => {
        const values = await view.getMany(keys)
        return values.map((value, at) => (rowFromBytes(keys[at] ?? new Uint8Array()) === missing ? null : value))
      },
      scan: async (range: StateRange): Promise<readonly StateRow[]> =>
        (await view.scan(range)).filter(({ key }) => rowFromBytes(key) !== missing),
      keys: async (range: StateRange): Promise<readonly Uint8Array[]> =>
        (await view.keys(range)).filter((key) => rowFromBytes(key) !== missing),
      fractionUpTo: (key) => view.fractionUpTo(key),
      sizeBytes: () => view.sizeBytes(),
      close: () => view.close(),
    }
  }
}

/** An installed state is added to the old rows instead of replacing them. */
class KeepsOldRows extends StateDelegate {
  constructor(inner: StateStore) {
    super(inner)
  }

  override async beginInstall(): Promise<StateInstall> {
    const install = await this.inner.beginInstall()
    const view = await this.inner.view()
    const old = await view.scan({ start: null, end: null, reverse: false, limit: 10_000, bytesMax: 100_000_000 })
    await view.close()
    const received = new Map<string, StateRow>(old.map((row) => [rowFromBytes(row.key), row]))
    return {
      write: (rows) => {
        for (const row of rows) received.set(rowFromBytes(row.key), row)
        return Promise.resolve()
      },
      commit: async (meta) => {
        await install.write([...received].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row))
        await install.commit(meta)
      },
      abort: () => install.abort(),
    }
  }
}

/** The membership of a snapshot is ignored. */
class InstallsWithoutMembership extends ObservedRaft {
  override installSnapshot(
    now: number,
    from: NodeId,
    offer: SnapshotOffer & { readonly membership: StoredMembership },
  ): void {
    const before = this.view().effective
    super.installSnapshot(now, from, before.logId === null ? offer : { ...offer, membership: before })
  }
}

/** Forwarded commands are sent twice, with two numbers. */
class ForwardsTwice extends TransportDelegate {
  override send(message: PeerMessage): void {
    this.inner.send(message)
    if (message.type === 'forward-request') this.inner.send({ ...message, batchId: message.batchId + 1_000_000 })
  }
}

export const stateBugs: readonly PlantedBug[] = [
  {
    name: 'apply-dropped',
    says: 'now and then a change does not reach the state store',
    seedsMax: 50,
    wrapState: (state) => new DropsChanges(state),
  },
  {
    name: 'applied-twice',
    says: 'the applied index is stored one write too low',
    seedsMax: 20,
    wrapState: (state) => new WritesOldMeta(state),
  },
  {
    name: 'flush-skipped',
    says: 'the log is purged although the state was never flushed',
    seedsMax: 100,
    wrapState: (state) => new SkipsFlush(state),
  },
  {
    name: 'idempotent-writes-not-stored',
    says: 'the names of idempotent writes are kept in memory only',
    seedsMax: 100,
    wrapState: (state) => new LosesNames(state),
  },
  {
    name: 'idempotent-writes-repeated',
    says: 'an idempotent write that is repeated is executed again',
    seedsMax: 100,
    raft: ForgetsNames,
  },
  {
    name: 'kept-values-not-stored',
    says: 'previous values and results of named writes are kept in memory only',
    seedsMax: 100,
    needsRepeats: true,
    wrapState: (state) => new LosesKeptValues(state),
  },
  {
    name: 'kept-values-for-ever',
    says: 'previous values and results of named writes are kept when their time is over',
    seedsMax: 100,
    needsRepeats: true,
    wrapState: (state) => new KeepsValuesForEver(state),
  },
  {
    name: 'view-cut',
    says: 'views of the state miss their last row',
    seedsMax: 50,
    wrapState: (state) => new CutsViews(state),
  },
  {
    name: 'range-delete-unbounded',
    says: 'a range delete removes more keys than one entry may',
    seedsMax: 50,
    changeOptions: (options) => ({ ...options, rangeDeleteKeysMax: 1_000_000 }),
  },
  {
    name: 'transaction-reads-unbounded',
    says: 'a transaction reads more bytes of records than it may',
    seedsMax: 50,
    needsLevel: 1,
    changeOptions: (options) => ({ ...options, transaction: { ...options.transaction, readBytesMax: 1_000_000 } }),
  },
  {
    name: 'transaction-lists-unbounded',
    says: 'a list of a transaction goes on where its bytes are exceeded',
    seedsMax: 200,
    needsLevel: 1,
    changeOptions: (options) => ({ ...options, transaction: { ...options.transaction, listBytesMax: 1_000_000 } }),
  },
  {
    name: 'snapshot-merged',
    says: 'rows from before survive the installation of a snapshot',
    seedsMax: 300,
    wrapState: (state) => new KeepsOldRows(state),
  },
  {
    name: 'snapshot-without-membership',
    says: 'the membership of a snapshot is not adopted',
    seedsMax: 2000,
    raft: InstallsWithoutMembership,
  },
  {
    name: 'forwarded-twice',
    says: 'a forwarded write is executed twice',
    seedsMax: 20,
    wrapTransport: (transport) => new ForwardsTwice(transport),
  },
]
