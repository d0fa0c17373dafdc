import { isDeepStrictEqual } from 'node:util'
import {
  decodeCommand,
  type Command,
  type CommandResult,
  type Key,
  type KeyRecord,
  type KvMachineOptions,
} from '../../../src/kv/index.ts'
import { entriesOf } from '../../../src/node/codec/entry.ts'
import { decodeStateMeta } from '../../../src/node/codec/state-meta.ts'
import { ReferenceModel } from '../../kv/support/reference-model.ts'
import { pastFault } from '../../kv/support/stored-past.ts'
import { changedBy, concerns, markOf } from '../../kv/support/transaction-model.ts'
import type { StateImage } from '../disk/state-disk.ts'
import { callsOn, keyModel, positionTold } from '../history/key-model.ts'
import { checkLinearizable } from '../history/linearizability.ts'
import {
  describeAnswer,
  describeOperation,
  describeRecord,
  describeResult,
  textOf,
  type Answer,
  type Operation,
} from '../history/operation.ts'
import type { Ledger } from '../machines/ledger.ts'
import { describeLogId } from '../network/describe.ts'
import { Violation } from '../world/violation.ts'
import { recordsFault, stateFault } from './stored-state.ts'

export interface HistoryOptions {
  readonly machine: KvMachineOptions
  /** Clocks stayed within the margin and no refused connection was a lie, so reads under a lease are linearizable. */
  readonly leasesHold: boolean
  readonly stepsMax: number
}

type WriteAnswer = Extract<Answer, { type: 'write' }>

export interface HistoryFigures {
  keysChecked: number
  /** Keys whose search was abandoned. */
  keysUndecided: number
  /** Keys on which a named write was executed again after its name was forgotten: its retries cannot be told from new writes. */
  keysForgotten: number
  /** Named writes that were answered by two nodes. */
  doublesCompared: number
  boundedReads: number
  statesCompared: number
  operations: number
  acknowledgedWrites: number
  transactions: number
}

export function noFigures(): HistoryFigures {
  return {
    keysChecked: 0,
    keysUndecided: 0,
    keysForgotten: 0,
    doublesCompared: 0,
    boundedReads: 0,
    statesCompared: 0,
    operations: 0,
    acknowledgedWrites: 0,
    transactions: 0,
  }
}

export function addFigures(sum: HistoryFigures, more: HistoryFigures): void {
  sum.keysChecked += more.keysChecked
  sum.keysUndecided += more.keysUndecided
  sum.keysForgotten += more.keysForgotten
  sum.doublesCompared += more.doublesCompared
  sum.boundedReads += more.boundedReads
  sum.statesCompared += more.statesCompared
  sum.operations += more.operations
  sum.acknowledgedWrites += more.acknowledgedWrites
  sum.transactions += more.transactions
}

/**
 * Checks what clients saw of one cluster in two ways.
 *
 * First, a second, plain model executes the committed log. Every answer must be exactly what the model gives at the revision
 * that the answer claims, and the claimed revisions must respect real time. This is strict serializability of all keys and
 * ranges together, with the revision as witness. It also finds acknowledged writes that are missing, failed writes that took
 * effect, and writes that took effect twice.
 *
 * Second, for each key, the search of Wing and Gong examines the answers alone; it relies on no revision and no log.
 */
export class HistoryCheck {
  readonly figures = noFigures()
  private readonly options: HistoryOptions
  private readonly model: ReferenceModel
  private readonly indexesOfMark = new Map<string, number[]>()
  private readonly commands = new Map<number, Command>()
  private readonly claimed = new Map<number, number>()
  /** Log indexes of removals that removed something and that no answer claims, by their command. */
  private readonly unclaimedRemovals = new Map<string, number[]>()

  constructor(options: HistoryOptions, ledger: Ledger | null) {
    this.options = options
    this.model = new ReferenceModel(options.machine)
    for (const { logId, bytes } of ledger?.committed ?? []) {
      const batch = { leaderId: logId.leaderId, first: logId.index, last: logId.index, body: bytes, membershipCount: 0 }
      for (const entry of entriesOf(batch))
        if (entry.kind === 'command') this.execute(decodeCommand(entry.command), logId.index)
    }
  }

  check(history: readonly Operation[]): void {
    this.figures.operations = history.length
    for (const operation of history) this.checkAnswer(operation)
    this.checkRealTime(history)
    this.checkAges(history)
    this.checkEveryKey(history)
  }

