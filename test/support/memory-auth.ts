import { Permissions } from '../../src/node/auth/permissions.ts'
import { Auth } from '../../src/node/service/auth.ts'
import type { MemoryKeys } from './memory-keys.ts'

/** The tokens of a node alone: those of a real one, over the machine of `keys`. */
export class MemoryAuth extends Auth {
  /** The wall clock. */
  wall: () => number = () => Date.now()
  /** Whether its state is known to hold the first token, if there is one. */
  isInformed = true
  /** How often somebody has made sure that this node is not behind, and how long that was allowed to take the last time. */
  confirmations = 0
  confirmedWithinMs: number | null = null
  /** Runs before that is known. */
  beforeConfirmed: () => Promise<void> = async () => {}

  constructor(keys: MemoryKeys) {
    const applier = {
      get auth() {
        return keys.store.machine.auth
      },
    }
    const report = (error: unknown): void => {
      throw error
    }
    const clock = { wall: () => this.wall() }
    const isInformed = (): boolean => this.isInformed
    const reads = {
      get hasPassed() {
        return isInformed()
      },
    }
    const permissions = new Permissions({ applier, clock, faults: { report }, reads, freshness: { freshAt: null } })
    const barrier = async (timeoutMs: number): Promise<void> => {
      this.confirmations += 1
      this.confirmedWithinMs = timeoutMs
      await this.beforeConfirmed()
    }
    super({ permissions, reads: { barrier }, raft: { leader: 1 }, serving: { check: () => undefined } })
    keys.onExecuted = () => void permissions.look()
  }
}
