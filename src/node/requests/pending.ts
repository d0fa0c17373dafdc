import type { Caller } from '../../api/services.ts'
import type { CommandResult } from '../../kv/index.ts'
import type { RequestError } from '../../lib/errors.ts'
import type { ForwardRequest } from '../../ports/transport.ts'
import type { LeaderId } from '../../raft/index.ts'
import type { WriteTimes } from './write-times.ts'

/** A write that has no answer yet. */
export interface Pending {
  readonly number: number
  command: Uint8Array
  readonly since: number
  readonly deadline: number
  caller: Caller | null
  readonly isUpkeep: boolean
  readonly isOnlyHere: boolean
  /** Hardly any others waited when it came. */
  readonly isAmongFew: boolean
  resolve: (result: CommandResult) => void
  reject: (error: RequestError) => void
  /** The batch that the command travels in; null while it waits for a leader, or when its last batch is known to be lost. */
  batch: Batch | null
}

/** Commands that were proposed together, under one ballot. */
export interface Batch {
  readonly batchId: number
  readonly leaderId: LeaderId
  /** Null when this node itself led: then nothing is forwarded, and nothing has to be sent again. Null as well once it was let go of. */
  request: ForwardRequest | null
  /** The commands without an answer. */
  readonly open: Set<Pending>
  readonly times: WriteTimes | null
  sentAt: number
}

const NO_COMMAND = new Uint8Array(0)

/**
 * Lets go of all that a write was taken with. V8 keeps what was deleted from a `Map` or a `Set` that others are added to all the time, up to the
 * next collection of the whole heap (docs/internals/performance.md): without this each write would keep its request, its answer, and what
 * was forwarded with it.
 */
export function release(pending: Pending): void {
  pending.command = NO_COMMAND
  pending.caller = null
  pending.resolve = ignore
  pending.reject = ignore
  pending.batch = null
}

function ignore(): void {}

/** A forwarded batch is kept as it was sent, even if some of its commands are answered by now: it has to arrive as a whole. */
export function bytesKeptFor({ request }: Batch): number {
  return request === null ? 0 : request.body.length
}
