import type { AuthTable, CommandResult } from '../../kv/index.ts'
import { encodeCommand, NODE_ITSELF } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Logger, OwnAudit } from '../options.ts'

export interface ExpiryDependencies {
  readonly clock: Clock
  readonly raft: { readonly state: string }
  readonly applier: { readonly auth: AuthTable | null }
  readonly proposals: {
    submit(command: Uint8Array, timeoutMs: number, asked: { readonly isUpkeep: boolean }): Promise<CommandResult>
  }
  readonly logger: Logger
  readonly audit: OwnAudit
}

/** The wall clock may be set at any time, so it is looked at again after this time at the latest. */
const LOOK_MS_MAX = 60_000
const LOOK_MS_MIN = 10
const RETRY_MS = 1_000

/**
 * Revokes tokens whose time is up. Every node refuses such a token by its own wall clock. The leader's decides for all: it proposes the
 * revocation, since the machine knows no time.
 */
export class Expiry {
  private readonly deps: ExpiryDependencies
  private isProposing = false
  private timer: { readonly at: number; readonly cancel: () => void } | null = null
  private stopped = false

  constructor(deps: ExpiryDependencies) {
    this.deps = deps
  }

  /** To be called when roles or tokens have changed, or another node may lead. */
  look(): void {
    if (this.stopped || this.isProposing) return
    const next = this.deps.raft.state === 'leader' ? this.next() : null
    if (next === null) return this.wakeAt(null)
    const { clock } = this.deps
    const leftMs = next.expiresAt - clock.wall()
    if (leftMs <= 0) return this.propose(next.id, next.name)
    this.wakeAt(clock.now() + Math.min(Math.max(leftMs, LOOK_MS_MIN), LOOK_MS_MAX))
  }

  stop(): void {
    this.stopped = true
    this.wakeAt(null)
  }

  /** The token that ends first. */
  private next(): { readonly id: number; readonly name: string; readonly expiresAt: number } | null {
    let first: { readonly id: number; readonly name: string; readonly expiresAt: number } | null = null
    for (const { id, name, expiresAt } of this.deps.applier.auth?.tokens.values() ?? []) {
      if (expiresAt !== null && (first === null || expiresAt < first.expiresAt)) first = { id, name, expiresAt }
    }
    return first
  }

  private propose(id: number, name: string): void {
    this.isProposing = true
    this.wakeAt(null)
    const { clock, proposals, logger, audit } = this.deps
    const command = encodeCommand({ type: 'token-delete', id, token: NODE_ITSELF, idempotency: null })
    proposals.submit(command, limits.requestTimeoutMsDefault, { isUpkeep: true }).then(
      (result) => {
        this.isProposing = false
        if (result.type === 'token-deleted') {
          logger.info({ token: id, name }, 'expired token revoked')
          audit.tell({ operation: 'deleteToken', by: 'expiry', asked: { id, name }, reason: 'its time is up' })
        }
        this.look()
      },
      () => {
        this.isProposing = false
        if (!this.stopped) this.wakeAt(clock.now() + RETRY_MS)
      },
    )
  }

  private wakeAt(at: number | null): void {
    if (this.timer?.at === at) return
    this.timer?.cancel()
    this.timer = null
    if (at === null) return
    const { clock } = this.deps
    const cancel = clock.after(at - clock.now(), () => {
      this.timer = null
      this.look()
    })
    this.timer = { at, cancel }
  }
}
