import type { LogReader } from '../../ports/log-store.ts'
import type { Transport } from '../../ports/transport.ts'
import type { AppendPlan, AppendRequest, LogBatch, NodeId, Outgoing, Vote } from '../../raft/index.ts'
import { indexOf, logIndex } from '../../raft/index.ts'
import type { Faults } from '../options.ts'

export interface AppendSenderOptions {
  /** Roughly how many bytes go into one frame. */
  readonly frameBytesMax: number
}

export interface Leadership {
  /** Whether this node still leads under `vote`: entries that were read under another vote may have been replaced meanwhile. */
  leadsUnder(vote: Vote): boolean
}

export interface AppendSenderDependencies {
  readonly transport: Pick<Transport, 'send'>
  readonly log: LogReader
  readonly leadership: Leadership
  readonly faults: Faults
}

/**
 * Turns the messages that the core wants sent into frames. An append plan only names entries; they are looked up here, in memory or, for a
 * follower that is behind, on disk. Plans with entries for one peer keep their order; an empty plan (a heartbeat) never waits.
 */
export class AppendSender {
  private readonly options: AppendSenderOptions
  private readonly deps: AppendSenderDependencies
  /** Peers for which a disk read is in progress, and the plans that wait for it. The core's window limits their number. */
  private readonly reading = new Map<NodeId, AppendPlan[]>()

  constructor(options: AppendSenderOptions, deps: AppendSenderDependencies) {
    this.options = options
    this.deps = deps
  }

  send(message: Outgoing): void {
    if (message.type !== 'append-plan') return this.deps.transport.send(message)
    if (message.last <= indexOf(message.prev)) return this.deps.transport.send(request(message, message.prev, []))
    const behind = this.reading.get(message.to)
    if (behind !== undefined) {
      behind.push(message)
      return
    }
    this.sendEntries(message)
  }

  private sendEntries(plan: AppendPlan): void {
    let prev = plan.prev
    while (indexOf(prev) < plan.last) {
      const batches = this.deps.log.readCached(logIndex(indexOf(prev) + 1), plan.last, this.options.frameBytesMax)
      const last = batches?.at(-1)
      if (batches === null || last === undefined) return this.sendFromDisk({ ...plan, prev })
      this.deps.transport.send(request(plan, prev, batches))
      prev = { leaderId: last.leaderId, index: last.last }
    }
  }

  private sendFromDisk(plan: AppendPlan): void {
    this.reading.set(plan.to, [plan])
    this.readAndSend(plan.to).catch((error: unknown) => this.deps.faults.report(error))
  }

  private async readAndSend(to: NodeId): Promise<void> {
    const plans = this.reading.get(to) ?? []
    for (let plan = plans.shift(); plan !== undefined; plan = plans.shift()) {
      let prev = plan.prev
      while (indexOf(prev) < plan.last) {
        const first = logIndex(indexOf(prev) + 1)
        const batches = await this.deps.log.read(first, plan.last, this.options.frameBytesMax)
        const last = batches?.at(-1)
        // Purged or replaced meanwhile. The core notices that nothing is acknowledged, and probes.
        if (batches === null || last === undefined || !this.deps.leadership.leadsUnder(plan.vote)) break
        this.deps.transport.send(request(plan, prev, batches))
        prev = { leaderId: last.leaderId, index: last.last }
      }
    }
    this.reading.delete(to)
  }
}

function request(plan: AppendPlan, prev: AppendPlan['prev'], batches: readonly LogBatch[]): AppendRequest {
  return {
    type: 'append-request',
    from: plan.from,
    to: plan.to,
    vote: plan.vote,
    session: plan.session,
    prev,
    batches,
    memberships: [],
    committed: plan.committed,
    sentAt: plan.sentAt,
    freshAt: plan.freshAt,
  }
}
