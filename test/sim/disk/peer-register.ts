import type { PeerRegister } from '../../../src/node/options.ts'
import type { NodeId } from '../../../src/raft/index.ts'
import type { SimProcess } from '../world/process.ts'
import type { World } from '../world/world.ts'
import { Calls } from './calls.ts'
import type { DiskWeather } from './faults.ts'

/** The part of a machine's disk that holds the incarnations of peers. */
export type PeerDisk = Map<NodeId, string>

export interface PeerRegisterDependencies {
  readonly world: World
  readonly process: SimProcess
  readonly disk: PeerDisk
  readonly weather: DiskWeather
}

/** Each change replaces a small file, after those that were asked for before. After a crash the change is there completely or not at all. */
export class SimPeerRegister implements PeerRegister {
  private readonly disk: PeerDisk
  private readonly process: SimProcess
  private readonly calls: Calls
  private changing: Promise<void> = Promise.resolve()

  constructor(dependencies: PeerRegisterDependencies) {
    this.disk = dependencies.disk
    this.process = dependencies.process
    this.calls = new Calls(dependencies.process, dependencies.world, dependencies.weather)
  }

  load(): Promise<ReadonlyMap<NodeId, string>> {
    return this.call(() => {
      this.calls.useDisk('read', 'reading the register of peers', 'disk-write-error')
      return new Map(this.disk)
    })
  }

  remember(id: NodeId, incarnation: string): Promise<void> {
    return this.change(() => {
      this.disk.set(id, incarnation)
    })
  }

  forget(id: NodeId): Promise<void> {
    return this.change(() => {
      this.disk.delete(id)
    })
  }

  private change(run: () => void): Promise<void> {
    const write = (): void => {
      this.calls.useDisk('grow', 'writing the register of peers', 'disk-write-error')
      run()
    }
    const changed = this.changing.then(() => this.call(write))
    this.changing = changed.catch(() => undefined)
    return changed
  }

  private call<T>(run: () => T): Promise<T> {
    return this.calls.run(0.1 + this.process.random.exponential(0.5), run)
  }
}