  /** The state of `machine` must be that of the model at the index up to which the machine has applied. */
  checkState(machine: string, image: StateImage): void {
    const meta = image.meta === null ? null : decodeStateMeta(image.meta)
    if (meta === null) return
    const { applied } = meta
    this.figures.statesCompared += 1
    const where = `${machine} has applied ${describeLogId(applied)} and`
    const fault =
      stateFault(meta.machine, this.model, applied.index) ??
      recordsFault(image, this.model, applied.index) ??
      pastFault(image, this.model, applied.index)
    if (fault !== null) throw new Violation('state', `${where} ${fault}`)
  }

  private execute(command: Command, index: number): void {
    const result = this.model.execute(command, index)
    this.commands.set(index, command)
    const mark = markOf(command)
    if (mark === null) {
      const said = removalOf(command)
      if (changed(result)) this.unclaimedRemovals.set(said, [...(this.unclaimedRemovals.get(said) ?? []), index])
      return
    }
    this.indexesOfMark.set(mark, [...(this.indexesOfMark.get(mark) ?? []), index])
  }

  private checkAnswer(operation: Operation): void {
    const { outcome, request, mark } = operation
    const indexes = mark === null ? [] : (this.indexesOfMark.get(mark) ?? [])
    if (outcome.kind === 'failed') {
      if (indexes.length > 0)
        fail('failed-write', `failed for certain but is in the log at ${indexes.join(', ')}`, operation)
      return
    }
    if (request.type === 'write' && request.command.idempotency === null && indexes.length > 1) {
      fail('exactly-once', `has no name and is in the log ${indexes.length} times, at ${indexes.join(', ')}`, operation)
    }
    if (outcome.kind === 'unknown') return
    const { answer } = outcome
    if (answer.type !== 'write' || request.type !== 'write') {
      if (answer.type !== 'write') this.checkRead(operation, answer)
      return
    }
    this.figures.acknowledgedWrites += 1
    for (const one of operation.heard ?? [{ answer }])
      if (one.answer.type === 'write') this.checkWrite(operation, request.command, one.answer.result, indexes)
    this.checkDoubles(operation, request.command, answer)
  }

  /** Two requests under one idempotency key get the same answer while the key is remembered (docs/HTTP.md, Try again safely). */
  private checkDoubles(operation: Operation, { idempotency }: Command, first: WriteAnswer): void {
    const others = operation.heard?.slice(1) ?? []
    if (idempotency === null || this.isForgotten(idempotency.key)) return
    for (const { answer } of others) {
      this.figures.doublesCompared += 1
      if (answer.type === 'write' && sameAnswer(answer.result, first.result)) continue
      fail('same-answer', `was answered otherwise by another node: ${describeAnswer(answer)}`, operation)
    }
  }

  /** Whether a named write was executed more than once because its name was forgotten after very many later ones. */
  private isForgotten(name: string): boolean {
    return (this.model.executions.get(name)?.length ?? 0) > 1
  }

  private checkWrite(operation: Operation, command: Command, result: CommandResult, indexes: readonly number[]): void {
    if (markOf(command) !== null) {
      if (result.type === 'transaction') this.figures.transactions += 1
      const results = indexes.map((index) => this.model.resultsByIndex.get(index))
      if (results.some((expected) => isDeepStrictEqual(plain(expected), plain(result)))) return
      const expected = results.map((one) => (one === undefined ? '-' : describeResult(one))).join(' or ')
      return fail(
        'acknowledged-write',
        `is acknowledged, but the log holds it at [${indexes.join(', ')}] with ${expected}`,
        operation,
      )
    }
    if ((result.type !== 'deleted' && result.type !== 'range-deleted') || result.deleted === 0) return
    const expected = this.model.resultsByIndex.get(result.revision)
    if (sameAnswer(expected, result) && this.commands.get(result.revision)?.type === command.type) return
    fail(
      'acknowledged-write',
      `is acknowledged, but the log holds ${expected === undefined ? 'nothing' : describeResult(expected)} there`,
      operation,
    )
  }

