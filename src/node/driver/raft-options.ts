import type { RaftOptions } from '../../raft/index.ts'
import type { NodeOptions } from '../options.ts'
import type { DiskPatience } from './log-writer.ts'

/** The clocks of two nodes may differ in speed by this part: a leader's lease ends earlier by it, one that clients hold later. */
export const LEASE_DRIFT = 0.1

export function leaseDriftMs({ electionTimeoutMsMin }: NodeOptions): number {
  return Math.ceil(electionTimeoutMsMin * LEASE_DRIFT)
}

export function diskPatience({ electionTimeoutMsMax }: NodeOptions): DiskPatience {
  return { graceMs: electionTimeoutMsMax * 2, patienceMs: electionTimeoutMsMax * 10 }
}

/** `life` identifies the process. */
export function raftOptions(options: NodeOptions, life: number): RaftOptions {
  return {
    id: options.id,
    life,
    heartbeatMs: options.heartbeatMs,
    electionTimeoutMsMin: options.electionTimeoutMsMin,
    electionTimeoutMsMax: options.electionTimeoutMsMax,
    leaseDriftMs: leaseDriftMs(options),
    appendBytesMax: options.appendBytesMax,
    appendEntriesMax: options.appendEntriesMax,
    inflightAppendsMax: options.inflightAppendsMax,
    inflightBytesMax: options.inflightBytesMax,
    transferBytesPerMsMin: options.transferBytesPerMsMin,
    uncommittedBytesMax: options.uncommittedBytesMax,
    caughtUpEntriesMax: options.caughtUpEntriesMax,
    keepEntries: options.keepEntries,
    keepBytes: options.keepBytes,
    snapshotHoldMs: options.snapshotHoldMs,
    snapshotHoldBytes: options.snapshotHoldBytes,
  }
}
