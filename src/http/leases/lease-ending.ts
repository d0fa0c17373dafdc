import type { AnswerContext } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'

/** What one entry has done about a lease that ends; null: there is no such lease any more. */
export interface EndingStep {
  readonly ending: { readonly revision: number; readonly deleted: number; readonly isDone: boolean } | null
  readonly context: AnswerContext
}

/** Proposes step `step` of the end of a lease. Throws the failure of the request when the first step is refused. */
export type EndStep = (step: number, timeoutMs: number) => Promise<EndingStep>

export interface LeaseEnded {
  readonly revision: number
  readonly deleted: number
  readonly context: AnswerContext
}

/**
 * Ends a lease as a whole. One with many keys ends in several entries. From the first one on nobody can stop that: if this request does not
 * finish it, the leader does.
 */
export async function endLease(step: EndStep, timeoutMs: number, now: () => number): Promise<LeaseEnded> {
  const deadline = now() + timeoutMs
  let revision = 0
  let deleted = 0
  let reflects: AnswerContext | null = null
  const unfinished = (why: string): RequestError =>
    new RequestError(
      'deletion-unfinished',
      `the lease is over: ${deleted} of its keys are deleted, and the leader deletes the rest; ${why}`,
      { deleted, revision },
      reflects,
    )
  for (let at = 0; ; at++) {
    const leftMs = deadline - now()
    if (leftMs <= 0 && at > 0) throw unfinished('the time was up for this request')
    try {
      const { ending, context } = await step(at, Math.max(1, leftMs))
      reflects = context
      // The leader has deleted the rest. At the revision that this step found, all of it is gone.
      if (ending === null) return { revision: context.revision, deleted, context }
      revision = ending.revision
      deleted += ending.deleted
      if (ending.isDone) return { revision, deleted, context }
    } catch (error) {
      // Whatever came of this step, the lease has been over since the first one.
      throw at > 0 && error instanceof RequestError ? unfinished(error.message) : error
    }
  }
}
