import {
  decodeCommand,
  encodeCommand,
  type Command,
  type CommandResult,
  type Key,
  type KvMachineOptions,
} from '../../../src/kv/index.ts'
import { entriesOf, type CommandEntry } from '../../../src/node/codec/entry.ts'
import { needsLevel1, ReferenceModel } from '../../kv/support/reference-model.ts'
import { markOf } from '../../kv/support/transaction-model.ts'
import { textOf } from '../../../src/checker/operation.ts'
import type { Ledger } from '../machines/ledger.ts'
import { Violation } from '../world/violation.ts'

/** From this number on the entries of a leader that ends leases are numbered, and no client's (src/node/leases/lessor.ts). */
const LEADER_ENTRIES = 2 ** 47

/** The committed log of one cluster, executed by the second model. */
export class ExecutedLog {
  readonly model: ReferenceModel
  readonly commands = new Map<number, Command>()
  private readonly indexes = new Map<string, number[]>()
  private readonly byLeader = new Set<number>()
  /** The keys that each entry has changed; null: not asked for yet. */
  private changedAt: ReadonlyMap<number, ReadonlySet<Key>> | null = null

  constructor(options: KvMachineOptions, ledger: Ledger | null) {
    this.model = new ReferenceModel(options)
    for (const { logId, bytes } of ledger?.committed ?? []) {
      const batch = { leaderId: logId.leaderId, first: logId.index, last: logId.index, body: bytes, membershipCount: 0 }
      for (const entry of entriesOf(batch)) if (entry.kind === 'command') this.take(entry, logId.index)
    }
  }

  /** Whether no request is behind the command at `index`: a leader has proposed it because the time of a lease is over. */
  isByLeader(index: number): boolean {
    return this.byLeader.has(index)
  }

  /** Whether there were ever roles and tokens. */
  get hasTokens(): boolean {
    return this.model.auth.versions.length > 1
  }

  /** Where `command` is in the log. Of commands that nothing tells apart, where any of them is. */
  indexesOf(command: Command): readonly number[] {
    return this.indexes.get(signOf(command)) ?? []
  }

  /** What `command` has come to, for each time that it is in the log. */
  resultsOf(command: Command): CommandResult[] {
    return this.indexesOf(command).flatMap((index) => this.model.resultsByIndex.get(index) ?? [])
  }

  /** Whether the entry at `index` has done nothing for want of a right. */
  isRefused(index: number): boolean {
    const result = this.model.resultsByIndex.get(index)?.type
    return result === 'unauthenticated' || result === 'forbidden'
  }

  /**
   * Whether the command at `first` was refused since it came without a token, and is at `next` under one: a node that did not know its client's
   * token yet proposes a command once more.
   */
  isAnew(first: number, next: number): boolean {
    const isEarly = this.commands.get(first)?.token === undefined && this.commands.get(next)?.token !== undefined
    return isEarly && this.model.resultsByIndex.get(first)?.type === 'unauthenticated'
  }

  /** Whether the entry at `index` has changed `key`. */
  hasChanged(index: number, key: Key): boolean {
    this.changedAt ??= new Map(
      this.model.entries.map(({ revision, changes }) => [revision, new Set(changes.map((change) => change.key))]),
    )
    return this.changedAt.get(index)?.has(key) === true
  }

  /** Whether the name of a write was forgotten after very many later ones, so that the write was executed more than once. */
  isForgotten(name: string): boolean {
    return (this.model.executions.get(name)?.length ?? 0) > 1
  }

  private take({ command, requestNumber }: CommandEntry, index: number): void {
    if (requestNumber >= LEADER_ENTRIES) this.byLeader.add(index)
    this.execute(decodeCommand(command), index)
  }

  private execute(command: Command, index: number): void {
    if (needsLevel1(command) && this.model.stateAt(index).level === 0)
      throw new Violation('feature-level', `a ${command.type} is in the log at ${index}, before its level is raised`)
    this.model.execute(command, index)
    this.commands.set(index, command)
    const sign = signOf(command)
    const indexes = this.indexes.get(sign)
    if (indexes === undefined) this.indexes.set(sign, [index])
    else indexes.push(index)
  }
}

/** Whether no other operation proposes the same command: it writes a value of its own, has a name, or names an owner or a secret of its own. */
export function isUnique(command: Command): boolean {
  if (command.type === 'lock-acquire' || command.type === 'token-create') return true
  return markOf(command) !== null || command.idempotency !== null
}

/** What tells a command from others, whoever has asked for it. */
function signOf(command: Command): string {
  // The node has added the time.
  if (command.type === 'token-create') return `secret ${command.created.hash}`
  const mark = markOf(command)
  // Half of a change of an import begins with the same value as the whole.
  const count = command.type === 'transaction' ? command.success.length : 1
  if (mark !== null) return `mark ${mark} of ${count}`
  const { idempotency } = command
  if (idempotency !== null) return `name ${idempotency.key} ${idempotency.fingerprint}`
  return textOf(encodeCommand(withoutToken(command)))
}

export function withoutToken(command: Command): Command {
  const { token: _, ...rest } = command
  return rest
}
