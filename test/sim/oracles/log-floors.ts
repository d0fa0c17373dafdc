import type { Operation } from '../history/operation.ts'
import type { TimesOfLog } from './entry-times.ts'
import { isUnique, type ExecutedLog } from './executed-log.ts'

interface Floor {
  readonly index: number
  readonly at: number
}

/**
 * Up to which entry the log was executed, at the least, wherever something was answered: what changes no record, such as a lease, has no
 * revision that tells it.
 */
export class LogFloors {
  private readonly log: ExecutedLog
  private readonly times: TimesOfLog
  /** In the order of their times, each with the largest index until then. */
  private readonly floors: Floor[] = []

  constructor(log: ExecutedLog, times: TimesOfLog, history: readonly Operation[]) {
    this.log = log
    this.times = times
    const told = history.flatMap((operation) => {
      const index = this.indexTold(operation)
      return index === null ? [] : [{ index, at: operation.returnedAt }]
    })
    for (const one of told.sort((a, b) => a.at - b.at)) this.push(one)
  }

  /** The index of an entry that is executed in each state that shows all that was answered before `time`; -1: of none. */
  before(time: number): number {
    let [low, high] = [0, this.floors.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.floors[middle]?.at ?? Infinity) < time) low = middle + 1
      else high = middle
    }
    return this.floors[low - 1]?.index ?? -1
  }

  private push({ index, at }: Floor): void {
    const latest = this.floors.at(-1)?.index ?? -1
    if (index > latest) this.floors.push({ index, at })
  }

  /** The entry that was executed before the write was answered; null: it tells none. */
  private indexTold({ outcome, request, invokedAt, returnedAt }: Operation): number | null {
    if (request.type !== 'write' || outcome.kind !== 'answered' || outcome.answer.type !== 'write') return null
    const { result } = outcome.answer
    // The lock has come with this entry, after a wait perhaps.
    if (result.type === 'lock-acquired') return result.token
    const indexes = this.log.indexesOf(request.command)
    if (isUnique(request.command)) return indexes.length === 0 ? null : Math.min(...indexes)
    // Of equal commands it is one that was committed meanwhile.
    const found = indexes.find((index) => {
      const at = this.times.committedAt(index)
      return at >= invokedAt && at <= returnedAt
    })
    return found ?? null
  }
}
