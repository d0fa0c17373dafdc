import type { Command, CommandResult, KvMachineOptions } from '../../../src/kv/index.ts'
import { resultsBytes } from './transaction-model.ts'

interface FirstResult {
  readonly fingerprint: number
  readonly result: CommandResult
  /** Its previous value, or its results, are kept separately from the answer, and therefore only for some time. */
  readonly valueApart: boolean
}
type PreviousResult = Extract<CommandResult, { type: 'put' | 'deleted' }>
type Options = Pick<KvMachineOptions, 'idempotentWritesMax' | 'keptValues'>

/** The first answers to writes that their clients named. */
export class NamedWritesModel {
  /** For each name, the indexes at which a command was executed under it for the first time. */
  readonly executions = new Map<string, number[]>()
  private readonly options: Options
  private readonly keyed = new Map<string, FirstResult>()
  /** Writes whose large previous value is there. */
  private readonly values = new Set<FirstResult>()
  /** For each size class: the latest writes with such a value, whether they are remembered or not, oldest first. */
  private readonly kept: FirstResult[][]

  constructor(options: Options) {
    this.options = options
    this.kept = options.keptValues.rings.map(() => [])
  }

  /** The names whose first answer is remembered, oldest first. */
  rememberedKeys(): string[] {
    return [...this.keyed.keys()]
  }

  once(command: Command, index: number, perform: () => CommandResult): CommandResult {
    const { key, fingerprint } = command.idempotency ?? { key: '', fingerprint: 0 }
    const first = this.keyed.get(key)
    if (first !== undefined && first.fingerprint !== fingerprint) return { type: 'key-reused' }
    // What a renewal says is about the present.
    if (first !== undefined) return command.type === 'lease-renew' ? perform() : this.again(first)
    const result = perform()
    this.executions.set(key, [...(this.executions.get(key) ?? []), index])
    if (this.keyed.size === this.options.idempotentWritesMax) {
      for (const [oldest, write] of this.keyed) {
        this.keyed.delete(oldest)
        this.values.delete(write)
        break
      }
    }
    const bytes = bulkBytes(result)
    const valueApart = bytes > this.options.keptValues.inlineBytesMax
    const write = { fingerprint, result, valueApart }
    if (valueApart) this.keep(write, bytes)
    this.keyed.set(key, write)
    return result
  }

  private keep(write: FirstResult, bytes: number): void {
    const { rings } = this.options.keptValues
    const at = rings.findIndex(({ valueBytesMax }) => valueBytesMax >= bytes)
    const writes = this.kept[at]
    if (writes === undefined) return
    const oldest = writes.length === rings[at]?.slots ? writes.shift() : undefined
    if (oldest !== undefined) this.values.delete(oldest)
    writes.push(write)
    this.values.add(write)
  }

  private again(write: FirstResult): CommandResult {
    const { result, valueApart } = write
    if (!valueApart || this.values.has(write)) return result
    if (result.type === 'transaction') return { ...result, results: [], resultsForgotten: true }
    const first = result as PreviousResult
    if (first.previous === null) return first
    return { ...first, previous: { ...first.previous, value: new Uint8Array(0) }, previousValueForgotten: true }
  }
}

/** How large the part of an answer is that can be large. */
function bulkBytes(result: CommandResult): number {
  if (result.type === 'transaction') return resultsBytes(result.results)
  return result.type === 'put' || result.type === 'deleted' ? (result.previous?.value.length ?? 0) : 0
}
