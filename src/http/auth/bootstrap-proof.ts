import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { ClusterControl } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'
import { toError } from '../../lib/to-error.ts'
import { limits } from '../../limits.ts'

export interface BootstrapOptions {
  /** The text of the file of `--auth-bootstrap-file`, read anew; null: there is no such file. Rejects when it cannot be read. */
  readonly secret: () => Promise<string | null>
}

/** The names by which a client on this machine calls it. A web page whose host name was made to lead here sends that name. */
const LOCAL_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i
const LOCAL_ORIGIN = /^https?:\/\/(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i
const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|::1|::ffff:127(?:\.\d{1,3}){3})$/
const PROXY_HEADERS = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'] as const

/**
 * Refuses whoever may not make the first token: it comes from the leader's own machine, or knows the secret that this node was given. Throws
 * `RequestError`.
 */
export async function requireProof(
  { secret: own }: BootstrapOptions,
  cluster: ClusterControl,
  request: FastifyRequest,
  given: string | undefined,
): Promise<void> {
  if (given === undefined) return requireThisMachine(cluster, request)
  const mistake = await mistakeIn(given, own)
  if (mistake === null) return
  // Whoever guesses is not told where the secret lies.
  request.auditedAs = { refused: mistake }
  throw refused('the secret is not accepted; the log of this node says why')
}

/** Why the secret of a client is not that of this node; null: it is. */
async function mistakeIn(given: string, own: BootstrapOptions['secret']): Promise<string | null> {
  const min = limits.auth.bootstrapSecretBytesMin
  let expected: string | null
  try {
    expected = await own()
  } catch (error) {
    return `the file of --auth-bootstrap-file cannot be read: ${toError(error).message}`
  }
  if (expected === null) return 'this node was started without --auth-bootstrap-file, so it knows no secret'
  if (expected.length < min) return `the file of --auth-bootstrap-file holds fewer than ${min} characters`
  const isIt = timingSafeEqual(digestOf(expected), digestOf(given))
  return isIt ? null : 'the secret is not the one in the file of --auth-bootstrap-file'
}

function requireThisMachine(cluster: ClusterControl, { ip, headers }: FastifyRequest): void {
  const { host = '', origin } = headers
  const proxy = PROXY_HEADERS.find((name) => headers[name] !== undefined)
  if (!LOOPBACK.test(ip)) throw refused(`it came from ${ip}, and not from a loopback address`)
  if (proxy !== undefined) throw refused(`it came through a proxy, which has added the header ${proxy}`)
  if (!LOCAL_HOST.test(host))
    throw refused('its Host is neither localhost nor a loopback address: name the node so, as in http://127.0.0.1:7000')
  if (origin !== undefined && !LOCAL_ORIGIN.test(origin)) throw refused('it came from a web page of another host')
  const leader = cluster.leader()
  // The request would wait for the leader, whose machine may be another.
  if (leader === null) {
    const detail =
      'there is no leader at present, so nobody knows on which machine the first token is made; nothing was changed'
    throw new RequestError('no-leader', detail, { leader: null })
  }
  if (leader.id === cluster.id) return
  throw refused(`this node is not the leader, which is node ${leader.id} at ${leader.api}`)
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function refused(reason: string): RequestError {
  return new RequestError(
    'forbidden',
    `the first token is made on the machine of the leader, by a loopback address, or with the secret in a file (--auth-bootstrap-file): ${reason}`,
  )
}
