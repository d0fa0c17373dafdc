import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { ClusterControl } from '../../api/services.ts'
import { RequestError } from '../../lib/errors.ts'
import { limits } from '../../limits.ts'

export interface BootstrapOptions {
  /** The text of the file of `--auth-bootstrap-file`, read anew; null: there is no such file. Rejects when it cannot be read. */
  readonly secret: () => Promise<string | null>
}

const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|::1|::ffff:127(?:\.\d{1,3}){3})$/
const PROXY_HEADERS = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'] as const

/**
 * Refuses whoever may not make the first token: it comes from the leader's own machine, or knows the secret that this node was given. Throws
 * `RequestError`.
 */
export async function requireProof(
  { secret: own }: BootstrapOptions,
  cluster: ClusterControl,
  { ip, headers }: FastifyRequest,
  given: string | undefined,
): Promise<void> {
  if (given !== undefined) {
    const expected = await own().catch((error: Error) => {
      throw refused(`the file of --auth-bootstrap-file cannot be read: ${error.message}`)
    })
    if (expected === null) throw refused('this node was started without --auth-bootstrap-file, so it knows no secret')
    if (expected.length < limits.auth.bootstrapSecretBytesMin)
      throw refused(
        `the file of --auth-bootstrap-file holds fewer than ${limits.auth.bootstrapSecretBytesMin} characters`,
      )
    if (timingSafeEqual(digestOf(expected), digestOf(given))) return
    throw refused('the secret is not the one in the file of --auth-bootstrap-file')
  }
  const proxy = PROXY_HEADERS.find((name) => headers[name] !== undefined)
  if (!LOOPBACK.test(ip)) throw refused(`it came from ${ip}, and not from a loopback address`)
  if (proxy !== undefined) throw refused(`it came through a proxy, which has added the header ${proxy}`)
  const leader = cluster.leader()
  if (leader === null || leader.id === cluster.id) return
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
