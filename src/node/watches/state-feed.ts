import { assert } from '../../lib/assert.ts'
import type { Change, RowKey } from '../../kv/index.ts'
import {
  UnreadableStateError,
  changesAfter,
  decodeChanges,
  decodeRecord,
  recordRow,
  revisionOfChangesRow,
  rowBytes,
  rowFromBytes,
  versionRow,
} from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import type { StateRow, StateStore, StateView } from '../../ports/state-store.ts'
import { metaOf } from '../codec/state-meta.ts'
import type { Feed, FeedChange, FeedEntry, FeedSource, WantedChange } from './feed.ts'

export interface StateFeedDependencies {
  readonly state: Pick<StateStore, 'view'>
  /** Puts into the store what is applied. */
  readonly applier: { settle(): Promise<unknown> }
}

/** The changes that the state of this node tells of. */
export class StateFeed implements FeedSource {
  private readonly deps: StateFeedDependencies

  constructor(deps: StateFeedDependencies) {
    this.deps = deps
  }

  async open(): Promise<Feed> {
    const { state, applier } = this.deps
    await applier.settle()
    const view = await state.view()
    const meta = await metaOf(view)
    const revision = meta?.machine.revision ?? 0
    // Without history nothing is told of the past.
    const compactedRevision = meta?.machine.history?.compactedRevision ?? revision
    return {
      revision,
      compactedRevision,
      read: (after) => read(view, after),
      load: (wanted) => load(view, wanted),
      close: () => view.close(),
    }
  }
}

async function read(view: StateView, after: number): Promise<readonly FeedEntry[]> {
  const { start, end } = changesAfter(after)
  const rows = await view.scan({
    start: rowBytes(start),
    end: end === null ? null : rowBytes(end),
    reverse: false,
    limit: limits.watchStepMax,
    bytesMax: limits.watchFeedBytesMax,
  })
  return rows.map(entryOf)
}

function entryOf({ key: row, value }: StateRow): FeedEntry {
  const revision = revisionOfChangesRow(rowFromBytes(row))
  assert(revision !== null, 'only rows of changes are among them')
  const changes = decodeChanges(value).map(({ kind, key, previousRevision }) => ({
    kind,
    key,
    revision,
    previousRevision,
  }))
  return { revision, changes }
}

async function load(view: StateView, wanted: readonly WantedChange[]): Promise<readonly Change[]> {
  const changes: Change[] = []
  for (let at = 0; at < wanted.length; at += limits.watchFeedRowsMax) {
    changes.push(...(await loadSome(view, wanted.slice(at, at + limits.watchFeedRowsMax))))
  }
  return changes
}

/** The rows of a change: the record that is current, if it is still that of the change, else one of the superseded. */
async function loadSome(view: StateView, wanted: readonly WantedChange[]): Promise<readonly Change[]> {
  const rows = new Set<RowKey>()
  for (const { change, wantsPrevious } of wanted) {
    const { kind, key, revision, previousRevision } = change
    if (kind === 'put') rows.add(recordRow(key)).add(versionRow(key, revision))
    if (wantsPrevious && previousRevision > 0) rows.add(versionRow(key, previousRevision))
  }
  const names = [...rows]
  const values = await view.getMany(names.map(rowBytes))
  const found = new Map(names.map((name, at) => [name, values[at] ?? null]))
  return wanted.map(({ change, wantsPrevious }) => {
    const { kind, key, previousRevision } = change
    const row = kind === 'put' ? rowOf(change, found) : null
    const previousRow = wantsPrevious && previousRevision > 0 ? superseded(change, previousRevision, found) : null
    return { kind, key, row, previousRow, previousRevision }
  })
}

function rowOf(change: FeedChange, found: ReadonlyMap<RowKey, Uint8Array | null>): Uint8Array {
  const current = found.get(recordRow(change.key)) ?? null
  const isCurrent = current !== null && decodeRecord(current).modRevision === change.revision
  return isCurrent ? current : superseded(change, change.revision, found)
}

function superseded(
  { key, revision: changed }: FeedChange,
  revision: number,
  found: ReadonlyMap<RowKey, Uint8Array | null>,
): Uint8Array {
  const row = found.get(versionRow(key, revision)) ?? null
  if (row === null) {
    throw new UnreadableStateError(
      `the state lists a change at revision ${changed}, and lacks the record of ${revision}`,
    )
  }
  return row
}
