import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { RequestError } from '../../lib/errors.ts'
import { isSafeMethod } from './safe-method.ts'

/** What a page of an allowed origin may send and read beyond what every page may. */
const REQUEST_HEADERS =
  'authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, traceparent, tracestate'
const ANSWER_HEADERS = [
  'allow',
  'content-disposition',
  'etag',
  'location',
  'quorate-consistency',
  'quorate-create-revision',
  'quorate-leader',
  'quorate-lease',
  'quorate-mod-revision',
  'quorate-revision',
  'quorate-served-by',
  'quorate-snapshot-index',
  'quorate-snapshot-node',
  'quorate-snapshot-term',
  'quorate-version',
  'retry-after',
  'www-authenticate',
].join(', ')
const METHODS = 'GET, HEAD, PUT, POST, PATCH, DELETE'
const PREFLIGHT_SECONDS = 600

/**
 * Keeps pages of other web sites from changing anything. A browser that can reach a node sends it whatever any page asks for,
 * and names the origin of the page in `Origin`; clients that are not browsers send none. Pages that the node serves itself are
 * allowed, and so are those of the origins that were named, which get the answers that browsers ask for (CORS).
 */
export function guardAgainstOtherSites(app: FastifyInstance, named: readonly string[]): void {
  const allowed = new Set(named)
  app.addHook('onRequest', (request, reply, done) => {
    const { origin } = request.headers
    const isNamed = origin !== undefined && allowed.has(origin)
    if (isNamed) {
      void reply.headers({
        'access-control-allow-origin': origin,
        'access-control-expose-headers': ANSWER_HEADERS,
        vary: 'origin',
      })
      if (isPreflight(request)) return void sendPreflight(reply)
    } else if (!isSafeMethod(request.method)) refuseOthers(request.raw)
    done()
  })
}

function isPreflight({ method, headers }: FastifyRequest): boolean {
  return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined
}

function sendPreflight(reply: FastifyReply): FastifyReply {
  return reply
    .code(204)
    .headers({
      'access-control-allow-methods': METHODS,
      'access-control-allow-headers': REQUEST_HEADERS,
      'access-control-max-age': PREFLIGHT_SECONDS,
    })
    .send()
}

function refuseOthers({ headers }: IncomingMessage): void {
  const { origin, host } = headers
  if (origin !== undefined) {
    if (isOwn(origin, host)) return refuseForms(headers)
    throw new RequestError(
      'forbidden',
      `a web page of ${JSON.stringify(origin.slice(0, 300))} may not change anything at ${JSON.stringify(host ?? '')}: ` +
        'to allow it, name its origin with --api-origins',
    )
  }
  const site = headers['sec-fetch-site']
  if (site === 'cross-site' || site === 'same-site') {
    throw new RequestError(
      'forbidden',
      `a web page of another site (Sec-Fetch-Site: ${site}) may not change anything here`,
    )
  }
  refuseForms(headers)
}

/** Refuses what a form or a `no-cors` fetch sends: a page of the node never sends it. */
function refuseForms(headers: IncomingMessage['headers']): void {
  const mode = headers['sec-fetch-mode']
  if (mode !== 'navigate' && mode !== 'no-cors') return
  throw new RequestError('forbidden', `a form of a web page (Sec-Fetch-Mode: ${mode}) may not change anything here`)
}

/** Whether the page comes from the host that its request goes to. The default port may be left out on either side. */
function isOwn(origin: string, host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(origin)) return false
  const page = new URL(origin)
  if (page.protocol !== 'http:' && page.protocol !== 'https:') return false
  const target = `${page.protocol}//${host}`
  return URL.canParse(target) && new URL(target).host === page.host
}
