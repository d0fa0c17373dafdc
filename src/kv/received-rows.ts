import { limits } from '../limits.ts'
import { decodeAuthTable, type AuthTable } from './auth-table.ts'
import { isTagName } from './command-codec.ts'
import { readU64 } from './integers.ts'
import { decodeIdempotentWrite } from './idempotent-write.ts'
import { latin1Of } from './latin1.ts'
import type { MachineState } from './machine-state.ts'
import { decodeChanges } from './change.ts'
import { rowFromBytes } from './key.ts'
import { decodeOrderedName, type OrderedName } from './ordered-name.ts'
import { ReceivedLeases } from './received-leases.ts'
import { decodeRecord } from './record.ts'
import { keyspaceOf, revisionOfChangesRow, versionOfRow } from './row.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

const ORDER_ROW_BYTES = 9
const SLOT_ROW_BYTES = 6

/**
 * Checks the rows of a state that another node sends, one by one, before they are kept. A machine never has to deal with a row that it did
 * not write itself, so nothing else may come in.
 */
export class ReceivedRows {
  private idempotentWrites = 0
  private changes = 0
  private orders = 0
  private firstOrder = 0
  private lastOrder = -1
  /** By ring: the last place that a remembered write names. */
  private readonly lastKept = new Map<number, number>()
  /** The roles and tokens; null: there are none. */
  private auth: AuthTable | null = null
  private readonly leases = new ReceivedLeases()

  /** Throws `UnreadableStateError` for a row that no machine writes. */
  accept(key: Uint8Array, value: Uint8Array): void {
    switch (keyspaceOf(key)) {
      case 'records':
        checkLength(key.length - 1, limits.keyBytesMax, 'a key')
        this.acceptRecord(value)
        return
      case 'versions':
        checkVersion(key, value)
        return
      case 'changes':
        checkChanges(key, value)
        this.changes += 1
        return
      case 'idempotent-writes':
        this.idempotentWrites += 1
        checkName(nameIn(key, 1))
        decodeIdempotentWrite(value)
        return
      case 'idempotent-write-order':
        this.acceptOrder(key, decodeOrderedName(value))
        return
      case 'kept-values':
        checkName(nameIn(key, 1))
        checkLength(value.length, limits.valueBytesMaxCeiling, 'a kept value')
        return
      case 'kept-value-slots':
        if (key.length !== SLOT_ROW_BYTES)
          throw new UnreadableStateError(
            `the key of a kept-value slot has ${key.length} bytes; it should have ${SLOT_ROW_BYTES}`,
          )
        checkName(nameIn(value, 0))
        return
      case 'leases':
        return this.leases.acceptLease(key, value)
      case 'attachments':
        return this.leases.acceptAttachment(key, value)
      case 'locks':
        return this.leases.acceptLock(key, value)
      case 'lock-waiters':
        return this.leases.acceptWaiter(key, value)
      case 'auth':
        if (key.length > 1) throw new UnreadableStateError('the row of the roles and tokens has a name')
        this.auth = decodeAuthTable(value)
        return
      case null:
        throw new UnreadableStateError(
          `a row begins with ${key[0] ?? 'nothing'}, which is not a keyspace of this build`,
        )
    }
  }

  get authTable(): AuthTable | null {
    return this.auth
  }

  /** To be called after the last row. Throws `UnreadableStateError` when rows are missing that `state` refers to. */
  finish(state: MachineState, idempotentWritesMax: number): void {
    this.finishIdempotentWrites(state, idempotentWritesMax)
    this.finishKeptValues(state)
    this.leases.finish(state.leases)
    if ((this.auth?.revision ?? 0) !== state.auth)
      throw new UnreadableStateError(
        `the state has roles and tokens of revision ${state.auth}; those of revision ${this.auth?.revision ?? 0} arrived`,
      )
    const listed = state.history?.changes ?? 0
    if (this.changes === listed) return
    throw new UnreadableStateError(`the state lists the changes of ${listed} revisions; ${this.changes} arrived`)
  }

  private finishIdempotentWrites({ idempotentFirst, idempotentNext }: MachineState, idempotentWritesMax: number): void {
    const expected = idempotentNext - idempotentFirst
    const isWhole =
      this.idempotentWrites === expected &&
      this.orders === expected &&
      (expected === 0 || (this.firstOrder === idempotentFirst && this.lastOrder === idempotentNext - 1))
    if (isWhole && expected <= idempotentWritesMax) return
    throw new UnreadableStateError(
      `the state has ${expected} idempotent writes from number ${idempotentFirst} on; ${this.idempotentWrites} arrived, with ${this.orders} numbers`,
    )
  }

  private finishKeptValues({ keptValues }: MachineState): void {
    for (const [ring, last] of this.lastKept)
      if (last >= (keptValues[ring] ?? 0))
        throw new UnreadableStateError(
          `a value is kept at place ${last} of ring ${ring}, which the state does not know`,
        )
  }

  private acceptRecord(bytes: Uint8Array): void {
    const { value, lease } = decodeRecord(bytes)
    checkLength(value.length, limits.valueBytesMaxCeiling, 'a value', 0)
    this.leases.onRecord(lease)
  }

  /** Rows ascend, so the first and the last number, with the count, show whether any is missing. */
  private acceptOrder(key: Uint8Array, { name, kept }: OrderedName): void {
    checkName(name)
    if (key.length !== ORDER_ROW_BYTES)
      throw new UnreadableStateError(
        `the number of an idempotent write has ${key.length} bytes; it should have ${ORDER_ROW_BYTES}`,
      )
    const sequence = readU64(key, 1)
    if (this.orders === 0) this.firstOrder = sequence
    this.lastOrder = sequence
    this.orders += 1
    if (kept !== null) this.lastKept.set(kept.ring, Math.max(kept.taken, this.lastKept.get(kept.ring) ?? 0))
  }
}

/** A record that another has taken the place of, or nothing for a deletion. */
function checkVersion(key: Uint8Array, value: Uint8Array): void {
  const version = versionOfRow(rowFromBytes(key))
  if (version === null) throw new UnreadableStateError('the row of a superseded record has no key or no revision')
  checkLength(version.key.length, limits.keyBytesMax, 'a key')
  if (value.length > 0) checkLength(decodeRecord(value).value.length, limits.valueBytesMaxCeiling, 'a value', 0)
}

function checkChanges(key: Uint8Array, value: Uint8Array): void {
  if (revisionOfChangesRow(rowFromBytes(key)) === null) throw new UnreadableStateError('changes have no revision')
  for (const { key: changed } of decodeChanges(value)) checkLength(changed.length, limits.keyBytesMax, 'a key')
}

function nameIn(bytes: Uint8Array, from: number): string {
  return latin1Of(bytes, from, bytes.length)
}

function checkName(name: string): void {
  if (!isTagName(name)) throw new UnreadableStateError('an idempotency key is not visible ASCII, or is too long')
}

function checkLength(length: number, max: number, what: string, min = 1): void {
  if (length < min || length > max)
    throw new UnreadableStateError(`${what} has ${length} bytes; it should have ${min} to ${max}`)
}
