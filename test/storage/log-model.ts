import type { HardState, LogContents, LogStore, LogWrite } from '../../src/ports/log-store.ts'
import type { LogId } from '../../src/raft/index.ts'
import { describeEntries, index } from '../contract/entries.ts'

/** The expected contents of a log: an array and nothing clever. */
export class LogModel {
  hardState: HardState = {
    vote: { leaderId: { term: 0, nodeId: 0 }, committed: false },
    clusterId: null,
  } as unknown as HardState
  purged: LogId | null = null
  /** The term of each entry after `purged`. */
  terms: number[] = []

  get first(): number {
    return (this.purged?.index ?? -1) + 1
  }

  get last(): number {
    return this.first + this.terms.length - 1
  }

  copy(): LogModel {
    const copy = new LogModel()
    copy.hardState = this.hardState
    copy.purged = this.purged
    copy.terms = [...this.terms]
    return copy
  }

  apply(write: LogWrite): void {
    switch (write.type) {
      case 'hard-state':
        this.hardState = write.state
        return
      case 'append':
        for (let at: number = write.batch.first; at <= write.batch.last; at++)
          this.terms.push(write.batch.leaderId.term)
        return
      case 'truncate':
        this.terms.length = Math.min(this.terms.length, write.from - this.first)
        return
      case 'reset':
        this.purged = write.purged
        this.terms = []
        return
      case 'purge':
        this.terms = this.terms.slice(write.purged.index - this.first + 1)
        this.purged = write.purged
        return
    }
  }

  /** This model after each of `writes`, one after the other, beginning with none of them. */
  steps(writes: readonly LogWrite[]): LogModel[] {
    const steps = [this.copy()]
    for (const write of writes) {
      const next = steps.at(-1)?.copy() ?? new LogModel()
      next.apply(write)
      steps.push(next)
    }
    return steps
  }

  describe(): string {
    const { vote, clusterId } = this.hardState
    return [
      `vote ${vote.leaderId.term}/${vote.leaderId.nodeId}${vote.committed ? '!' : ''} ${clusterId ?? '-'}`,
      `purged ${this.purged === null ? '-' : `${this.purged.leaderId.term}@${this.purged.index}`}`,
      ...this.terms.map((term, i) => `${term}@${this.first + i}`),
    ].join(' ')
  }
}

/** The contents of `store`, in the form of `LogModel.describe`, after a check that its reports agree with each other. */
export async function describeLog(store: LogStore, contents: LogContents): Promise<string> {
  const { purged, last, runs, sizes } = contents
  const first = (purged?.index ?? -1) + 1
  const batches = last === null || last.index < first ? [] : await store.read(index(first), last.index, Infinity)
  if (batches === null) throw new Error(`entries ${first} to ${last?.index} cannot be read`)
  const entries = describeEntries(batches)
  const lastIndex = last?.index ?? -1
  if (entries.length !== lastIndex - first + 1)
    throw new Error(`${entries.length} entries from ${first} to ${lastIndex}`)
  const fromRuns = entries.map(
    (_, i) => `${runs.findLast((run) => run.first <= first + i)?.leaderId.term}@${first + i}`,
  )
  if (fromRuns.join() !== entries.join()) throw new Error(`the runs say ${fromRuns.join()}`)
  if (entries.length > 0 && runs[0]?.first !== first) throw new Error(`the first run begins at ${runs[0]?.first}`)
  const bytes = batches.reduce((sum, { body }) => sum + body.length, 0)
  const told = sizes.reduce((sum, size) => sum + size.bytes, 0)
  if (bytes !== told) throw new Error(`${bytes} bytes, and the sizes say ${told}`)
  if (entries.length > 0 && sizes.at(-1)?.last !== lastIndex) throw new Error('the sizes do not reach the end')
  const model = new LogModel()
  model.hardState = contents.hardState
  model.purged = purged
  return [model.describe(), ...entries].join(' ')
}
