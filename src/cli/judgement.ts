import { excerptOf, type Excerpt } from '../checker/excerpt.ts'
import { callsOn, keyModel, positionTold, type KeyCall } from '../checker/key-model.ts'
import { checkLinearizable, type Call, type Verdict } from '../checker/linearizability.ts'
import { describeOperation, type Operation } from '../checker/operation.ts'
import type { Key } from '../kv/index.ts'
import { limits } from '../limits.ts'

/** What of a history no order explains. */
export interface Offence {
  readonly key: string
  /** The operations that show it, a line each. */
  readonly lines: readonly string[]
  /** That of the lines which fits nowhere. */
  readonly culprit: string
  readonly leftOut: number
  /** Without the reads under a leader's lease there is an order. */
  readonly onlyLease: boolean
}

type Violation = Extract<Verdict, { kind: 'violation' }>

const longestShownMax = 6

interface NodeCount {
  readonly origin: string
  answered: number
}

/** Judges one round of operations after the other, and keeps nothing of a round but its counts. */
export class Judgement {
  operations = 0
  answered = 0
  unknown = 0
  failed = 0
  keys = 0
  offence: Offence | null = null
  private undecided = 0
  private reads = 0
  private readonly origins: readonly string[]
  private readonly counts: readonly NodeCount[]

  /** `origins`: the node of each client. */
  constructor(origins: readonly string[]) {
    this.origins = origins
    this.counts = [...new Set(origins)].map((origin) => ({ origin, answered: 0 }))
  }

  get nodes(): readonly Readonly<NodeCount>[] {
    return this.counts
  }

  /** Nodes that answered nothing. */
  get mute(): readonly string[] {
    return this.counts.filter(({ answered }) => answered === 0).map(({ origin }) => origin)
  }

  /** Why there is no verdict; null when there is one. */
  get reason(): string | null {
    if (this.offence !== null) return null
    if (this.reads === 0 || this.answered === this.reads) {
      return `of ${this.operations} operations no ${this.reads === 0 ? 'read' : 'write'} was answered`
    }
    if (this.undecided === 0) return null
    return `for ${this.undecided} of ${this.keys} keys the search was given up: too many operations had an unknown outcome`
  }

  judge(operations: readonly Operation[]): void {
    for (const operation of operations) this.count(operation)
    const keys = new Set(operations.flatMap(keyOf))
    for (const key of keys) {
      this.keys += 1
      const calls = callsOn(key, operations, positionTold)
      const verdict = checkLinearizable(calls, keyModel, limits.checkStepsMax)
      if (verdict.kind === 'undecided') this.undecided += 1
      if (verdict.kind === 'violation') this.offence ??= this.offenceOn(key, calls, verdict)
    }
  }

  private count({ client, outcome, request }: Operation): void {
    this.operations += 1
    this[outcome.kind] += 1
    if (outcome.kind !== 'answered') return
    if (request.type === 'get') this.reads += 1
    const node = this.counts.find(({ origin }) => origin === this.origins[client])
    if (node !== undefined) node.answered += 1
  }

  private offenceOn(key: Key, calls: readonly Call<KeyCall>[], verdict: Violation): Offence {
    const { operations, culprit, leftOut } = excerptOf(calls) ?? endOf(calls, verdict)
    const from = Math.min(...operations.map(({ invokedAt }) => invokedAt))
    const lineOf = (operation: Operation): string => {
      const { invokedAt, returnedAt } = operation
      const shown = { ...operation, invokedAt: invokedAt - from, returnedAt: returnedAt - from }
      return `${describeOperation(shown)}, by ${this.origins[operation.client] ?? ''}`
    }
    const firm = calls.filter(({ input }) => !isLeaseRead(input.operation))
    return {
      key,
      lines: operations.map(lineOf),
      culprit: culprit === null ? '' : lineOf(culprit),
      leftOut,
      onlyLease: checkLinearizable(firm, keyModel, limits.checkStepsMax).kind === 'linearizable',
    }
  }
}

/** The end of the longest order, and the call that does not fit after it. */
function endOf(calls: readonly Call<KeyCall>[], { longest, stuck }: Violation): Excerpt {
  const shown = [...longest.slice(-longestShownMax), stuck].flatMap((at) => calls[at] ?? [])
  const operations = shown.map(({ input }) => input.operation)
  return { operations, culprit: operations.at(-1) ?? null, leftOut: calls.length - operations.length }
}

function keyOf({ request }: Operation): Key[] {
  if (request.type === 'get') return [request.key]
  return request.type === 'write' && 'key' in request.command ? [request.command.key] : []
}

function isLeaseRead({ request }: Operation): boolean {
  return request.type === 'get' && request.consistency === 'lease'
}
