/** What one run was judged on, or several. A check without anything to check finds nothing. */
export interface HistoryFigures {
  keysChecked: number
  /** Keys whose search was abandoned. */
  keysUndecided: number
  /** How often a named write was executed once more, after its name was forgotten. */
  executedAgain: number
  /** Histories of several keys that transactions join, which were searched as one, and those whose search was abandoned. */
  joinedChecked: number
  joinedUndecided: number
  doublesCompared: number
  repeatsCompared: number
  boundedReads: number
  statesCompared: number
  operations: number
  acknowledgedWrites: number
  transactions: number
  /** Compactions, and changes of how much history is kept. */
  upkeep: number
  pastReads: number
  /** Reads of the past that were refused. */
  compactedReads: number
  watches: number
  /** Entries that watchers were told of, progress that they were told, and how often what they needed was compacted. */
  watchedChanges: number
  watchedProgress: number
  watchesCompacted: number
  /** Leases whose time was over, and answers that one is gone. */
  leasesExpired: number
  /** Leases whose end was held against the clock of the leader that has ended them, whatever clocks did. */
  leasesMeasured: number
  leasesGone: number
  /** Keys that were put with a lease. */
  leasedPuts: number
  locksAcquired: number
  /** Locks that came to somebody who had waited, waits in vain, and waits that were given up. */
  locksHandedOver: number
  locksInVain: number
  locksLeft: number
  fencedWrites: number
  /** Answers under a token, or to clients without one, where there are tokens; and refusals. */
  tokenAnswers: number
  denials: number
  /** Refusals of requests that came when the revocation of their token was answered. */
  lateRequests: number
  /** Answered changes of roles and tokens. */
  authChanges: number
  /** Watches that were ended because their token may not watch any more. */
  watchesDenied: number
  /** Imports that a node has answered, and ended early; their changes with several records, and those that were made in halves. */
  importsDone: number
  importsEnded: number
  importedChanges: number
  halvedChanges: number
  /** Pages of versions, and of leases. */
  versionViews: number
  leaseViews: number
  /** Views of leases, of locks, and of the history that is kept. */
  leaseLooks: number
  lockLooks: number
  compactionLooks: number
  /** Views from which keys or names were left out that their client may not read. */
  concealedLooks: number
  /** Views of each of these kinds that a node without a vote has answered, and one whose membership was just being changed. */
  looksAtLearners: number
  looksDuringChanges: number
}

const NO_FIGURES: HistoryFigures = {
  keysChecked: 0,
  keysUndecided: 0,
  executedAgain: 0,
  joinedChecked: 0,
  joinedUndecided: 0,
  doublesCompared: 0,
  repeatsCompared: 0,
  boundedReads: 0,
  statesCompared: 0,
  operations: 0,
  acknowledgedWrites: 0,
  transactions: 0,
  upkeep: 0,
  pastReads: 0,
  compactedReads: 0,
  watches: 0,
  watchedChanges: 0,
  watchedProgress: 0,
  watchesCompacted: 0,
  leasesExpired: 0,
  leasesMeasured: 0,
  leasesGone: 0,
  leasedPuts: 0,
  locksAcquired: 0,
  locksHandedOver: 0,
  locksInVain: 0,
  locksLeft: 0,
  fencedWrites: 0,
  tokenAnswers: 0,
  denials: 0,
  lateRequests: 0,
  authChanges: 0,
  watchesDenied: 0,
  importsDone: 0,
  importsEnded: 0,
  importedChanges: 0,
  halvedChanges: 0,
  versionViews: 0,
  leaseViews: 0,
  leaseLooks: 0,
  lockLooks: 0,
  compactionLooks: 0,
  concealedLooks: 0,
  looksAtLearners: 0,
  looksDuringChanges: 0,
}

export function noFigures(): HistoryFigures {
  return { ...NO_FIGURES }
}

export function addFigures(sum: HistoryFigures, more: HistoryFigures): void {
  for (const name of Object.keys(NO_FIGURES) as (keyof HistoryFigures)[]) sum[name] += more[name]
}
