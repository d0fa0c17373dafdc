import type { Key, KeyLease, TransactionCommand } from '../../../src/kv/index.ts'
import { fencedKey } from '../history/fenced-key.ts'
import type { Answer, ClientCommand, Request } from '../../../src/checker/operation.ts'
import { LEASE_TTL_MS_MAX, LOCK_WAIT_MS_MAX } from '../world/options.ts'
import { Client, type Drawn } from './client.ts'

interface HeldLock {
  readonly name: Key
  readonly lease: number
}

const LOCKS = 2
/** Ids that clients choose, so few that they meet. */
const CHOSEN_IDS = 3
/** How many leases and locks a client keeps in mind; those that are gone are among them. */
const KNOWN_MAX = 5

const ACTIONS = [
  ...(['grant', 'renew', 'renew', 'renew', 'revoke', 'attach', 'attach', 'attach', 'own', 'own', 'transact'] as const),
  ...(['acquire', 'acquire', 'acquire', 'release', 'release', 'fence', 'fence', 'guard', 'read', 'read'] as const),
]

/**
 * A client of leases and locks: it grants leases, keeps some of them alive, puts keys with them, waits for locks and leaves while it waits,
 * and writes behind the lock. It also uses what is gone, or belongs to others.
 */
export class LeaseClient extends Client {
  private readonly leases: number[] = []
  private readonly held: HeldLock[] = []

  protected override drawRequest(): Drawn {
    const { random } = this
    const action = random.pick(ACTIONS)
    if (action !== 'read') return this.write(this.drawCommand(action))
    const key = random.chance(0.5) ? fencedKey(this.drawLock()) : this.drawKey()
    return { request: { type: 'get', key, consistency: 'linearizable', minRevision: null }, mark: null }
  }

  /** Who waits for a lock now and then leaves before the wait is over. */
  protected override stayMs(request: Request, timeoutMs: number): number {
    if (request.type !== 'write' || request.command.type !== 'lock-acquire') return super.stayMs(request, timeoutMs)
    const { waitMs } = request.command
    return waitMs > 0 && this.random.chance(0.3) ? this.random.between(0, waitMs) : waitMs + 2 * timeoutMs + 100
  }

  protected override learn(request: Request, answer: Answer): void {
    super.learn(request, answer)
    if (request.type !== 'write' || answer.type !== 'write') return
    const { result } = answer
    if (result.type === 'lease-granted') keep(this.leases, result.lease)
    if (result.type === 'lock-acquired' && request.command.type === 'lock-acquire')
      keep(this.held, { name: request.command.name, lease: result.lease })
  }

  private drawCommand(action: Exclude<(typeof ACTIONS)[number], 'read'>): ClientCommand {
    const { random } = this
    const idempotency = this.drawTag()
    switch (action) {
      case 'grant': {
        const id = random.chance(0.4) ? random.integer(1, CHOSEN_IDS + 1) : null
        return { type: 'lease-grant', id, ttlMs: this.drawTtl(), idempotency }
      }
      case 'renew':
        return { type: 'lease-renew', id: this.drawLease(), idempotency }
      case 'revoke':
        return { type: 'lease-revoke', id: this.drawLease(), ifRenewedAt: null, idempotency }
      case 'attach':
        return this.putWith(this.drawKey(), { type: 'granted', id: this.drawLease() })
      case 'own':
        return this.putWith(this.drawKey(), { type: 'own', ttlMs: this.drawTtl() })
      case 'transact':
        return this.drawTransactionOn(this.drawKey(), this.drawLease())
      case 'acquire': {
        const waitMs = random.pick([0, 300, 1_500, LOCK_WAIT_MS_MAX])
        const name = this.drawLock()
        return { type: 'lock-acquire', name, ttlMs: this.drawTtl(), waitMs, owner: this.nextName(), idempotency }
      }
      case 'release': {
        const { name, lease } = this.drawHeld()
        return { type: 'lock-release', name, lease, idempotency }
      }
      case 'fence': {
        const { name, lease } = this.drawHeld()
        return this.putWith(fencedKey(name), { type: 'granted', id: lease })
      }
      case 'guard': {
        const { name, lease } = this.drawHeld()
        return this.drawTransactionOn(fencedKey(name), lease)
      }
    }
  }

  private putWith(key: Key, lease: KeyLease): ClientCommand {
    return {
      type: 'put',
      key,
      value: this.drawValue(),
      lease,
      condition: null,
      wantsPrevious: false,
      idempotency: this.drawTag(),
    }
  }

  /** Writes only if `key` belongs to `lease`, or does not; with the lease or without. */
  private drawTransactionOn(key: Key, lease: number): TransactionCommand {
    const { random } = this
    const value = this.drawValue()
    const put = (key: Key) => ({ type: 'put', key, value, wantsPrevious: random.chance(0.3) }) as const
    const first = random.chance(0.5) ? { ...put(this.drawKey()), lease } : put(this.drawKey())
    const other = this.drawKey()
    const second = random.chance(0.3) && other !== first.key ? [{ ...put(other), lease }] : []
    const operator = random.pick(['=', '=', '=', '!=', '<', '>'] as const)
    return {
      type: 'transaction',
      compares: [{ key, target: 'lease', operator, value: random.chance(0.1) ? 0 : lease }],
      success: [first, ...second],
      failure: random.chance(0.5) ? [{ type: 'get', key }] : [],
      idempotency: this.drawTag(),
    }
  }

  private drawTtl(): number {
    return this.random.pick([1_000, 1_000, 1_500, LEASE_TTL_MS_MAX])
  }

  private drawLock(): Key {
    return `l${this.random.integer(0, LOCKS)}` as Key
  }

  /** Mostly one of its own; also the lease of a lock, and one that others may have chosen. */
  private drawLease(): number {
    const { random, leases, held } = this
    const locks = held.map(({ lease }) => lease)
    if (random.chance(0.15) || leases.length + locks.length === 0) return random.integer(1, CHOSEN_IDS + 1)
    return random.pick([...leases, ...leases, ...locks])
  }

  private drawHeld(): HeldLock {
    const { random, held } = this
    if (held.length === 0) return { name: this.drawLock(), lease: this.drawLease() }
    return random.chance(0.7) ? (held.at(-1) ?? random.pick(held)) : random.pick(held)
  }
}

function keep<T>(known: T[], one: T): void {
  known.push(one)
  if (known.length > KNOWN_MAX) known.shift()
}
