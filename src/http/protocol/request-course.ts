import { StageSums, type Step } from '../../lib/stages.ts'
import type { ApiRequest } from './api-request.ts'
import type { ApiResponse } from './api-response.ts'

interface Exchange {
  readonly request: ApiRequest
  readonly response: ApiResponse
}

/** A request, or a step of one, that may have been slow. */
export interface Timed extends Exchange {
  /** The status of its answer; null while that is not decided, or was sent before. */
  readonly status: number | null
  /** The entry of its last write, if that is known. */
  readonly index: number | null
  readonly sums: StageSums
}

/** Decides what is slow. Only what took at least `thresholdMs` has to be judged. */
export interface CourseJudge {
  readonly thresholdMs: number
  readonly now: () => number
  judge(timed: Timed): void
}

/**
 * The course of a request from its turn on its connection to the beginning of its answer. The rest is the pace of the client.
 *
 * A request whose body is a stream takes as long as its client wants, and so does an answer that is one: of these, each step is looked at for
 * itself.
 */
export class RequestCourse {
  private readonly exchange: Exchange
  private readonly judge: CourseJudge
  private readonly startedAt: number
  /** The last step, which is looked at when it matters. */
  private step: Step | null = null
  private number: number | undefined
  /** The steps before it; null: there are none. */
  private sums: StageSums | null = null
  private isAnswered = false

  constructor(exchange: Exchange, judge: CourseJudge, startedAt: number) {
    this.exchange = exchange
    this.judge = judge
    this.startedAt = startedAt
  }

  onStep(step: Step, since: number, number?: number): void {
    if (this.isAnswered || this.exchange.request.isStreamed) return this.onSingleStep(step, since, number)
    // Requests of one step, which are nearly all, pay for no sums.
    if (this.step !== null) this.sums = this.sumsUpTo(since)
    this.step = step
    this.number = number
  }

  onAnswer(status: number, now: number): void {
    if (this.isAnswered) return
    this.isAnswered = true
    if (this.exchange.request.isStreamed || now - this.startedAt < this.judge.thresholdMs) return
    const sums = this.sumsUpTo(now)
    sums.add([{ stage: 'answer', at: now }], now)
    this.judge.judge({ ...this.exchange, status, index: this.number ?? null, sums })
  }

  private onSingleStep(step: Step, since: number, number?: number): void {
    const now = this.judge.now()
    if (now - since < this.judge.thresholdMs) return
    const sums = new StageSums(since)
    sums.add(step.ends(number), now)
    this.judge.judge({ ...this.exchange, status: null, index: number ?? null, sums })
  }

  /** `now`: a moment before which the last step was over. */
  private sumsUpTo(now: number): StageSums {
    const sums = this.sums ?? this.sumsOfBody(now)
    if (this.step !== null) sums.add(this.step.ends(this.number), now)
    return sums
  }

  private sumsOfBody(now: number): StageSums {
    const sums = new StageSums(this.startedAt)
    const { bodyAt } = this.exchange.request
    if (bodyAt > 0) sums.add([{ stage: 'body', at: bodyAt }], now)
    return sums
  }
}
