import type { CommandResult, HistoryLimits, HistoryState, MachineState } from '../../kv/index.ts'
import { encodeCommand, NODE_ITSELF } from '../../kv/index.ts'
import { limits } from '../../limits.ts'
import type { Clock } from '../../ports/clock.ts'
import { RevisionTimes } from './revision-times.ts'

export interface HistorianOptions {
  readonly history: HistoryLimits
  readonly electionTimeoutMsMin: number
}

export interface HistorianDependencies {
  readonly clock: Clock
  readonly raft: { readonly state: string }
  readonly applier: { readonly machineState: Pick<MachineState, 'history' | 'revision'> }
  readonly proposals: {
    submit(command: Uint8Array, timeoutMs: number, sender: { readonly isUpkeep: true }): Promise<CommandResult>
  }
}

/** Which part of the most that history may have is let grow beyond it before something is removed: no entry for each write. */
const SLACK_SHARE = 16

/** After a compaction the leader rests for this many times as long as it took: what is written meanwhile waits for each of them. */
const REST_FACTOR = 3
/** Some of that time may be that of slow disks, which is no work. It rests no longer than this for each record that a compaction may remove. */
const REST_MS_PER_RECORD = 0.1

/** A sum of times may be rounded down, so that a timer for it comes early. Timers cannot be set for as long as history may be kept. */
const WAKE_MS_MIN = 1
const WAKE_MS_MAX = 3_600_000

/**
 * Removes history that is older, or more, than the cluster keeps. Only the leader's does: it proposes one compaction after the other for as
 * long as something is left to remove.
 *
 * The age of a revision is measured on this node's monotonic clock, from when this node has led and seen it. So history may live longer after
 * an election, or on a machine that was suspended, but never shorter.
 */
export class Historian {
  private readonly options: HistorianOptions
  private readonly deps: HistorianDependencies
  private readonly times = new RevisionTimes()
  private isProposing = false
  /** The last compaction has left something to remove. */
  private isUnfinished = false
  /** How many revisions were listed after the last compaction. */
  private changesLeft = Infinity
  /** The rest after a compaction, or the pause after one whose outcome is not known. */
  private pausedUntil = -Infinity
  private timer: { readonly at: number; readonly cancel: () => void } | null = null
  private stopped = false

  constructor(options: HistorianOptions, deps: HistorianDependencies) {
    this.options = options
    this.deps = deps
  }

  /** To be called when entries are applied, and when another node may lead. */
  look(): void {
    if (this.stopped) return
    if (this.deps.raft.state !== 'leader') return this.rest()
    const { history, revision } = this.deps.applier.machineState
    if (history === null) return
    const now = this.deps.clock.now()
    const { ageMs } = history.retention
    this.times.note(now, revision, ageMs)
    const aged = this.times.reachedBy(now - ageMs)
    const upTo = aged !== null && aged > history.compactedRevision ? aged : null
    const isDue = upTo !== null || this.isUnfinished || this.isExcess(history)
    if (isDue && !this.isProposing && now >= this.pausedUntil) return this.propose(upTo)
    if (this.isProposing) return
    const leftAt = this.times.leftAt(history.compactedRevision)
    this.wakeAt(
      isDue
        ? this.pausedUntil
        : Math.min(this.times.nextNoteAt(revision, ageMs), leftAt === null ? Infinity : leftAt + ageMs),
    )
  }

  stop(): void {
    this.stopped = true
    this.wakeAt(Infinity)
  }

  /** The times that this node knows are worth nothing when it leads again: others have compacted meanwhile. */
  private rest(): void {
    this.times.clear()
    this.isUnfinished = false
    this.changesLeft = Infinity
    this.wakeAt(Infinity)
  }

  private isExcess({ compactedRevision, collectedRevision, changes, bytes, retention }: HistoryState): boolean {
    if (changes > 0 && collectedRevision < compactedRevision) return true
    const slack = Math.min(this.options.history.stepRevisionsMax, Math.ceil(retention.revisions / SLACK_SHARE))
    return changes > retention.revisions + slack || bytes > retention.bytes * (1 + 1 / SLACK_SHARE)
  }

  private propose(revision: number | null): void {
    const { clock, proposals } = this.deps
    const startedAt = clock.now()
    this.isProposing = true
    this.wakeAt(Infinity)
    const command = encodeCommand({ type: 'compaction', revision, token: NODE_ITSELF, idempotency: null })
    proposals.submit(command, limits.requestTimeoutMsDefault, { isUpkeep: true }).then(
      (result) => {
        this.isProposing = false
        this.isUnfinished = result.type === 'compacted' && !result.done
        this.pauseAfter(clock.now() - startedAt)
        this.look()
      },
      () => {
        this.isProposing = false
        this.pausedUntil = clock.now() + this.options.electionTimeoutMsMin
        this.look()
      },
    )
  }

  /** Rests, unless as much was written meanwhile as the compaction has removed. */
  private pauseAfter(tookMs: number): void {
    const { clock, applier } = this.deps
    const { changes } = applier.machineState.history ?? { changes: 0 }
    const restMs = Math.min(REST_FACTOR * tookMs, REST_MS_PER_RECORD * this.options.history.stepRecordsMax)
    if (changes < this.changesLeft) this.pausedUntil = clock.now() + restMs
    this.changesLeft = changes
  }

  /** One timer at a time, for the earliest moment at which something is to be done; Infinity: none. */
  private wakeAt(at: number): void {
    if (this.timer?.at === at) return
    this.timer?.cancel()
    this.timer = null
    if (at === Infinity) return
    const { clock } = this.deps
    const cancel = clock.after(Math.min(Math.max(WAKE_MS_MIN, at - clock.now()), WAKE_MS_MAX), () => {
      this.timer = null
      this.look()
    })
    this.timer = { at, cancel }
  }
}
