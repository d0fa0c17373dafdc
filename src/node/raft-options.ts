import type { RaftOptions } from '../raft/index.ts'
import type { NodeOptions } from './options.ts'

/** A lease ends this part of the election timeout early: clocks of two nodes may differ in speed by as much. */
const LEASE_DRIFT = 0.1

export function raftOptions(options: NodeOptions): RaftOptions {
  return {
    id: options.id,
    heartbeatMs: options.heartbeatMs,
    electionTimeoutMsMin: options.electionTimeoutMsMin,
    electionTimeoutMsMax: options.electionTimeoutMsMax,
    leaseDriftMs: Math.ceil(options.electionTimeoutMsMin * LEASE_DRIFT),
    appendBytesMax: options.appendBytesMax,
    appendEntriesMax: options.appendEntriesMax,
    inflightAppendsMax: options.inflightAppendsMax,
    inflightBytesMax: options.inflightBytesMax,
    uncommittedBytesMax: options.uncommittedBytesMax,
    caughtUpEntriesMax: options.caughtUpEntriesMax,
    keepEntries: options.keepEntries,
    keepBytes: options.keepBytes,
    snapshotHoldMs: options.snapshotHoldMs,
    snapshotHoldBytes: options.snapshotHoldBytes,
  }
}
