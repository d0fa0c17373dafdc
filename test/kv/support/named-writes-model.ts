import type { CommandResult, IdempotencyTag, KvMachineOptions } from '../../../src/kv/index.ts'
import { resultsBytes } from './transaction-model.ts'

type FirstResult = { readonly fingerprint: number; readonly result: CommandResult; readonly valueApart: boolean }
type PreviousResult = Extract<CommandResult, { type: 'put' | 'deleted' }>
type Options = Pick<KvMachineOptions, 'idempotentWritesMax' | 'keptValues'>

/** The first answers to writes that their clients named. */
export class NamedWritesModel {
  /** For each name, the indexes at which a command was executed under it for the first time. */
  readonly executions = new Map<string, number[]>()
  private readonly options: Options
  private readonly keyed = new Map<string, FirstResult>()
  /** Large previous values of named writes. For each size class: the names of the latest such writes, oldest first. */
  private readonly values = new Set<string>()
  private readonly kept: string[][]

  constructor(options: Options) {
    this.options = options
    this.kept = options.keptValues.rings.map(() => [])
  }

  /** The names whose first answer is remembered, oldest first. */
  rememberedKeys(): string[] {
    return [...this.keyed.keys()]
  }

  once({ key, fingerprint }: IdempotencyTag, index: number, perform: () => CommandResult): CommandResult {
    const first = this.keyed.get(key)
    if (first !== undefined) return first.fingerprint === fingerprint ? this.again(key, first) : { type: 'key-reused' }
    const result = perform()
    this.executions.set(key, [...(this.executions.get(key) ?? []), index])
    this.keyed.set(key, { fingerprint, result, valueApart: this.keepValue(key, result) })
    if (this.keyed.size > this.options.idempotentWritesMax) {
      for (const oldest of this.keyed.keys()) {
        this.keyed.delete(oldest)
        break
      }
    }
    return result
  }

  /** Whether the previous value is kept separately from its answer, and therefore only for some time. */
  private keepValue(name: string, result: CommandResult): boolean {
    const value = result.type === 'put' || result.type === 'deleted' ? result.previous?.value : undefined
    const bytes = result.type === 'transaction' ? resultsBytes(result.results) : value?.length
    const { inlineBytesMax, rings } = this.options.keptValues
    if (bytes === undefined || bytes <= inlineBytesMax) return false
    const at = rings.findIndex(({ valueBytesMax }) => valueBytesMax >= bytes)
    const names = this.kept[at]
    if (names === undefined) return true
    const oldest = names.length === rings[at]?.slots ? names.shift() : undefined
    if (oldest !== undefined) this.values.delete(oldest)
    names.push(name)
    this.values.add(name)
    return true
  }

  private again(name: string, { result, valueApart }: FirstResult): CommandResult {
    if (!valueApart) return result
    if (this.values.has(name)) return result
    if (result.type === 'transaction') return { ...result, results: [], resultsForgotten: true }
    const first = result as PreviousResult
    if (first.previous === null) return first
    return { ...first, previous: { ...first.previous, value: new Uint8Array(0) }, previousValueForgotten: true }
  }
}
