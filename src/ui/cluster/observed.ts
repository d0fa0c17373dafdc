import type { ClusterStatus } from '../../client/api-types.ts'
import { cluster } from '../api/cluster.ts'
import { asksForToken, ProblemError } from '../api/problem.ts'
import { bounds } from '../bounds.ts'
import { Store } from '../lib/store.ts'
import { occurrencesBetween, type Occurrence } from './journal.ts'

export interface Entry extends Occurrence {
  readonly number: number
  /** By the clock of the browser. */
  readonly at: number
}

/** What has happened while this page was open, the newest first. */
export const observed = new Store<readonly Entry[]>([])

let before: ClusterStatus | null = null
let wasGone = false
let numbers = 0

function note(at: number, occurrences: readonly Occurrence[]): void {
  if (occurrences.length === 0) return
  const entries = occurrences.map((occurrence) => ({ ...occurrence, at, number: numbers++ })).toReversed()
  observed.set([...entries, ...observed.value].slice(0, bounds.occurrencesMax))
}

function silenceOf(node: string, failure: unknown): string {
  if (asksForToken(failure)) return `${node} asks this page for a token.`
  if (failure instanceof ProblemError) return `${node} tells this page nothing more: ${failure.problem.detail}.`
  return `${node} does not answer this page.`
}

/** A node of another version than this page may say what the page does not understand. That is no failure of the node. */
function toldBetween(earlier: ClusterStatus, later: ClusterStatus): readonly Occurrence[] {
  try {
    return occurrencesBetween(earlier, later)
  } catch {
    return [{ tone: 'warn', text: `What node ${later.node.id} says is not understood by this page: load it again.` }]
  }
}

cluster.seen.follow(() => {
  const { value, at, failure, failingSince } = cluster.seen.value
  const name = value === null ? 'The node' : `Node ${value.node.id}`
  // A node that asks for a token is not asked again until there is one.
  const isGone = failingSince !== null && (asksForToken(failure) || Date.now() - failingSince >= bounds.goneAfterMs)
  if (isGone && !wasGone) note(failingSince, [{ tone: 'bad', text: silenceOf(name, failure) }])
  if (failingSince === null && wasGone)
    note(at, [{ tone: 'good', text: before === null ? `${name} answers.` : `${name} answers again.` }])
  wasGone = failingSince === null ? false : isGone || wasGone
  if (failingSince !== null || value === null) return
  if (before !== null) note(at, toldBetween(before, value))
  before = value
})
