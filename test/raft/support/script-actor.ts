import { nodeId, type HeldMessage, type NodeId, type Raft, type RaftView } from '../../../src/raft/index.ts'
import { Disk, type State } from './disk.ts'

/** One life of a process. */
export interface Life {
  readonly raft: Raft
  readonly name: string
  held: HeldMessage[]
  view: RaftView
}

/** A process that may run, and its disk. */
export class Actor {
  readonly id: NodeId
  disk = new Disk()
  state: State = this.disk.state
  life: Life | null = null
  lives = 0
  /** Writes become durable by `sync` only. */
  syncHeld = false
  /** Hangs: nothing arrives and no timer runs. */
  hung = false
  /** The inputs that a hanging process gets when it goes on. */
  readonly untold: ((raft: Raft, now: number) => void)[] = []
  timeoutMs: number

  constructor(id: number, timeoutMs: number) {
    this.id = nodeId(id)
    this.timeoutMs = timeoutMs
  }
}

export function isRunning(actor: Actor): actor is Actor & { life: Life } {
  return actor.life !== null
}
