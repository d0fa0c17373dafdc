import type { HistoryLimits, MachineState } from '../../../src/kv/index.ts'

/** What a leader leaves alone beyond the most that is to be kept: docs/internals/storage.md, "The state: history". */
const SLACK_SHARE = 1 / 16
/** Ages that a seed can wait for. */
export const AWAITED_AGE_MS = 5_000

/** How a store keeps more of the past than it is set to, now that nothing has been written for its age; null when it does not. */
export function retentionFault(
  { history, revision }: MachineState,
  { stepRevisionsMax }: HistoryLimits,
): string | null {
  if (history === null) return null
  const { changes, bytes, retention, compactedRevision, collectedRevision } = history
  const changesMax = retention.revisions + Math.min(stepRevisionsMax, Math.ceil(retention.revisions * SLACK_SHARE))
  if (changes > changesMax) return `keeps ${changes} changes, not ${retention.revisions}`
  if (bytes > retention.bytes * (1 + SLACK_SHARE)) return `keeps ${bytes} bytes of history, not ${retention.bytes}`
  if (changes > 0 && collectedRevision < compactedRevision)
    return `keeps what is compacted: up to ${compactedRevision}, and removed up to ${collectedRevision}`
  if (retention.ageMs <= AWAITED_AGE_MS && compactedRevision < revision)
    return `shows revision ${compactedRevision} after more than ${retention.ageMs} ms at ${revision}`
  return null
}
