import type { TransactionAnswer, TransactionBody, TransactionOperation } from './api-types.ts'
import { ResultsForgottenError } from './errors.ts'
import type { Compare, Operation, OutcomesOf } from './operations.ts'
import type { WriteOptions } from './options.ts'

type Operations = readonly Operation<unknown>[]

/** What a transaction has done. `succeeded`: every comparison held, and the operations of `do` were carried out; otherwise those of `else`. */
export type TransactionResult<Do extends Operations, Else extends Operations> =
  | { readonly succeeded: true; readonly revision: number; readonly results: OutcomesOf<Do> }
  | { readonly succeeded: false; readonly revision: number; readonly results: OutcomesOf<Else> }

/** @internal */
export type Commit = (body: TransactionBody, options: WriteOptions) => Promise<TransactionAnswer>

/**
 * A transaction that is being put together: `if` comparisons hold, `do` these operations, `else` those, as one change with one
 * revision. Each call gives a new builder and leaves this one as it is. (There is no `then`: an object that has one is taken for
 * a promise.)
 */
export interface Transaction<Do extends Operations = readonly [], Else extends Operations = readonly []> {
  /** Adds comparisons. All of them have to hold; without any, they do. */
  if(...compares: readonly Compare[]): Transaction<Do, Else>
  /** Adds operations for when the comparisons hold. */
  do<More extends Operations>(...operations: More): Transaction<readonly [...Do, ...More], Else>
  /** Adds operations for when they do not. */
  else<More extends Operations>(...operations: More): Transaction<Do, readonly [...Else, ...More]>
  /** Carries it out. Rejects with `ResultsForgottenError` when it took effect, but a retry came too late for its results. */
  commit(options?: WriteOptions): Promise<TransactionResult<Do, Else>>
}

interface Parts<Do extends Operations, Else extends Operations> {
  readonly compares: readonly Compare[]
  readonly success: Do
  readonly failure: Else
}

/** @internal */
export class TransactionBuilder<Do extends Operations, Else extends Operations> implements Transaction<Do, Else> {
  private readonly parts: Parts<Do, Else>
  private readonly send: Commit

  constructor(parts: Parts<Do, Else>, send: Commit) {
    this.parts = parts
    this.send = send
  }

  if(...compares: readonly Compare[]): Transaction<Do, Else> {
    return new TransactionBuilder({ ...this.parts, compares: [...this.parts.compares, ...compares] }, this.send)
  }

  do<More extends Operations>(...operations: More): Transaction<readonly [...Do, ...More], Else> {
    return new TransactionBuilder({ ...this.parts, success: [...this.parts.success, ...operations] }, this.send)
  }

  else<More extends Operations>(...operations: More): Transaction<Do, readonly [...Else, ...More]> {
    return new TransactionBuilder({ ...this.parts, failure: [...this.parts.failure, ...operations] }, this.send)
  }

  async commit(options: WriteOptions = {}): Promise<TransactionResult<Do, Else>> {
    const { compares, success, failure } = this.parts
    const bodies = (operations: Operations): TransactionOperation[] => operations.map(({ body }) => body)
    const body = { compare: compares, success: bodies(success), failure: bodies(failure) }
    const { succeeded, revision, results, resultsForgotten } = await this.send(body, options)
    if (resultsForgotten === true) throw new ResultsForgottenError(succeeded, revision)
    const outcomes = (succeeded ? success : failure).map((operation, at) => {
      const view = results[at]
      if (view === undefined) throw new TypeError('the answer has fewer results than the transaction has operations')
      return operation.outcomeFrom(view)
    })
    // Each operation has read its own outcome; the compiler cannot follow that through a list.
    return { succeeded, revision, results: outcomes } as TransactionResult<Do, Else>
  }
}
