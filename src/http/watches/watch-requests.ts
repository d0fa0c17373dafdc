import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Services } from '../../api/services.ts'
import { limits } from '../../limits.ts'
import { negotiate } from '../protocol/accept.ts'
import { answerHeaders, NDJSON_TYPE } from '../protocol/answer.ts'
import { callerOf } from '../protocol/api-response.ts'
import { refuseConditions } from '../protocol/preconditions.ts'
import { redirectToLeader } from '../protocol/redirect.ts'
import { EVENTS_TYPE, jsonLines, serverSentEvents } from './event-format.ts'
import { EventTexts } from './event-texts.ts'
import { watchOptions } from './queries.ts'
import { WatchStream } from './watch-stream.ts'
import type { WatchStreams } from './watch-streams.ts'

/** The requests to watch keys. */
export class WatchRequests {
  private readonly services: Services
  private readonly streams: WatchStreams
  private readonly texts = new EventTexts(limits.watchTextsBytesMax)

  constructor(services: Services, streams: WatchStreams) {
    this.services = services
    this.streams = streams
  }

  async watch(queryText: string, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { headers } = request
    const { options, redirects } = watchOptions(queryText, headers)
    refuseConditions(headers)
    if (redirects && redirectToLeader(this.services.cluster, request, reply)) return reply
    const format = negotiate(headers.accept, [EVENTS_TYPE, NDJSON_TYPE]) === NDJSON_TYPE ? jsonLines : serverSentEvents
    const caller = callerOf(reply)
    const { keys, wantsPrevious } = options
    const guard = request.access.guard([
      typeof keys === 'string' ? { access: 'read', key: keys } : { access: 'read', range: keys },
    ])
    const watch = await this.services.watches.open({ ...options, guard, ...(caller === undefined ? {} : { caller }) })
    const stream = new WatchStream({ format, wantsPrevious }, watch, this.texts)
    this.streams.add(stream, { format, guard, response: reply.raw })
    const answer = {
      ...answerHeaders(watch.context),
      'content-type': format.mediaType,
      'cache-control': 'no-store',
      // Asks a proxy in front of the node to pass each event on at once.
      'x-accel-buffering': 'no',
    }
    void reply.headers(answer).send(stream)
    // The client learns that the watch has begun, even if nothing happens for long.
    if (!reply.raw.headersSent) reply.raw.flushHeaders()
    return reply
  }
}