  private checkRead(operation: Operation, answer: Extract<Answer, { type: 'get' | 'scan' }>): void {
    const { request } = operation
    const { revision } = answer
    if (revision > this.model.revision)
      fail('read', `reflects revision ${revision}, which no committed entry made`, operation)
    if (request.type === 'get' && answer.type === 'get') {
      if (request.minRevision !== null && revision < request.minRevision)
        fail('read', 'is older than asked for', operation)
      this.expectRecord(operation, this.model.recordAt(request.key, revision), answer.record)
      return
    }
    if (request.type !== 'scan' || answer.type !== 'scan') return
    const keys = this.model.keysAt(request.start, request.end, revision)
    if (request.reverse) keys.reverse()
    const seen = answer.items.map(({ key }) => key)
    if (!isDeepStrictEqual(keys, seen)) {
      fail('read', `is no cut at revision ${revision}: there are [${keys.join(' ')}]`, operation)
    }
    for (const { key, record } of answer.items) this.expectRecord(operation, this.model.recordAt(key, revision), record)
  }

  private expectRecord(operation: Operation, expected: KeyRecord | null, seen: KeyRecord | null): void {
    if (isDeepStrictEqual(plain(expected), plain(seen))) return
    fail(
      'read',
      `does not show what there is at that revision: ${describeRecord(expected)}, not ${describeRecord(seen)}`,
      operation,
    )
  }

  /** An operation that started after another had ended reflects at least what the other reflected. */
  private checkRealTime(history: readonly Operation[]): void {
    const begun = history
      .filter((operation) => this.isLinearizable(operation))
      .sort((a, b) => a.invokedAt - b.invokedAt)
    const ended = [...begun].sort((a, b) => a.returnedAt - b.returnedAt)
    let at = 0
    let latest: Operation | null = null
    for (const operation of begun) {
      for (let next = ended[at]; next !== undefined && next.returnedAt < operation.invokedAt; next = ended[++at]) {
        if (latest === null || positionOf(next) > positionOf(latest)) latest = next
      }
      if (latest === null || positionOf(operation) >= positionOf(latest)) continue
      fail('real-time', `reflects less than what had ended before: ${describeOperation(latest)}`, operation)
    }
  }

  /** A stale read with a bound on its age reflects everything that ended before that bound. */
  private checkAges(history: readonly Operation[]): void {
    const ended = history
      .filter((operation) => this.isLinearizable(operation))
      .sort((a, b) => a.returnedAt - b.returnedAt)
    for (const operation of history) {
      const freshAt = operation.heard?.[0]?.freshAt ?? null
      const { outcome } = operation
      if (freshAt === null || outcome.kind !== 'answered') continue
      this.figures.boundedReads += 1
      const { revision } = outcome.answer
      const newer = ended.find(({ returnedAt, outcome: one }) => {
        if (returnedAt >= freshAt || one.kind !== 'answered') return false
        return positionOf({ outcome: one }) > revision
      })
      if (newer === undefined) continue
      fail(
        'staleness',
        `is older than what had ended longer ago than the bound: ${describeOperation(newer)}`,
        operation,
      )
    }
  }

  private isLinearizable({ outcome, request }: Operation): boolean {
    if (outcome.kind !== 'answered') return false
    const { answer } = outcome
    // The answers of a retry, and of a write that changed nothing, do not tell their position in the order.
    if (answer.type === 'write')
      return request.type === 'write' && request.command.idempotency === null && changed(answer.result)
    return answer.given === 'linearizable' || (answer.given === 'lease' && this.options.leasesHold)
  }

  /** Assigns removals of the log to removals with an unknown outcome. Removals carry no mark, so equal ones are assigned arbitrarily. */
  private claimRemovals(history: readonly Operation[]): void {
    const claimed = new Set(history.filter(({ request }) => request.type === 'write').map(positionOf))
    for (const { id, outcome, request } of history) {
      if (outcome.kind !== 'unknown' || request.type !== 'write' || markOf(request.command) !== null) continue
      const left = (this.unclaimedRemovals.get(removalOf(request.command)) ?? []).filter((at) => !claimed.has(at))
      const [at] = left
      if (at === undefined) continue
      claimed.add(at)
      this.claimed.set(id, at)
    }
  }

  /** The position of an operation in the log, if the log tells it. */
  private believedPosition(operation: Operation): number {
    const { id, outcome, request, mark } = operation
    const tag = request.type === 'write' ? request.command.idempotency : null
    const named = tag === null ? [] : (this.model.executions.get(tag.key) ?? [])
    const index =
      mark === null
        ? named.find((at) => this.commands.get(at)?.idempotency?.fingerprint === tag?.fingerprint)
        : this.indexesOfMark.get(mark)?.[0]
    if (outcome.kind === 'answered') return index ?? positionTold(operation)
    // An operation that changed nothing and has no answer need not be in the order.
    const result = index === undefined ? undefined : this.model.resultsByIndex.get(index)
    return index !== undefined && result !== undefined && changed(result) ? index : (this.claimed.get(id) ?? Infinity)
  }

