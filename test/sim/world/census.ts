/** Every fault that the simulator knows. A long run fails when one of them never occurs: a fault that is only listed tests nothing. */
export const faultClasses = [
  // Network
  'net-loss',
  'net-duplicate',
  'net-ghost',
  'net-reorder',
  'net-delay',
  'net-partition-halves',
  'net-partition-isolate',
  'net-partition-leader',
  'net-partition-one-way',
  'net-partition-partial',
  'net-bridge',
  'net-flapping',
  'net-clog',
  'net-connection-reset',
  'net-queue-overflow',
  'net-refusal-lies',
  'net-held-released',
  // Process
  'kill',
  'kill-leader',
  'kill-all',
  'kill-at-write-begin',
  'kill-at-write-end',
  'kill-at-send',
  'kill-at-apply',
  'kill-at-pledge',
  'kill-in-election',
  'power-cut',
  'power-cut-all',
  'pause',
  'pause-leader',
  'slow-process',
  'freeze-all',
  'freeze-all-autopilot',
  'graceful-restart',
  // Clock
  'clock-drift',
  'clock-drift-beyond-margin',
  'clock-jump',
  'clock-suspended',
  'clock-suspended-leader',
  'clock-wall-set',
  // Disk
  'disk-torn-write',
  'disk-lost-unsynced-state',
  'disk-lost-pledge',
  'disk-slow',
  'disk-stuck',
  'disk-write-error',
  'disk-write-error-sticky',
  'disk-read-error',
  'disk-full',
  'disk-flipped-log',
  'disk-flipped-vote',
  'disk-damaged-state',
  'disk-state-error',
  'disk-wiped',
  // Membership and formation
  'form-one',
  'form-some',
  'form-all',
  'form-different-overlapping',
  'form-different-disjoint',
  'form-unreachable-peer',
  'form-after-vote',
  'form-discovered',
  'form-discovered-late',
  'form-crash',
  'member-add-learner',
  'member-promote',
  'member-remove',
  'member-remove-leader',
  'member-replace',
  'member-concurrent',
  'member-conditional',
  'member-forced',
  'member-crash-during',
  'member-joint-inherited',
  'member-wiped-returns',
  'member-removed-returns',
  'member-moves',
  'relocate-all',
  'relocate-some',
  'relocate-swap',
  'transfer',
  'transfer-to-dead',
  'campaign',
  'purge',
  // Snapshots
  'snapshot-sent',
  'snapshot-cut',
  'snapshot-corrupted',
  'snapshot-kill-receiver',
  'snapshot-kill-at-commit',
  'snapshot-kill-sender',
  // Clients
  'client-retry-keyed',
  'client-duplicate-keyed',
  'client-key-reused',
  'client-range-refused',
  'client-range-continued',
  'client-timeout',
  'client-unknown-outcome',
  'client-overloaded',
  'import-retry',
] as const

export type FaultClass = (typeof faultClasses)[number]

/** How often each fault or event occurred. */
export class Census {
  private readonly counts = new Map<FaultClass, number>()

  count(fault: FaultClass, times = 1): void {
    this.counts.set(fault, (this.counts.get(fault) ?? 0) + times)
  }

  of(fault: FaultClass): number {
    return this.counts.get(fault) ?? 0
  }

  entries(): [FaultClass, number][] {
    return [...this.counts]
  }
}
