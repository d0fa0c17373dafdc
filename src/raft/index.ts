/** The whole public surface of the core. Nothing outside this folder imports deeper. */
export * from './types.ts'
export type * from './message.ts'
export type * from './effects.ts'
export type * from './requests.ts'
export type * from './options.ts'
export { Raft } from './raft.ts'
export type { SnapshotOffer } from './follower.ts'
export { checkSilence, checkState, checkStep } from './invariants.ts'
export { contradictionIn, offerContradictionIn } from './soundness.ts'
export {
  checkMembership,
  finalMembershipOf,
  futureVotersOf,
  isJoint,
  isVoter,
  membershipProblem,
  sameIds,
  votersOf,
} from './membership.ts'
export { hasQuorum, reachedByQuorum } from './quorum.ts'
