import { assert } from '../../lib/assert.ts'

/** The cluster that this node belongs to. A node joins one cluster in its life, and leaves it with its data directory only. */
export class OwnCluster {
  private current: string | null

  constructor(id: string | null) {
    this.current = id
  }

  /** Null for a pristine node. */
  get id(): string | null {
    return this.current
  }

  join(id: string): void {
    assert(this.current === null, 'a node joins one cluster')
    this.current = id
  }
}
