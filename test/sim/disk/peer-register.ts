import type { PeerRegister } from '../../../src/node/options.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import type { SimProcess } from '../process.ts'

/** The part of a machine's disk where incarnations of peers are kept. */
export type PeerDisk = Map<NodeId, string>

/** Each change is a small file replaced whole: after a crash it is there or not. */
export class SimPeerRegister implements PeerRegister {
  private readonly disk: PeerDisk
  private readonly process: SimProcess

  constructor(disk: PeerDisk, process: SimProcess) {
    this.disk = disk
    this.process = process
  }

  load(): Promise<ReadonlyMap<NodeId, string>> {
    return this.call(() => new Map(this.disk))
  }

  remember(id: NodeId, incarnation: string): Promise<void> {
    return this.call(() => {
      this.disk.set(id, incarnation)
    })
  }

  forget(id: NodeId): Promise<void> {
    return this.call(() => {
      this.disk.delete(id)
    })
  }

  private call<T>(run: () => T): Promise<T> {
    return new Promise((resolve) => {
      this.process.later(0.1 + this.process.random.exponential(0.5), () => resolve(run()))
    })
  }
}
