import { sameLogId } from '../../../src/raft/index.ts'
import type { StateImage } from '../disk/state-disk.ts'
import type { Ledgers } from '../machines/ledger.ts'
import type { Machine } from '../machines/machine.ts'
import { describeLogId } from '../network/describe.ts'
import { Violation } from '../world/violation.ts'
import type { Oracle } from './oracle.ts'
import type { StoredMetas } from './stored-metas.ts'

interface Digest {
  readonly rows: number
  readonly machine: number
  readonly by: string
}

/**
 * State machine safety (thesis 3.6.3): all nodes that have applied the log up to an index have the same rows, and applied only
 * committed entries.
 */
export class StateDigests implements Oracle {
  compared = 0
  private readonly ledgers: Ledgers
  private readonly metas: StoredMetas
  private readonly digests = new Map<string, Digest>()

  constructor(ledgers: Ledgers, metas: StoredMetas) {
    this.ledgers = ledgers
    this.metas = metas
  }

  onState(machine: Machine, image: StateImage): void {
    if (image.meta === null) return
    const meta = this.metas.of(image.meta)
    if (meta === null) throw new Violation('state-digest', `n${machine.id} stores a meta that cannot be read`)
    const { applied } = meta
    const ledger = this.ledgers.of(machine.clusterId)
    const canonical = ledger.committedAt(applied.index)
    if (canonical === null || !sameLogId(canonical, applied)) {
      const there = canonical === null ? 'nothing' : describeLogId(canonical)
      throw new Violation(
        'state-digest',
        `n${machine.id} has applied ${describeLogId(applied)} where ${there} is committed`,
      )
    }
    const name = `${machine.clusterId}/${applied.index}`
    const digest = { rows: image.digest, machine: meta.machine.digest, by: machine.lifeName }
    const known = this.digests.get(name)
    if (known === undefined) {
      this.digests.set(name, digest)
      return
    }
    this.compared += 1
    if (known.rows !== digest.rows || known.machine !== digest.machine) {
      throw new Violation(
        'state-digest',
        `after ${describeLogId(applied)} ${machine.lifeName} has rows ${digest.rows} and digest ${digest.machine}, ` +
          `${known.by} had rows ${known.rows} and digest ${known.machine}`,
      )
    }
  }
}
