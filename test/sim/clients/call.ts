import { RequestError, StorageError, failures } from '../../../src/lib/errors.ts'
import type { NodeServices } from '../../../src/node/node.ts'
import type { Machine } from '../machines/machine.ts'
import type { SimProcess } from '../world/process.ts'
import { Violation } from '../world/violation.ts'
import type { World } from '../world/world.ts'

export type CallOutcome<T> =
  | { readonly kind: 'answered'; readonly value: T }
  /** The request reached no node. */
  | { readonly kind: 'refused'; readonly code: string }
  /** The node answers that the request failed. `ambiguous`: the request may have taken effect nevertheless. */
  | { readonly kind: 'failed'; readonly code: string; readonly ambiguous: boolean; readonly retryable: boolean }
  /** There is no answer: the process died, or it took too long. */
  | { readonly kind: 'silent'; readonly code: string }

export interface CallOptions {
  readonly delayMs: number
  readonly timeoutMs: number
  /** Probability that an answer is lost. */
  readonly lostProbability: number
}

/** Sends a request to a node as a client does, over a network of its own, and waits for the answer. */
export function callNode<T>(
  world: World,
  machine: Machine,
  options: CallOptions,
  run: (services: NodeServices, process: SimProcess) => Promise<T>,
): Promise<CallOutcome<T>> {
  return new Promise((resolve) => {
    const delay = (): number => 0.05 + world.random.exponential(options.delayMs)
    const answer = (outcome: CallOutcome<T>): void => {
      if (world.random.chance(options.lostProbability)) return
      world.after(delay(), () => resolve(outcome))
    }
    world.after(options.timeoutMs, () => resolve({ kind: 'silent', code: 'client-timeout' }))
    world.after(delay(), () => {
      const { process } = machine
      if (process === null || machine.services === null) return resolve({ kind: 'refused', code: 'connection-refused' })
      process.whenEnded(() => world.after(delay(), () => resolve({ kind: 'silent', code: 'connection-reset' })))
      process.deliver('request', () => {
        const { services } = machine
        if (services === null) return answer({ kind: 'refused', code: 'connection-refused' })
        attempt(() => run(services, process)).then(
          (value) => {
            if (process.alive) answer({ kind: 'answered', value })
          },
          (error: unknown) => {
            if (error instanceof Violation) return world.fail(error)
            const failed = failureOf(error)
            if (failed.kind === 'unexpected' && process.alive) {
              world.fail(new Violation('answers', `${machine.name} rejects with ${failed.text}`))
            }
            answer(failed.kind === 'unexpected' ? { kind: 'silent', code: 'unexpected' } : failed)
          },
        )
      })
    })
  })
}

/** Whether the request may have taken effect, though nothing says so. */
export function isAmbiguous(outcome: CallOutcome<unknown>): boolean {
  return outcome.kind === 'silent' || (outcome.kind === 'failed' && outcome.ambiguous)
}

/** Turns a synchronous throw into a rejection. */
async function attempt<T>(run: () => Promise<T>): Promise<T> {
  return run()
}

function failureOf(
  error: unknown,
): Extract<CallOutcome<never>, { kind: 'failed' }> | { kind: 'unexpected'; text: string } {
  // The HTTP front answers "internal error", and the node is about to stop.
  if (error instanceof StorageError) return { kind: 'failed', code: 'internal', ambiguous: true, retryable: false }
  if (!(error instanceof RequestError)) {
    return { kind: 'unexpected', text: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
  const { ambiguous, retryable } = failures[error.code]
  return { kind: 'failed', code: error.code, ambiguous, retryable }
}
