import type { IncomingMessage } from 'node:http'
import { failures } from '../../lib/errors.ts'
import { Histogram } from '../../lib/histogram.ts'
import type { AllowedMethods } from './allowed-methods.ts'
import type { Operation } from './operation.ts'
import { pathOf } from './path.ts'

/** Stands for what asks for no operation: a file of a page, a path or a method that does not exist, bytes that are no request. */
const NO_OPERATION = 'none'

/** Upper bounds of durations. */
const SECONDS: readonly number[] = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10]

/** The statuses of answers when nothing has failed. 206 and 302 are for files of pages. */
const SUCCESSES: readonly number[] = [200, 201, 202, 204, 206, 302, 304, 307]

/** Every status that is counted by itself. */
const statuses: readonly number[] = [
  ...new Set([...SUCCESSES, ...Object.values(failures).map(({ status }) => status)]),
].sort((a, b) => a - b)

/** The place of each status in an array of counts. All others share the first place. */
const placeOf = new Uint8Array(600)
for (const [at, status] of statuses.entries()) placeOf[status] = at + 1

/** The answers to the requests for one operation. */
export class OperationCounts {
  readonly operation: string
  /** From a request's turn on its connection to the head of its answer. Requests that were refused before their turn have none. */
  readonly seconds = new Histogram(SECONDS)
  private readonly answers = new Float64Array(statuses.length + 1)
  private readonly expected: ReadonlySet<number>

  /** `expected`: statuses that are shown before the first such answer, so that its coming can be seen. */
  constructor(operation: string, expected: readonly number[]) {
    this.operation = operation
    this.expected = new Set(expected)
  }

  /** Runs for each request: it makes no objects. */
  onAnswer(status: number, seconds: number | null): void {
    const place = placeOf[status] ?? 0
    this.answers[place] = (this.answers[place] ?? 0) + 1
    if (seconds !== null) this.seconds.record(seconds)
  }

  /** How many answers had each status; `other` for what is none of the known ones. */
  *byCode(): Iterable<readonly [code: string, answers: number]> {
    for (const [place, answers] of this.answers.entries()) {
      const status = statuses[place - 1]
      if (answers > 0 || (status !== undefined && this.expected.has(status)))
        yield [status === undefined ? 'other' : String(status), answers]
    }
  }
}

/** A response, and the operation that its request asks for: null when it is none, undefined when no route was looked for. */
interface Answering {
  readonly req: IncomingMessage
  readonly operation: Operation | null | undefined
}

/**
 * Counts every answer of the API by operation and status: those of requests that were refused before any route saw them, and of what could not
 * be read as a request, as well. Names come from the operations and the table of failures, so whatever clients send, there are no more of them.
 */
export class RequestCounts {
  private readonly routes: AllowedMethods
  private readonly known = new Map<Operation, OperationCounts>()
  private readonly none = new OperationCounts(NO_OPERATION, [])

  constructor(routes: AllowedMethods) {
    this.routes = routes
  }

  /** The head of an answer was made. `seconds` null: its request was refused before its turn. */
  onAnswer({ req, operation }: Answering, status: number, seconds: number | null): void {
    const found = operation === undefined ? this.operationOf(req) : operation
    this.countsOf(found).onAnswer(status, seconds)
  }

  /** An answer was sent on a connection on which no request was read. */
  onUnread(status: number): void {
    this.none.onAnswer(status, null)
  }

  /** Of every operation that has a route, and at the end of what asks for none. */
  all(): readonly OperationCounts[] {
    return [...[...this.routes.operations()].map((operation) => this.countsOf(operation)), this.none]
  }

  private operationOf({ method = '', url = '' }: IncomingMessage): Operation | null {
    return this.routes.routeOf(method, pathOf(url))?.operation ?? null
  }

  private countsOf(operation: Operation | null): OperationCounts {
    if (operation === null) return this.none
    const known = this.known.get(operation)
    if (known !== undefined) return known
    const counts = new OperationCounts(operation.id, Object.keys(operation.answers).map(Number))
    this.known.set(operation, counts)
    return counts
  }
}
