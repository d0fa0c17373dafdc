import type { Consistency } from '../../api/keys.ts'
import type {
  AnswerContext,
  Guard,
  HistoryAccess,
  HistoryStatus,
  KeyVersion,
  ReadOptions,
  VersionPage,
} from '../../api/services.ts'
import type { AuthTable, Key, KeyRecord, MachineState } from '../../kv/index.ts'
import { decodeRecord, oldestRevision } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { StateStore, StateView } from '../../ports/state-store.ts'
import { metaOf } from '../codec/state-meta.ts'
import type { Applier } from '../state/applier.ts'
import type { ReadGate } from './read-gate.ts'
import { TimedView, type StoreWaits, type Until } from './store-waits.ts'
import { Turnstile } from './turnstile.ts'
import { newestUpTo, versionsBelow } from './versions.ts'

export interface PastDependencies {
  readonly state: StateStore
  readonly applier: Pick<Applier, 'auth' | 'machineState' | 'settle'>
  readonly gate: ReadGate
  readonly waits: StoreWaits
}

/** A consistent view of the present state, open while it is used. */
export interface Shown {
  readonly view: StateView
  readonly machine: MachineState | null
  readonly context: AnswerContext
}

/** The store as it was at `revision`, and the consistency with which a read asks for it. */
interface PastState {
  readonly revision: number
  readonly consistency: Consistency
}

type Page = Parameters<HistoryAccess['versions']>[1]

/** Earlier states of the store, and of single keys, as far as history has them. */
export class Past implements HistoryAccess {
  private readonly deps: PastDependencies
  private readonly turnstile = new Turnstile(limits.rowCallsMax)

  constructor(deps: PastDependencies) {
    this.deps = deps
  }

  /**
   * A view of the store that can show a state of the past that this node has reached; null: the present. The caller closes it. It may be later
   * than what the gate let through, for example a state that has arrived meanwhile: so `guard` is asked once more.
   */
  async view(
    asked: PastState | null,
    until: Until,
    guard?: Guard,
  ): Promise<{ view: TimedView; machine: MachineState | null }> {
    const { applier } = this.deps
    const view = await this.open(until)
    const machine = (await metaOf(view))?.machine ?? null
    if (asked !== null && machine !== null && asked.revision < oldestRevision(machine)) {
      await view.close()
      throw compacted(asked, machine)
    }
    try {
      checkRights(applier.auth, machine)
      guard?.check()
    } catch (error) {
      await view.close()
      throw error
    }
    return { view, machine }
  }

  private open(until: Until): Promise<TimedView> {
    const { state, applier, waits } = this.deps
    const open = async (): Promise<TimedView> => {
      await applier.settle()
      return new TimedView(await state.view(), until, waits)
    }
    return waits.within(until, open, (late) => void late.close().catch(() => undefined))
  }

  /**
   * The record of `key` in a state of the past that this node has reached. `current`: the record that it had since. `guard` is asked once more
   * when the store is needed.
   */
  async recordAt(
    key: Key,
    asked: PastState,
    current: KeyRecord | null,
    until: Until,
    guard?: Guard,
  ): Promise<KeyRecord | null> {
    const { revision } = asked
    const machine = this.deps.applier.machineState
    if (revision < oldestRevision(machine)) throw compacted(asked, machine)
    if (current !== null && current.modRevision <= revision) return current
    // No record since then is old enough, so the answer is among the superseded ones.
    const read = async (): Promise<KeyRecord | null> => {
      const { view } = await this.view(asked, until, guard)
      try {
        const row = await newestUpTo(view, key, revision)
        return row === null || row.length === 0 ? null : decodeRecord(row)
      } finally {
        await view.close()
      }
    }
    return this.deps.waits.within(until, () => this.turnstile.pass(read))
  }

  /** Reads what `use` wants of the present state, within the time of the read. */
  async read<T>(options: ReadOptions, use: (shown: Shown) => Promise<T>): Promise<T> {
    const { gate, waits } = this.deps
    const until = waits.until(options)
    const consistency = await gate.reach(options)
    const { view, machine } = await this.view(null, until, options.guard)
    try {
      const context = { ...gate.context(consistency), revision: machine?.revision ?? 0 }
      return await use({ view, machine, context })
    } finally {
      await view.close()
    }
  }

  versions(key: Key, page: Page, options: ReadOptions): Promise<VersionPage> {
    const versionsOf = async ({ view, machine, context }: Shown): Promise<VersionPage> => {
      const oldest = machine === null ? 0 : oldestRevision(machine)
      const { items, done } = await versionsIn(view, key, page, oldest)
      return { items, done, compactedRevision: oldest, context }
    }
    return this.read(options, versionsOf)
  }

  async status(options: ReadOptions): Promise<{ status: HistoryStatus; context: VersionPage['context'] }> {
    const { gate } = this.deps
    const consistency = await gate.reach(options)
    return { status: this.statusHere(), context: gate.context(consistency) }
  }

  statusHere(): HistoryStatus {
    const { machineState: machine } = this.deps.applier
    const { changes = 0, bytes = 0, retention = null } = machine.history ?? {}
    const { revision } = machine
    return { compactedRevision: oldestRevision(machine), revision, changes, bytes, retention }
  }
}

/**
 * Throws `RequestError` when the roles and tokens that belong to a view are not known yet: a state from another node is just taking the place of
 * this one's.
 */
export function checkRights(auth: AuthTable | null, machine: MachineState | null): void {
  if ((machine?.auth ?? 0) > (auth?.revision ?? 0))
    throw new RequestError('not-ready', 'this node is taking over a state from another one; try again')
}

function compacted({ revision, consistency }: PastState, machine: MachineState): RequestError {
  const compactRevision = oldestRevision(machine)
  const what = `revision ${revision} cannot be read any more: the oldest one that can is ${compactRevision}`
  return new RequestError('compacted', what, { compactRevision }, { revision: machine.revision, consistency })
}

/** `oldest`: what was superseded by then, or before, is not shown, whether or not it is removed yet. */
async function versionsIn(
  view: StateView,
  key: Key,
  { before, limit, bytesMax }: Page,
  oldest: number,
): Promise<{ items: readonly KeyVersion[]; done: boolean }> {
  const items: KeyVersion[] = []
  let bytes = 0
  let lowest = before
  for await (const { revision, row } of versionsBelow(view, key, before)) {
    if (lowest !== null && lowest <= oldest) break
    const record = row.length === 0 ? null : decodeRecord(row)
    // A deletion that is the oldest to be known leaves nothing to tell of.
    if (record === null && revision <= oldest) break
    if (items.length === limit || (items.length > 0 && bytes + row.length > bytesMax)) return { items, done: false }
    items.push({ revision, record })
    bytes += row.length
    lowest = revision
  }
  return { items, done: true }
}
