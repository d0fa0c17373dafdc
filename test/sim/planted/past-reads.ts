import { rowFromBytes, versionOfRow } from '../../../src/kv/index.ts'
import { decodeStateMeta, encodeStateMeta } from '../../../src/node/codec/state-meta.ts'
import type { StateRange, StateRow, StateView } from '../../../src/ports/state-store.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { StateDelegate, ViewDelegate } from './delegates.ts'

/** Reads of the past pass over the deletion of a key, and find the record before it. */
class SeesNoDeletions extends ViewDelegate {
  override async scan(range: StateRange): Promise<readonly StateRow[]> {
    const isDeletion = ({ key, value }: StateRow): boolean =>
      value.length === 0 && versionOfRow(rowFromBytes(key)) !== null
    for (let { start } = range; ;) {
      const rows = await this.inner.scan({ ...range, start })
      const seen = rows.filter((row) => !isDeletion(row))
      const last = rows.at(-1)
      if (seen.length > 0 || last === undefined || range.reverse) return seen
      start = Buffer.concat([last.key, Buffer.of(0)])
    }
  }
}

/** Nothing is compacted, as far as a view tells. */
class SeesNoCompaction extends ViewDelegate {
  override get meta(): Uint8Array | null {
    const { meta } = this.inner
    const decoded = meta === null ? null : decodeStateMeta(meta)
    const history = decoded?.machine.history ?? null
    if (decoded === null || history === null) return meta
    const machine = { ...decoded.machine, history: { ...history, compactedRevision: 0, collectedRevision: 0 } }
    return encodeStateMeta({ ...decoded, machine })
  }
}

class OpensWithoutDeletions extends StateDelegate {
  override async view(): Promise<StateView> {
    return new SeesNoDeletions(await this.inner.view())
  }
}

class OpensWithoutCompaction extends StateDelegate {
  override async view(): Promise<StateView> {
    return new SeesNoCompaction(await this.inner.view())
  }
}

export const pastReadBugs: readonly PlantedBug[] = [
  {
    name: 'past-passes-over-deletions',
    says: 'a read of the past shows the record from before a deletion',
    seedsMax: 100,
    needsLevel: 1,
    wrapState: (state) => new OpensWithoutDeletions(state),
  },
  {
    name: 'compacted-is-shown',
    says: 'a listing of the past shows what is left of a compacted revision',
    seedsMax: 100,
    needsLevel: 1,
    wrapState: (state) => new OpensWithoutCompaction(state),
  },
]
