import type {
  AnswerContext,
  Caller,
  ExecuteOptions,
  KeyValueAccess,
  ReadOptions,
  Scan,
  ScanRange,
} from '../../api/services.ts'
import { assert } from '../../lib/assert.ts'
import type { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import type { Command, CommandResult, Key, KeyRecord, ResultOf } from '../../kv/index.ts'
import {
  decodeRecord,
  denialError,
  encodeCommand,
  isHistoryKept,
  isResultOf,
  isUpkeep,
  levelOf,
  recordRow,
} from '../../kv/index.ts'
import type { Clock } from '../../ports/clock.ts'
import type { StateView } from '../../ports/state-store.ts'
import type { Replica } from '../replica.ts'
import type { Space } from '../space/space.ts'
import type { RowFetcher } from '../state/row-fetcher.ts'
import { PastScan } from './past-scan.ts'
import type { Past } from './past.ts'
import { RangeScan } from './range-scan.ts'
import type { ReadGate } from './read-gate.ts'
import type { Serving } from './serving.ts'
import type { StoreWaits, TimedView } from './store-waits.ts'

export interface KeysDependencies {
  readonly clock: Pick<Clock, 'now'>
  readonly replica: Replica
  readonly fetcher: RowFetcher
  readonly serving: Serving
  readonly gate: ReadGate
  readonly past: Past
  readonly waits: StoreWaits
  readonly space: Pick<Space, 'check'>
}

/** Reads and writes of keys, on any node. */
export class Keys implements KeyValueAccess {
  private readonly deps: KeysDependencies

  constructor(deps: KeysDependencies) {
    this.deps = deps
  }

  get level(): number {
    return this.deps.replica.applier.level
  }

  async execute<Kind extends Command>(
    asked: Kind,
    timeoutMs: number,
    caller: Caller | null = null,
    options: ExecuteOptions = {},
  ): Promise<{ result: ResultOf<Kind>; context: AnswerContext }> {
    const { serving, replica, clock } = this.deps
    serving.check()
    const { features, permissions } = replica
    const command = identified(asked, caller)
    if (permissions.refuseCommand(command) !== null) await this.confirmRefusal(command, timeoutMs, caller)
    const until = clock.now() + timeoutMs
    let result = await this.submit(command, timeoutMs, caller, options)
    const again = otherwise(command, result, caller)
    if (again !== null) result = await this.submit(again, until - clock.now(), caller, options)
    if (result.type === 'unauthenticated' || result.type === 'forbidden') throw denialError(result)
    if (result.type === 'level-too-low') throw features.unavailable(result.level, result.clusterLevel)
    assert(isResultOf(command, result), 'a command is answered in its kind')
    const context = this.deps.gate.context('linearizable')
    // An answer that names a revision reflects that revision; later ones may have been applied since.
    return { result, context: 'revision' in result ? { ...context, revision: result.revision } : context }
  }

  private async submit(
    command: Command,
    timeoutMs: number,
    caller: Caller | null,
    { isOnlyHere = false }: ExecuteOptions,
  ): Promise<CommandResult> {
    const { applier, features, proposals } = this.deps.replica
    this.deps.space.check(command)
    const level = levelOf(command)
    const leftMs = level > applier.level ? await features.require(level, timeoutMs, caller) : timeoutMs
    return proposals.submit(encodeCommand(command), leftMs, { caller, isUpkeep: isUpkeep(command), isOnlyHere })
  }

  overload(underWay: number): RequestError | null {
    return this.deps.replica.proposals.refusal(0, limits.requestTimeoutMsDefault, underWay)
  }

  /** What is known to be refused is not proposed. This node may not know yet what another one has granted, so it makes sure. */
  private async confirmRefusal(command: Command, timeoutMs: number, caller: Caller | null): Promise<void> {
    const { permissions, reads } = this.deps.replica
    await reads.barrier(timeoutMs, caller)
    const denial = permissions.refuseCommand(command)
    if (denial !== null) throw denialError(denial)
  }

  async get(key: Key, options: ReadOptions): Promise<{ record: KeyRecord | null; context: AnswerContext }> {
    const { gate, past, fetcher, waits } = this.deps
    const until = waits.until(options)
    const consistency = await gate.reach(options)
    const row = recordRow(key)
    for (;;) {
      // Taken before the row is looked up: what is known now belongs to this revision, and so does what the store returns if the row has
      // not changed meanwhile.
      const context = gate.context(consistency)
      const known = this.deps.replica.rows.peek(row)
      const { bytes, changed } =
        known === undefined ? await waits.within(until, () => fetcher.fetch(row)) : { bytes: known, changed: false }
      if (changed) continue
      // The row is from later than what the gate let through: the client's right may have ended since.
      if (options.guard !== undefined) await gate.judge(options, consistency)
      const record = bytes === null ? null : decodeRecord(bytes)
      const { revision } = options
      if (revision === undefined) return { record, context }
      const then = await past.recordAt(key, { revision, consistency }, record, until, options.guard)
      return { record: then, context: { ...context, revision } }
    }
  }

  scan(range: ScanRange, options: ReadOptions): Promise<Scan> {
    return this.open(range, options, (view) => view)
  }

  walk(range: ScanRange, options: ReadOptions): Promise<Scan> {
    return this.open(range, options, (view) => view.untimed)
  }

  private async open(range: ScanRange, options: ReadOptions, of: (view: TimedView) => StateView): Promise<Scan> {
    const { gate, past, waits } = this.deps
    const until = waits.until(options)
    const consistency = await gate.reach(options)
    const asked = options.revision === undefined ? null : { revision: options.revision, consistency }
    const { view, machine } = await past.view(asked, until, options.guard)
    const present = machine?.revision ?? 0
    const revision = options.revision ?? present
    const shown = {
      context: { ...gate.context(consistency), revision },
      isRepeatable: options.revision !== undefined || (machine !== null && isHistoryKept(machine)),
    }
    return revision < present ? new PastScan(of(view), range, shown) : new RangeScan(of(view), range, shown)
  }
}

/**
 * The command that is to be asked for in place of `command`, which had no effect because this node knew less of the cluster than it does now; null:
 * none.
 */
function otherwise<Kind extends Command>(command: Kind, result: CommandResult, caller: Caller | null): Kind | null {
  switch (result.type) {
    case 'unauthenticated': {
      // This node did not know of any token. It has executed the command, so it does now.
      const again = identified(command, caller)
      return again === command ? null : again
    }
    case 'key-reused':
      return underOtherFingerprint(command)
    default:
      return null
  }
}

/** `command` as a node names it that sees the cluster at another level; null when its name says nothing of that. */
function underOtherFingerprint<Kind extends Command>(command: Kind): Kind | null {
  const { idempotency } = command
  if (idempotency?.otherFingerprint === undefined) return null
  return { ...command, idempotency: { key: idempotency.key, fingerprint: idempotency.otherFingerprint() } }
}

/** `command` under the token of its client, if this node did not know it when the request came, and does now. */
export function identified<Kind extends Command>(command: Kind, caller: Caller | null): Kind {
  const token = command.token === undefined ? (caller?.bearer?.token ?? null) : null
  return token === null ? command : { token: token.id, ...command }
}
