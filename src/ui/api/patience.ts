import { UnreachableError } from './problem.ts'

export interface PatienceOptions {
  /** For each part of the answer: until its head is there, and from then on to its end. Undefined: as long as it takes. */
  readonly timeoutMs: number | undefined
  /** Of whoever asks. */
  readonly signal: AbortSignal | undefined
  /** The request asks for a change. */
  readonly isChange: boolean
}

/** How long an answer is waited for. A connection that dies in the middle of one says nothing. */
export class Patience {
  /** Ends the request. */
  readonly signal: AbortSignal
  private readonly options: PatienceOptions
  private readonly late = new AbortController()

  constructor(options: PatienceOptions) {
    const { signal } = options
    this.options = options
    this.signal = AbortSignal.any([this.late.signal, ...(signal === undefined ? [] : [signal])])
  }

  /** Gives what one part of the answer gives. Throws an UnreachableError when it fails, as `failed` says, or takes too long; and the reason of the signal. */
  async forPart<Value>(failed: string, part: () => Promise<Value>): Promise<Value> {
    const { timeoutMs, signal, isChange } = this.options
    const timer = timeoutMs === undefined ? null : setTimeout(() => this.late.abort(), timeoutMs)
    try {
      return await part()
    } catch (error) {
      signal?.throwIfAborted()
      const why = this.late.signal.aborted ? `there was no answer within ${(timeoutMs ?? 0) / 1000} s` : failed
      throw new UnreachableError(why, { cause: error, isChange })
    } finally {
      if (timer !== null) clearTimeout(timer)
    }
  }
}
