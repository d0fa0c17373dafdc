import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'

/** Why a request moves on to the next server: the server said so, nothing was sent to it, or the connection broke before the answer. */
export type ElsewhereReason =
  { readonly kind: 'answered'; readonly code: string } | { readonly kind: 'refused' | 'broken' }

/** What every request takes. */
export interface RequestOptions {
  /** Aborting it ends the request, which rejects with the signal's reason. A write that was under way may take effect all the same. */
  readonly signal?: AbortSignal | undefined
  /**
   * How long the request may take, over all attempts on all servers together. Absent: the client's. A server is told, and its answer is
   * waited for up to 2 s longer.
   */
  readonly timeoutMs?: number | undefined
}

/** What every write takes. */
export interface WriteOptions extends RequestOptions {
  /**
   * Names the write: 1 to 128 visible ASCII characters. The same write under the same name takes effect once, whoever sends it.
   * Absent: a name that no other write has. Every attempt of one call carries the same name.
   */
  readonly idempotencyKey?: string | undefined
}

export type ReadConsistency = 'linearizable' | 'lease' | 'stale'

/** What every read takes. */
export interface ReadOptions extends RequestOptions {
  /** What the read sees. Absent: `linearizable`, every write that was acknowledged before it began. */
  readonly consistency?: ReadConsistency | undefined
  /** Wait until the server has reached this revision. */
  readonly minRevision?: number | undefined
  /** `stale` only: how old what is read may be. */
  readonly maxStalenessMs?: number | undefined
  /** Read as things were at this revision. Rejects with `CompactedError` when that history is gone. */
  readonly revision?: number | undefined
}

/** What is trusted and shown where servers speak https. Each is PEM: the text or the bytes of such a file, not its path. */
export interface TlsOptions {
  /** The CAs that are trusted. Absent: those of the system. */
  readonly ca?: string | Uint8Array | undefined
  /** The certificate of the client, for servers that demand one, and its private key. */
  readonly cert?: string | Uint8Array | undefined
  readonly key?: string | Uint8Array | undefined
  /**
   * False: whoever answers is believed. For a server on this machine whose process is known.
   *
   * @internal
   */
  readonly verify?: boolean
}

export interface ClientOptions {
  /** The API of one or more nodes, `http://host:port` or `https://host:port`. The first one is asked first. */
  readonly servers: readonly (string | URL)[]
  /** How long a request may take, over all attempts on all servers together. Absent: 10 s. */
  readonly timeoutMs?: number | undefined
  /**
   * Whether a request that was not served is sent again, to the next server or to the same, until its time is up. Absent: true.
   * A write is sent again only when that is safe: nothing was done, or it carries an idempotency key. A watch goes on in any case.
   */
  readonly retry?: boolean | undefined
  /** Whether requests go to the leader where it can be reached, which saves a hop and takes work off the other nodes. Absent: false. */
  readonly preferLeader?: boolean | undefined
  /** For servers that speak https. Absent: the CAs of the system are trusted, and no certificate is shown. */
  readonly tls?: TlsOptions | undefined
  /**
   * The secret of a token, for a cluster that wants one: `quorate_...`. A function is asked before each request, so that a token can be exchanged
   * while the client runs. Servers that do not speak https get it in clear.
   */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** Called whenever a request is sent again, with the reason. */
  readonly onElsewhere?: ((reason: ElsewhereReason) => void) | undefined
}

/**
 * The same, checked and complete.
 *
 * @internal
 */
export interface ClientSettings {
  readonly servers: readonly URL[]
  readonly timeoutMs: number
  readonly retry: boolean
  readonly preferLeader: boolean
  readonly tls: TlsOptions
  /** Null: without a token. */
  readonly token: (() => string | Promise<string>) | null
  readonly onElsewhere: (reason: ElsewhereReason) => void
}

/**
 * Throws `TypeError` when an option is of no use.
 *
 * @internal
 */
export function settingsFrom(options: ClientOptions): ClientSettings {
  if (options.servers.length === 0) throw new TypeError('servers is empty: name the API of at least one node')
  return {
    servers: options.servers.map(serverFrom),
    timeoutMs: durationFrom('timeoutMs', options.timeoutMs ?? limits.requestTimeoutMsDefault),
    retry: options.retry ?? true,
    preferLeader: options.preferLeader ?? false,
    tls: tlsFrom(options.tls ?? {}),
    token: tokenFrom(options.token),
    onElsewhere: options.onElsewhere ?? (() => undefined),
  }
}

function tokenFrom(token: ClientOptions['token']): ClientSettings['token'] {
  if (token === undefined) return null
  if (typeof token === 'function') return token
  checkToken(token)
  return () => token
}

const TOKEN = /^[\x21-\x7e]+$/

/**
 * Throws `TypeError` for text that no header carries, or that is too long for one. The message does not hold it.
 *
 * @internal
 */
export function checkToken(token: string): void {
  // The pattern allows one byte a character alone.
  if (token.length > limits.clientTokenBytesMax)
    throw new TypeError(`the token has ${token.length} characters, and at most ${limits.clientTokenBytesMax} are sent`)
  if (!TOKEN.test(token))
    throw new TypeError('the token is empty, or holds a space, a line break or a character that is not ASCII')
}

/** TLS would say what is wrong with each request. */
function tlsFrom(tls: TlsOptions): TlsOptions {
  if ((tls.cert === undefined) !== (tls.key === undefined))
    throw new TypeError('tls.cert and tls.key belong together: give both or none')
  if (tls.ca === undefined && tls.cert === undefined) return tls
  try {
    createSecureContext(contextOf(tls))
  } catch (error) {
    throw new TypeError(`tls cannot be used: ${toError(error).message}`, { cause: error })
  }
  return tls
}

/**
 * The same in Node's words.
 *
 * @internal
 */
export function contextOf({ ca, cert, key, verify }: TlsOptions): SecureOptions {
  const pem = (text: string | Uint8Array): string | Buffer => (typeof text === 'string' ? text : Buffer.from(text))
  return {
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca: pem(ca) }),
    ...(cert === undefined || key === undefined ? {} : { cert: pem(cert), key: pem(key) }),
    ...(verify === false ? { rejectUnauthorized: false } : {}),
  }
}

interface SecureOptions extends SecureContextOptions {
  readonly rejectUnauthorized?: boolean
}

function serverFrom(server: string | URL): URL {
  const text = String(server)
  const url = URL.canParse(text) ? new URL(text) : null
  if (
    (url?.protocol === 'http:' || url?.protocol === 'https:') &&
    url.pathname === '/' &&
    url.search === '' &&
    url.username === ''
  )
    return url
  throw new TypeError(`the server ${text} is not the API of a node: expected http://host:port or https://host:port`)
}

/**
 * `ms` when it is a number of milliseconds that is not negative. Throws `TypeError` otherwise.
 *
 * @internal
 */
export function durationFrom(name: string, ms: number): number {
  if (ms >= 0) return ms
  throw new TypeError(`${name} is ${ms}: expected milliseconds, from 0`)
}
