import {
  indexOf,
  type AppendPlan,
  type AppendRequest,
  type ChangeOutcome,
  type LogId,
  type Membership,
  type NodeId,
  type NotLeading,
  type Outgoing,
  type RaftEvent,
  type RaftMessage,
  type RaftView,
  type Write,
} from '../../../src/raft/index.ts'
import { expand } from './cluster.ts'
import type { LogImage, State } from './disk.ts'
import { batchesOf, membershipIn, payloadsOf } from './entries.ts'
import { show } from './solo.ts'

/** The stream of a state machine's content to a follower, as a thing on its way. */
export interface SnapshotTransfer {
  readonly type: 'snapshot'
  readonly from: NodeId
  readonly to: NodeId
  readonly session: number
  readonly vote: AppendPlan['vote']
  readonly state: State & { readonly applied: LogId }
}

export type Parcel = RaftMessage | SnapshotTransfer

/** More entries of one leader than this are shown by the first, the last and their number. */
const ENTRIES_SHOWN_MAX = 6
const PAYLOAD_SHOWN_MAX = 12

export function showIndex(index: number): string {
  return index < 0 ? '-' : String(index)
}

/** `[1 2 3]`, `[1 2 3][2 3 4] learners 5 removing 1`. */
function showMembership({ configs, nodes, removing }: Membership): string {
  const voters = new Set(configs.flat())
  const learners = [...nodes.keys()].filter((id) => !voters.has(id))
  const text = configs.map((config) => `[${config.join(' ')}]`).join('')
  const names = (label: string, ids: readonly NodeId[]): string =>
    ids.length === 0 ? '' : ` ${label} ${ids.join(' ')}`
  return (text === '' ? '[]' : text) + names('learners', learners) + names('removing', removing)
}

function showPayload(payload: string): string {
  const found = membershipIn(payload)
  if (found !== null) return showMembership(found)
  return payload.length <= PAYLOAD_SHOWN_MAX ? payload : `${payload.replace(/\.+$/, '')}(${payload.length} bytes)`
}

function showPayloads(payloads: readonly string[]): string {
  const shown = payloads.map(showPayload)
  if (shown.length <= ENTRIES_SHOWN_MAX) return shown.join(' ')
  return `${shown[0]} ... ${shown.at(-1)} (${shown.length})`
}

/** `1.1x3 2.3x1`: leaders of the entries in order. */
export function showRuns(log: LogImage): string {
  const runs: { name: string; length: number }[] = []
  for (const { leaderId } of log.entries) {
    const name = show(leaderId)
    const run = runs.at(-1)
    if (run?.name === name) run.length += 1
    else runs.push({ name, length: 1 })
  }
  const purged = log.purged === null ? [] : [`(..${show(log.purged)})`]
  const text = [...purged, ...runs.map(({ name, length }) => `${name}x${length}`)].join(' ')
  return text === '' ? '-' : text
}

/** One line for each leader's entries in a row. */
export function showEntries(log: LogImage): string[] {
  const lines: string[] = log.purged === null ? [] : [`  up to ${show(log.purged)} purged`]
  for (const { leaderId, first, body } of batchesOf(log.first, log.entries)) {
    lines.push(`  ${show(leaderId)}@${first} ${showPayloads(payloadsOf(body))}`)
  }
  return lines.length === 0 ? ['  empty'] : lines
}

export function showOutgoing(log: LogImage, outgoing: Outgoing): string {
  const message = outgoing.type === 'append-plan' ? expand(log, outgoing) : outgoing
  return message === null ? `${outgoing.from}>${outgoing.to} append of entries that are gone` : showParcel(message)
}

export function showParcel(parcel: Parcel): string {
  const { from, to } = parcel
  return `${from}>${to} ${showContent(parcel)}`
}

function showContent(parcel: Parcel): string {
  switch (parcel.type) {
    case 'pre-vote-request':
      return `pre-vote? ${show(parcel.vote)} last ${show(parcel.last)}`
    case 'vote-request':
      return `vote? ${show(parcel.vote)} last ${show(parcel.last)}${parcel.transfer ? ' (transfer)' : ''}`
    case 'pre-vote-response':
    case 'vote-response': {
      const kind = parcel.type === 'vote-response' ? 'vote' : 'pre-vote'
      return `${kind} ${show(parcel.asked)} ${parcel.granted ? 'yes' : `no, has ${show(parcel.vote)}`}`
    }
    case 'append-request':
      return showAppend(parcel)
    case 'append-response': {
      const { outcome, vote, asked } = parcel
      const higher = show(vote) === show(asked) ? '' : `, has ${show(vote)}`
      if (outcome.kind === 'matched') return `holds ..${showIndex(outcome.matched)}${higher}`
      if (outcome.kind === 'outvoted') return `outvoted${higher}`
      return `conflict at ${showIndex(outcome.prev)}, try ${show(outcome.hint)}${higher}`
    }
    case 'transfer-request':
      return `take over from ${show(parcel.vote)} at ${show(parcel.last)}`
    case 'snapshot':
      return `snapshot ${show(parcel.state.applied)} ${showMembership(parcel.state.membership.membership)}`
  }
}

