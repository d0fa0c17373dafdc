import type { Node } from '../../../src/node/node.ts'
import type { PlantedBug } from '../machines/planted-bug.ts'

/** Where a walk goes on in memory, the first change there is passed over. */
function skipsAtHandOver({ replica }: Node): void {
  const { ring } = replica.watches
  const after = ring.after.bind(ring)
  ring.after = (revision, limit) => {
    const entries = after(revision, limit)
    return entries.length > 1 ? entries.slice(1) : entries
  }
}

/** A watcher that has caught up is told of the last change again. */
function repeatsAtHandOver({ replica }: Node): void {
  const { watches } = replica
  const onCaughtUp = watches.onCaughtUp.bind(watches)
  watches.onCaughtUp = (watcher) => {
    const hasWalked = watcher.mode === 'walking'
    onCaughtUp(watcher)
    const { last } = watches.ring
    if (hasWalked && watches.ring.find(last) !== undefined) watcher.queue(last)
  }
}

/** Watchers that had everything are not told that the state was replaced by a later one. */
function staysAtInstall({ replica }: Node): void {
  replica.watches.onInstalled = () => undefined
}

/** Progress is told as far as the store is, and not as far as the watcher is. */
function claimsProgress({ replica }: Node): void {
  const { watches } = replica
  const open = watches.open.bind(watches)
  watches.positionOf = () => replica.applier.revision
  watches.open = (interest, since) => {
    const watcher = open(interest, since)
    watcher.progressDue = true
    return watcher
  }
}

/** Of an entry with several changes, only one is kept for watchers. */
function keepsFirst({ replica }: Node): void {
  const { ring } = replica.watches
  const push = ring.push.bind(ring)
  ring.push = ({ revision, changes }) => push({ revision, changes: changes.slice(0, 1) })
}

export const watchBugs: readonly PlantedBug[] = [
  {
    name: 'watch-skips-at-hand-over',
    says: 'a watcher that goes on in memory misses the first change there',
    seedsMax: 200,
    needsLevel: 1,
    plant: skipsAtHandOver,
  },
  {
    name: 'watch-repeats-at-hand-over',
    says: 'a watcher that has caught up is told again of the last change',
    seedsMax: 200,
    needsLevel: 1,
    plant: repeatsAtHandOver,
  },
  {
    name: 'watch-stays-at-install',
    says: 'a state that replaces the present one does not take watchers back to the disk',
    seedsMax: 200,
    needsLevel: 1,
    plant: staysAtInstall,
  },
  {
    name: 'watch-progress-ahead',
    says: 'a watcher is told that it has everything before it has',
    seedsMax: 200,
    needsLevel: 1,
    plant: claimsProgress,
  },
  {
    name: 'watch-entry-in-part',
    says: 'of an entry that changes several keys, watchers are told of the first',
    seedsMax: 200,
    needsLevel: 1,
    plant: keepsFirst,
  },
]
