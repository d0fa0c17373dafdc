import { Permissions } from '../../src/node/auth/permissions.ts'
import { Auth } from '../../src/node/service/auth.ts'
import type { MemoryKeys } from './memory-keys.ts'

/** The tokens of a node alone: those of a real one, over the machine of `keys`. */
export class MemoryAuth extends Auth {
  /** The wall clock. */
  wall: () => number = () => Date.now()
  /** How often somebody has made sure that this node is not behind. */
  confirmations = 0
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
    const permissions = new Permissions({ applier, clock: { wall: () => this.wall() }, faults: { report } })
    const barrier = async (): Promise<void> => {
      this.confirmations += 1
      await this.beforeConfirmed()
    }
    super({ permissions, reads: { barrier } })
    keys.onExecuted = () => void permissions.look()
  }
}