function showAppend({ vote, prev, batches, committed }: AppendRequest): string {
  const entries = batches.map(
    ({ leaderId, first, body }) => `${show(leaderId)}@${first} ${showPayloads(payloadsOf(body))}`,
  )
  const content = entries.length === 0 ? 'nothing' : entries.join(' | ')
  return `append ${show(vote)} after ${show(prev)}: ${content}; commit ${showIndex(committed)}`
}

export function showWrite(write: Write): string {
  switch (write.type) {
    case 'vote':
      return `vote ${show(write.vote)}`
    case 'truncate':
      return `truncate from ${write.from}`
    case 'append':
      return `${show(write.batch.leaderId)}@${write.from} ${showPayloads(payloadsOf(write.batch.body).slice(write.from - write.batch.first))}`
    case 'reset':
      return `reset to ${show(write.purged)}`
    case 'purge':
      return `purge ..${show(write.purged)}`
  }
}

export function showEvent(event: RaftEvent): string {
  switch (event.type) {
    case 'state-changed':
      return `becomes ${event.state} (${show(event.vote)})`
    case 'leader-changed':
      return event.leader === null ? 'has no leader' : `has leader ${event.leader}`
    case 'membership-changed':
      return `members ${showMembership(event.stored.membership)} ${event.committed ? 'committed' : 'effective'}`
    case 'campaign-started':
      return `${event.preVote ? 'would campaign' : 'campaigns'} as ${show(event.vote)}`
    case 'stepped-down':
      return `steps down: ${event.reason}`
    case 'message-ignored':
      return `ignores ${event.message} of ${event.from}: ${event.reason}`
    case 'truncated':
      return `truncates from ${event.from}`
    case 'transfer-started':
      return `hands over to ${event.to}`
    case 'transfer-ended':
      return `ends handing over to ${event.to}`
    case 'recovered':
      return 'has recovered'
  }
}

export function showNotLeading(outcome: NotLeading): string {
  if (outcome.kind === 'transferring') return `refuses: handing over to ${outcome.to}`
  return `refuses: not the leader${outcome.leader === null ? '' : `, ${outcome.leader} is`}`
}

export function showChange(outcome: ChangeOutcome): string {
  switch (outcome.kind) {
    case 'appended':
      return `appends ${show(outcome.logId)} ${showMembership(outcome.membership)}`
    case 'not-leader':
    case 'transferring':
      return showNotLeading(outcome)
    case 'unchanged':
      return `changes nothing, ${showMembership(outcome.stored.membership)} at ${show(outcome.stored.logId)}`
    case 'in-progress':
    case 'precondition-failed':
      return `refuses: ${outcome.kind}, ${showMembership(outcome.stored.membership)} at ${show(outcome.stored.logId)}`
    case 'address-conflict':
    case 'learner-not-found':
    case 'unknown-voter':
      return `refuses: ${outcome.kind}, node ${outcome.id}`
    case 'empty-membership':
      return `refuses: ${outcome.kind}`
    case 'learner-lagging':
      return `refuses: node ${outcome.id} lags by ${outcome.lag}`
    case 'quorum-at-risk':
      return `refuses: quorum at risk, no answer from ${outcome.unreachable.join(' ')}`
  }
}

/** State, vote, commit index, log and members of a running node in one line. */
export function showStatus(view: RaftView, log: LogImage): string {
  const { state, vote, committed, effective } = view
  const notes = [
    state === 'leader' && !view.established ? 'not established' : null,
    view.transferringTo === null ? null : `handing over to ${view.transferringTo}`,
    view.recovering ? 'recovering' : null,
    indexOf(effective.logId) > committed ? 'members uncommitted' : null,
  ].filter((note) => note !== null)
  const members = showMembership(effective.membership)
  const text = `${state} ${show(vote)} commit ${showIndex(committed)} log ${showRuns(log)} ${members}`
  return notes.length === 0 ? text : `${text}, ${notes.join(', ')}`
}
