import type { KeyValueAccess } from '../../../src/api/services.ts'
import type { Command, PutCommand, TransactionCommand } from '../../../src/kv/index.ts'
import { failures, RequestError } from '../../../src/lib/errors.ts'
import { describeOperation, type Request, type WriteResult } from '../../../src/checker/operation.ts'
import { markOf } from '../../kv/support/transaction-model.ts'
import type { Operation } from '../history/operation.ts'
import type { Machine } from '../machines/machine.ts'
import { ServiceCall } from '../oracles/service-call.ts'
import type { SimProcess } from '../world/process.ts'
import type { World } from '../world/world.ts'

type ChunkCommand = PutCommand | TransactionCommand
type Writes = Pick<KeyValueAccess, 'execute' | 'level'>

/** One change of an import, with all attempts at it. */
interface Chunk {
  readonly operation: Operation
  underWay: number
  /** An attempt has ended whose effect nobody knows. */
  isUncertain: boolean
}

export interface ChunkWritesOptions {
  readonly client: number
  readonly history: Operation[]
  /** The hash of the secret with which it is asked; null: without one. Undefined in a run without tokens. */
  readonly secret: string | null | undefined
  readonly electionTimeoutMsMax: number
}

/** The node that writes the changes of an import. */
export interface ChunkWriter {
  readonly machine: Machine
  readonly process: SimProcess
  readonly keys: Writes
}

/**
 * The changes of one import as operations, so that they are checked like the writes of other clients. A retry of the import asks for the same
 * changes again, so its attempts belong to the same operations.
 */
export class ChunkWrites {
  private readonly world: World
  private readonly options: ChunkWritesOptions
  private readonly chunks = new Map<string, Chunk>()

  constructor(world: World, options: ChunkWritesOptions) {
    this.world = world
    this.options = options
  }

  /** Writes through a node, and writes down what comes of it. */
  through(writer: ChunkWriter): Writes {
    return {
      // As the node sees it when the import comes, which gives the fingerprints: another one, or later the same, may see another level.
      level: writer.keys.level,
      execute: (command, timeoutMs, caller) =>
        this.watched(writer, chunkOf(command), () => writer.keys.execute(command, timeoutMs, caller)),
    }
  }

  private async watched<Outcome extends { readonly result: WriteResult; readonly context: { revision: number } }>(
    { machine, process }: ChunkWriter,
    command: ChunkCommand,
    execute: () => Promise<Outcome>,
  ): Promise<Outcome> {
    const { secret, electionTimeoutMsMax } = this.options
    const request = { type: 'write', command } as const
    const chunk = this.begin(command, request)
    const called = { request, secret, electionTimeoutMsMax }
    const watched = new ServiceCall(called, { machine, process, world: this.world })
    const from = this.world.now()
    try {
      const outcome = await execute()
      if (process.alive) {
        watched.answered()
        const { result, context } = outcome
        this.answered(chunk, { result, revision: context.revision, clusterId: machine.clusterId, from })
      }
      return outcome
    } catch (error) {
      if (process.alive) {
        watched.failed(error)
        this.failed(chunk, error, { clusterId: machine.clusterId, from })
      }
      throw error
    }
  }

  private begin(command: ChunkCommand, request: Request): Chunk {
    const { client, history, secret } = this.options
    const mark = markOf(command)
    const count = command.type === 'put' ? 1 : command.success.length
    const name = `${count} from ${mark}`
    const known = this.chunks.get(name)
    if (known !== undefined) {
      known.underWay += 1
      if (known.operation.outcome.kind === 'failed') {
        known.operation.outcome = { kind: 'unknown', code: 'unfinished' }
        known.operation.returnedAt = Infinity
      }
      return known
    }
    const operation: Operation = {
      id: history.length,
      client,
      request,
      invokedAt: this.world.now(),
      returnedAt: Infinity,
      outcome: { kind: 'unknown', code: 'unfinished' },
      mark,
      ...(secret === undefined ? {} : { secret }),
    }
    history.push(operation)
    const chunk = { operation, underWay: 1, isUncertain: false }
    this.chunks.set(name, chunk)
    return chunk
  }

  private answered(
    chunk: Chunk,
    heard: {
      readonly result: WriteResult
      readonly revision: number
      readonly clusterId: string
      readonly from: number
    },
  ): void {
    const { operation } = chunk
    const { result, revision, clusterId, from } = heard
    const to = this.world.now()
    const answer = { type: 'write', result, revision } as const
    operation.heard = [...(operation.heard ?? []), { answer, clusterId, freshAt: null, span: { from, to } }]
    chunk.underWay -= 1
    if (operation.outcome.kind === 'answered') return
    operation.outcome = { kind: 'answered', answer }
    operation.returnedAt = to
    this.note(operation)
  }

  private failed(
    chunk: Chunk,
    error: unknown,
    { clusterId, from }: { readonly clusterId: string; readonly from: number },
  ): void {
    const { operation } = chunk
    const to = this.world.now()
    const { code, message } = error instanceof RequestError ? error : new RequestError('internal', String(error))
    chunk.underWay -= 1
    chunk.isUncertain ||= failures[code].ambiguous
    const isDenial = code === 'unauthenticated' || code === 'forbidden'
    if (isDenial && operation.secret !== undefined)
      operation.denials = [...(operation.denials ?? []), { clusterId, span: { from, to }, code, message }]
    if (operation.outcome.kind === 'answered') return
    if (chunk.isUncertain || chunk.underWay > 0) operation.outcome = { kind: 'unknown', code }
    else {
      operation.outcome = { kind: 'failed', code }
      operation.returnedAt = to
    }
    this.note(operation)
  }

  private note(operation: Operation): void {
    if (this.world.isTracing) this.world.note(`c${this.options.client}`, describeOperation(operation))
  }
}

function chunkOf(command: Command): ChunkCommand {
  if (command.type !== 'put' && command.type !== 'transaction') throw new Error('an import puts records')
  return command
}
