import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Services } from '../../api/services.ts'
import type { Operation, ResultOf, TransactionCommand } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'
import { refusalFor, refusalOf, tagged } from '../keys/writes.ts'
import type { AnswerRoom } from '../protocol/answer-room.ts'
import { answerHeaders, sendJson } from '../protocol/answer.ts'
import { callerOf } from '../protocol/api-response.ts'
import { mistakesIn } from '../protocol/body-issues.ts'
import { refuseConditions } from '../protocol/preconditions.ts'
import { sendProblem } from '../protocol/problem.ts'
import { leaderQuery } from '../protocol/queries.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import { transactionJson } from './transaction-answer.ts'
import { transactionFrom } from './transaction-body.ts'

/** The requests on several keys at once. */
export class TransactionRequests {
  private readonly services: Services
  private readonly room: AnswerRoom

  constructor(services: Services, room: AnswerRoom) {
    this.services = services
    this.room = room
  }

  async run(queryText: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { timeout, redirect } = leaderQuery.read(queryText)
    const { headers, body } = request
    refuseConditions(headers)
    const { cluster, keys, valueBytesMax } = this.services
    const asked = transactionFrom(body, mistakesIn(request.validationError), valueBytesMax)
    const transaction = tagged(asked, request, keys)
    if (redirect && redirectToLeader(cluster, request, reply)) return
    // Once the records arrive they can no longer be refused, so they have room before the command is executed.
    const bytesMax = readBytesMax(transaction, valueBytesMax)
    const room = bytesMax === 0 ? null : await this.room.reserveInTurn(bytesMax, timeout)
    try {
      const { result, context } = await keys.execute(transaction, room?.leftMs ?? timeout, callerOf(reply))
      const answer = answerHeaders(context)
      if (result.type === 'transaction') sendJson(reply, answer, transactionJson(transaction, result))
      else sendProblem(reply.headers(answer), refusalFor(transaction, refusalOfTransaction(result)))
    } finally {
      room?.give()
    }
  }
}

/** How many bytes of records the answer may hold. */
function readBytesMax({ success, failure }: TransactionCommand, valueBytesMax: number): number {
  const bytesOf = (branch: readonly Operation[]): number =>
    branch.reduce((bytes, operation) => bytes + bytesReadBy(operation, valueBytesMax), 0)
  return Math.min(limits.transaction.readBytesMax, Math.max(bytesOf(success), bytesOf(failure)))
}

function bytesReadBy(operation: Operation, valueBytesMax: number): number {
  switch (operation.type) {
    case 'get':
      return valueBytesMax
    case 'put':
    case 'delete':
      return operation.wantsPrevious ? valueBytesMax : 0
    case 'delete-range':
      return 0
    case 'list':
      return limits.transaction.listBytesMax + (operation.keysOnly ? 0 : valueBytesMax)
  }
}

type Refusal = Exclude<ResultOf<TransactionCommand>, { type: 'transaction' }>

function refusalOfTransaction(result: Refusal): RequestError {
  switch (result.type) {
    case 'key-reused':
    case 'lease-not-found':
    case 'too-many-attached-keys':
      return refusalOf(result)
    case 'range-too-large': {
      const { limit, found } = result
      const detail =
        `the ranges that the transaction deletes hold ${found} keys at least, and one change removes at most ${limit}; nothing was done: ` +
        'name smaller ranges'
      return new RequestError('range-too-large', detail, { limit, found })
    }
    case 'transaction-too-large': {
      const { limitBytes } = result
      const detail =
        `the records that the transaction names or lists have more than ${limitBytes / 1024 ** 2} MiB together; nothing was done: ` +
        'name or list fewer of them'
      return new RequestError('transaction-too-large', detail, { limitBytes })
    }
  }
}