  private checkEveryKey(history: readonly Operation[]): void {
    const usable = history.filter(
      ({ outcome, request }) =>
        request.type === 'write' ||
        (outcome.kind === 'answered' &&
          outcome.answer.type !== 'write' &&
          (outcome.answer.given === 'linearizable' || (outcome.answer.given === 'lease' && this.options.leasesHold))),
    )
    const keys = new Set(
      usable.flatMap(({ request }) => (request.type === 'get' ? [request.key] : keyOfWrite(request))),
    )
    this.claimRemovals(history)
    const again = [...this.model.executions.values()].flatMap((indexes) => (indexes.length > 1 ? indexes : []))
    const repeated = again.flatMap((index) => this.commands.get(index) ?? [])
    for (const key of keys) {
      if (repeated.some((command) => changes(command, key))) {
        this.figures.keysForgotten += 1
        continue
      }
      const calls = callsOn(key, usable, (operation) => this.believedPosition(operation))
      const verdict = checkLinearizable(calls, keyModel, this.options.stepsMax)
      if (verdict.kind === 'undecided') this.figures.keysUndecided += 1
      else this.figures.keysChecked += 1
      if (verdict.kind !== 'violation') continue
      const stuck = calls[verdict.stuck]?.input.operation
      const last = verdict.longest.slice(-8).flatMap((position) => {
        const operation = calls[position]?.input.operation
        return operation === undefined ? [] : [describeOperation(operation)]
      })
      throw new Violation(
        'linearizability',
        `no order of the ${calls.length} operations on ${key} explains what clients saw; the longest ends with\n  ${last.join('\n  ')}\n` +
          `and then fits no ${stuck === undefined ? '?' : describeOperation(stuck)}`,
      )
    }
  }
}

function changes(command: Command, key: Key): boolean {
  if (command.type === 'transaction') return [...command.success, ...command.failure].some((one) => concerns(one, key))
  if (command.type !== 'delete-range') return 'key' in command && command.key === key
  return (command.start === null || key >= command.start) && (command.end === null || key < command.end)
}

function keyOfWrite(request: Operation['request']): Key[] {
  if (request.type !== 'write') return []
  const { command } = request
  if (command.type === 'transaction')
    return [...command.success, ...command.failure].flatMap((one) => ('key' in one ? [one.key] : []))
  return command.type === 'delete-range' ? [] : [command.key]
}

function removalOf(command: Command): string {
  return JSON.stringify({ ...command, idempotency: null })
}

/** Whether the answers are the same, apart from a previous value that was forgotten between the two. */
function sameAnswer(a: CommandResult | undefined, b: CommandResult): boolean {
  if (a === undefined || a.type !== b.type) return false
  const isForgotten = [a, b].some((one) => 'previousValueForgotten' in one || 'resultsForgotten' in one)
  return isDeepStrictEqual(plain(isForgotten ? withoutValue(a) : a), plain(isForgotten ? withoutValue(b) : b))
}

function withoutValue(result: CommandResult): CommandResult {
  if (result.type === 'transaction') return { ...result, results: [], resultsForgotten: true }
  if ((result.type !== 'put' && result.type !== 'deleted') || result.previous === null) return result
  const previous = { ...result.previous, value: new Uint8Array(0) }
  return { ...result, previous, previousValueForgotten: true }
}

function changed(result: CommandResult): boolean {
  if (result.type === 'transaction') return changedBy(result.results)
  return result.type === 'put' || ((result.type === 'deleted' || result.type === 'range-deleted') && result.deleted > 0)
}

function positionOf({ outcome }: Pick<Operation, 'outcome'>): number {
  if (outcome.kind !== 'answered') return -1
  const { answer } = outcome
  if (answer.type !== 'write') return answer.revision
  const { result } = answer
  if (result.type === 'transaction') return changedBy(result.results) ? result.revision : -1
  return result.type === 'put' || result.type === 'deleted' || result.type === 'range-deleted' ? result.revision : -1
}

/** Makes buffers comparable as bytes, whatever their class. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return textOf(value)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]))
}

function fail(oracle: string, what: string, operation: Operation): never {
  throw new Violation(oracle, `${describeOperation(operation)}: ${what}`)
}
