import { rowFromBytes, versionOfRow, type Command } from '../../../src/kv/index.ts'
import { decodeStateMeta, encodeStateMeta } from '../../../src/node/codec/state-meta.ts'
import type { StateInstall, StateWrite } from '../../../src/ports/state-store.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'
import { StateDelegate } from './delegates.ts'
import { RewritesProposals } from './rewrites-proposals.ts'

function isVersion(key: Uint8Array): boolean {
  return versionOfRow(rowFromBytes(key)) !== null
}

/** A record is lost when another takes its place. */
class CopiesNothing extends StateDelegate {
  override write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    const isCopy = (one: StateWrite): boolean => one.type === 'put' && isVersion(one.key) && one.value.length > 0
    return this.inner.write(
      writes.filter((one) => !isCopy(one)),
      meta,
    )
  }
}

/** A deletion is not kept, so what was before it seems to last. */
class ForgetsDeletions extends StateDelegate {
  override write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    const isDeletion = (one: StateWrite): boolean => one.type === 'put' && isVersion(one.key) && one.value.length === 0
    return this.inner.write(
      writes.filter((one) => !isDeletion(one)),
      meta,
    )
  }
}

/** A compaction leaves what its list of changes had superseded. */
class RemovesListsAlone extends StateDelegate {
  override write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    return this.inner.write(
      writes.filter((one) => one.type === 'put' || !isVersion(one.key)),
      meta,
    )
  }
}

/** The state says that one revision more is removed than is. */
class CollectsTooFar extends StateDelegate {
  override write(writes: readonly StateWrite[], meta: Uint8Array): Promise<void> {
    const decoded = decodeStateMeta(meta)
    const history = decoded?.machine.history ?? null
    if (decoded === null || history === null || history.collectedRevision === 0) return this.inner.write(writes, meta)
    const { collectedRevision: at, compactedRevision: last } = history
    const machine = { ...decoded.machine, history: { ...history, collectedRevision: Math.min(at + 1, last) } }
    return this.inner.write(writes, encodeStateMeta({ ...decoded, machine }))
  }
}

/** A state that is sent arrives without its past. */
class InstallsWithoutPast extends StateDelegate {
  override async beginInstall(): Promise<StateInstall> {
    const install = await this.inner.beginInstall()
    return {
      write: (rows) => install.write(rows.filter(({ key }) => !isVersion(key))),
      commit: (meta) => install.commit(meta),
      abort: () => install.abort(),
    }
  }
}

/** A compaction goes one revision further than it was asked to. */
class CompactsOneTooFar extends RewritesProposals {
  protected override rewrite(command: Command): Command {
    const isMeant = command.type === 'compaction' && command.revision !== null
    return isMeant ? { ...command, revision: command.revision + 1 } : command
  }
}

export const historyBugs: readonly PlantedBug[] = [
  {
    name: 'superseded-not-copied',
    says: 'a record that is superseded is not kept for reads of the past',
    seedsMax: 100,
    needsLevel: 1,
    wrapState: (state) => new CopiesNothing(state),
  },
  {
    name: 'deletion-not-kept',
    says: 'the past does not know when a key was deleted',
    seedsMax: 100,
    needsLevel: 1,
    wrapState: (state) => new ForgetsDeletions(state),
  },
  {
    name: 'compaction-leaves-records',
    says: 'a compaction removes the lists of changes alone',
    seedsMax: 100,
    needsLevel: 1,
    wrapState: (state) => new RemovesListsAlone(state),
  },
  {
    name: 'compaction-one-too-far',
    says: 'a compaction removes one revision more than it was asked to',
    seedsMax: 100,
    needsLevel: 1,
    raft: CompactsOneTooFar,
  },
  {
    name: 'compaction-unbounded',
    says: 'one entry of a compaction removes more than it may',
    seedsMax: 100,
    needsLevel: 1,
    changeOptions: (options) => ({
      ...options,
      history: { ...options.history, stepRevisionsMax: 1_000_000, stepRecordsMax: 1_000_000, stepBytesMax: 1_000_000 },
    }),
  },
  {
    name: 'collected-too-far',
    says: 'the state claims that one revision more is removed than is',
    seedsMax: 100,
    needsLevel: 1,
    wrapState: (state) => new CollectsTooFar(state),
  },
  {
    name: 'historian-asleep',
    says: 'no leader removes history by itself, however old it is and however much',
    seedsMax: 100,
    needsLevel: 1,
    plant: ({ replica }) => replica.historian.stop(),
  },
  {
    name: 'snapshot-without-past',
    says: 'a state that is sent arrives without the records that were superseded',
    seedsMax: 300,
    needsLevel: 1,
    wrapState: (state) => new InstallsWithoutPast(state),
  },
]
