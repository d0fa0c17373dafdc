import type { RowKey } from '../../kv/index.ts'
import { type Deferred, deferred } from '../../lib/deferred.ts'
import { toError } from '../../lib/to-error.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Rows, DirtyRows } from './rows.ts'

export interface RowFetcherOptions {
  /** How many rows may be in flight from the store at once. Their size is unknown before they have arrived. */
  readonly rowsReadMax: number
}

export interface RowFetcherDependencies {
  readonly rows: Rows
  readonly clock: Clock
}

export interface FetchedRow {
  readonly bytes: Uint8Array | null
  /** The row changed between the question and the answer: `bytes` may be the old or the new content. */
  readonly changed: boolean
}

/** Questions of one turn of the event loop. */
interface Turn {
  readonly watch: DirtyRows
  open: number
}

interface Wanted {
  readonly row: RowKey
  readonly turn: Turn
  readonly answer: Deferred<FetchedRow>
}

/**
 * Fetches rows that clients ask for. The rows of one turn are read in one call, as long as they are few. Of many rows, only some are read;
 * the next ones follow once the callers have taken and counted those, or refused them. So values that nobody has room for do not pile up in
 * memory.
 */
export class RowFetcher {
  private readonly rowsOfCall: number
  private readonly deps: RowFetcherDependencies
  /** In the order of the questions. */
  private readonly waiting = new Map<RowKey, Wanted>()
  private turn: Turn | null = null
  private calls = 0
  private isBeginning = false

  constructor(options: RowFetcherOptions, deps: RowFetcherDependencies) {
    this.rowsOfCall = Math.max(1, Math.floor(options.rowsReadMax / limits.rowCallsMax))
    this.deps = deps
  }

  fetch(row: RowKey): Promise<FetchedRow> {
    let wanted = this.waiting.get(row)
    if (wanted === undefined) {
      const turn = (this.turn ??= { watch: this.deps.rows.watch(), open: 0 })
      turn.open += 1
      wanted = { row, turn, answer: deferred() }
      this.waiting.set(row, wanted)
      this.beginSoon()
    }
    return wanted.answer.promise
  }

  private beginSoon(): void {
    if (this.isBeginning) return
    this.isBeginning = true
    this.deps.clock.nextTurn(() => {
      this.isBeginning = false
      this.turn = null
      while (this.waiting.size > 0 && this.calls < limits.rowCallsMax) void this.read(this.take())
    })
  }

  private take(): Wanted[] {
    const taken: Wanted[] = []
    for (const wanted of this.waiting.values()) {
      if (taken.length === this.rowsOfCall) break
      this.waiting.delete(wanted.row)
      taken.push(wanted)
    }
    return taken
  }

  /** Never rejects: a failure is an answer too. */
  private async read(wanted: readonly Wanted[]): Promise<void> {
    this.calls += 1
    try {
      const values = await this.deps.rows.fetch(wanted.map(({ row }) => row))
      for (const [at, { row, turn, answer }] of wanted.entries()) {
        const changed = turn.watch.all || turn.watch.rows.has(row)
        answer.resolve({ bytes: values[at] ?? null, changed })
      }
    } catch (error) {
      const failure = toError(error)
      for (const { answer } of wanted) answer.reject(failure)
    }
    this.calls -= 1
    for (const { turn } of wanted) this.left(turn)
    if (this.waiting.size > 0) this.beginSoon()
  }

  private left(turn: Turn): void {
    turn.open -= 1
    if (turn.open > 0) return
    this.deps.rows.unwatch(turn.watch)
    // A question that comes later in this same turn needs a watch that has not ended.
    if (this.turn === turn) this.turn = null
  }
}
