import { setTimeout as pause } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ImportAnswer } from '../../api/keys.ts'
import type { AnswerContext, Caller, Services } from '../../api/services.ts'
import { limits } from '../../limits.ts'
import { answerHeaders, sendJson } from '../protocol/answer.ts'
import { ApiRequest } from '../protocol/api-request.ts'
import { callerOf } from '../protocol/api-response.ts'
import { isReadableText, unsupportedMediaType } from '../protocol/failures.ts'
import { idempotencyKey, refuseConditions } from '../protocol/preconditions.ts'
import { leaderQuery } from '../protocol/queries.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import { StreamSlots } from '../protocol/stream-slots.ts'
import { Import } from './import.ts'
import { ImportSender, type ImportSenderOptions } from './import-sender.ts'
import { ImportWrites } from './import-writes.ts'

export interface ImportOptions extends ImportSenderOptions {
  /** Imports at once. */
  readonly max: number
}

export const importDefaults: ImportSenderOptions = {
  silenceMsMax: limits.importSilenceMsMax,
  sentBytesMin: limits.importSentBytesMin,
  slowMsMax: limits.importSlowMsMax,
}

/** Requests that write the records that they stream. */
export class ImportRequests {
  private readonly options: ImportOptions
  private readonly services: Services
  private readonly now: () => number
  private readonly slots: StreamSlots

  /** `now`: monotonic milliseconds. */
  constructor(options: ImportOptions, services: Services, now: () => number) {
    this.options = options
    this.services = services
    this.now = now
    this.slots = new StreamSlots(options.max, 'imports')
  }

  async run(queryText: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { timeout: timeoutMs, redirect } = leaderQuery.read(queryText)
    const { headers, raw } = request
    // Fastify asks for the type only where there is a body.
    if (headers['content-type'] === undefined || !isReadableText(request)) throw unsupportedMediaType(request)
    refuseConditions(headers)
    // A name that cannot be one is refused before anything is read.
    idempotencyKey(headers)
    const { cluster, keys, valueBytesMax } = this.services
    if (redirect && redirectToLeader(cluster, request, reply)) return
    const slot = this.slots.take()
    if (raw instanceof ApiRequest) raw.stream()
    const sender = new ImportSender(this.options, raw, this.now)
    try {
      const caller = callerOf(reply)
      const time = { now: this.now, pause }
      const writes = new ImportWrites(keys, { asker: request, timeoutMs, caller }, time, () => sender.stop())
      const { imported, revision, leasesDropped, context } = await new Import(valueBytesMax, sender, writes).run()
      const answer = context === null ? await this.present(timeoutMs, request, caller) : { ...context, revision }
      const body: ImportAnswer = { imported, revision: answer.revision, leasesDropped }
      sendJson(reply, answerHeaders(answer), JSON.stringify(body))
    } finally {
      sender.leave()
      slot.release()
    }
  }

  /** What an answer that has changed nothing reflects. */
  private async present(
    timeoutMs: number,
    { access }: FastifyRequest,
    caller: Caller | undefined,
  ): Promise<AnswerContext> {
    const guard = access.guard([{ access: 'write', any: true }])
    const options = { consistency: 'linearizable', minRevision: null, maxStalenessMs: null, timeoutMs, guard } as const
    const everything = { start: null, end: null, after: null, reverse: false }
    const scan = await this.services.keys.scan(everything, caller === undefined ? options : { ...options, caller })
    await scan.close()
    return scan.context
  }
}
