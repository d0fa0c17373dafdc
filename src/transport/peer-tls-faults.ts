import { dropOldest } from '../lib/drop-oldest.ts'
import { Repeats } from '../lib/repeats.ts'
import { limits } from '../limits.ts'
import type { TransportLogger } from './transport-options.ts'

/** A warning for `GET /cluster`. */
export interface PeerTlsWarning {
  readonly code: 'peer-tls'
  readonly detail: string
}

/**
 * With whom TLS fails, and why. Attempts are made again and again, so each reason is logged once and then counted. What a dialled peer
 * is charged with holds until it is reached; callers that nobody knows are logged, and warned of for a while.
 */
export class PeerTlsFaults {
  private readonly now: () => number
  private readonly logger: TransportLogger
  private readonly repeats: Repeats
  private readonly dialled = new Map<string, string>()
  private caller: { readonly detail: string; readonly at: number } | null = null

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number, logger: TransportLogger) {
    this.now = now
    this.logger = logger
    const { refusalLogIntervalMs: intervalMs, refusalsKnownMax: causesMax } = limits
    this.repeats = new Repeats({ intervalMs, causesMax }, now)
  }

  onDialFailed(address: string, detail: string): void {
    this.dialled.set(address, `the peer at ${address}: ${detail}`)
    dropOldest(this.dialled, limits.peerTlsFaultsMax)
    const times = this.repeats.add(`${address} ${detail}`)
    if (times !== null) this.logger.warn({ address, detail, times }, 'peer fails TLS')
  }

  onReached(address: string): void {
    if (!this.dialled.delete(address)) return
    this.repeats.forget(`${address} `)
  }

  /** `host`: the caller's address without its port, which differs each time. `cause`: the kind of fault, in which the caller has no say. */
  onCallerRefused(host: string, cause: string, detail: string): void {
    this.caller = { detail: `a caller from ${host}: ${detail}`, at: this.now() }
    const times = this.repeats.add(`from ${host} ${cause}`)
    if (times !== null) this.logger.warn({ remote: host, detail, times }, 'peer caller fails TLS')
  }

  get warnings(): readonly PeerTlsWarning[] {
    const { caller } = this
    const isRecent = caller !== null && this.now() - caller.at <= limits.complaintMsMax
    return [...this.dialled.values(), ...(isRecent ? [caller.detail] : [])].map((detail) => ({
      code: 'peer-tls',
      detail,
    }))
  }
}
