import { encodeCommand, type Command, type CommandResult, type Key } from '../../../src/kv/index.ts'
import { commandEntryBytes, commandEntryInto } from '../../../src/node/codec/entry.ts'
import { logIndex, nodeId, term } from '../../../src/raft/index.ts'
import type { Answer, ClientCommand } from '../../../src/checker/operation.ts'
import type { Heard, Operation } from '../history/operation.ts'
import { Ledger } from '../machines/ledger.ts'
import { HistoryCheck } from './history.ts'

/* Logs and histories for the tests of the oracles. */

export const PLENTY = { revisions: 1_000, ageMs: 1_000, bytes: 1_000_000 }

export const A = 'a' as Key
/** The id of the lease of a lock, without the index of the entry that has asked for it. */
export const LOCK_LEASES = 3_000_000_000_000_000
export const leaderId = { term: term(1), nodeId: nodeId(1) }
export const OPTIONS = {
  machine: {
    idempotentWritesMax: 10,
    keptValues: { inlineBytesMax: 1000, rings: [] },
    rangeDeleteKeysMax: 10,
    transaction: { readBytesMax: 1_000, listBytesMax: 100 },
    leases: { leasesMax: 20, attachedKeysMax: 30, endKeysMax: 3, endBytesMax: 200 },
    history: { rangeBytesMax: 1_000, stepRevisionsMax: 10, stepRecordsMax: 20, stepBytesMax: 1_000 },
  },
  leasesHold: true,
  stepsMax: 1_000,
}

/** A cluster that has committed `commands`, the first at index 0. */
export function committed(...commands: Command[]): Ledger {
  return committedAs((index) => index, commands)
}

/** The same. `numberOf`: the number of the request behind the entry at an index. */
export function committedAs(numberOf: (index: number) => number, commands: readonly Command[]): Ledger {
  const ledger = new Ledger('c1')
  for (const [index, command] of commands.entries()) {
    const bytes = encodeCommand(command)
    const body = Buffer.alloc(commandEntryBytes(bytes.length))
    commandEntryInto(body, 0, { node: nodeId(1), nonce: 1 }, numberOf(index), bytes)
    const first = logIndex(index)
    const before = index === 0 ? null : { leaderId, index: logIndex(index - 1) }
    ledger.write({ leaderId, first, last: first, body, membershipCount: 0 }, before)
    ledger.commit({ leaderId, index: first }, leaderId)
  }
  return ledger
}

export function put(value: string, name: string | null = null): ClientCommand {
  const idempotency = name === null ? null : { key: name, fingerprint: 1 }
  return { type: 'put', key: A, value: Buffer.from(value), condition: null, wantsPrevious: false, idempotency }
}

export function removal(name: string): ClientCommand {
  return { type: 'delete', key: A, condition: null, wantsPrevious: false, idempotency: { key: name, fingerprint: 1 } }
}

export function wrote(result: CommandResult): Answer {
  return { type: 'write', result, revision: 0 }
}

export function heard(answer: Answer, clusterId = 'c1', freshAt: number | null = null): Heard {
  return { answer, clusterId, freshAt }
}

export function operation(id: number, request: Operation['request'], ...answers: Heard[]): Operation {
  const [first] = answers
  const mark =
    request.type === 'write' && request.command.type === 'put'
      ? Buffer.from(request.command.value).toString('latin1')
      : null
  return {
    id,
    client: 1,
    request,
    invokedAt: id * 10,
    returnedAt: first === undefined ? Infinity : id * 10 + 5,
    outcome: first === undefined ? { kind: 'unknown', code: 'silent' } : { kind: 'answered', answer: first.answer },
    heard: answers,
    mark,
  }
}

export function problem(ledger: Ledger, ...history: Operation[]): string | null {
  try {
    new HistoryCheck(OPTIONS, ledger).check(history)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

export const RAISE: Command = { type: 'raise-level', level: 1, version: '1', retention: PLENTY, idempotency: null }
