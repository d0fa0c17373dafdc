import {
  futureVotersOf,
  nodeId,
  type LogIndex,
  type MembershipChange,
  type NodeId,
  type Raft,
} from '../../../src/raft/index.ts'
import { addressesOf, bodyOf, members } from './entries.ts'
import { showChange, showNotLeading } from './script-print.ts'
import type { Stage } from './script-stage.ts'
import { ScriptError, type Words } from './script-words.ts'
import { show } from './solo.ts'

/** Takes its words, and returns what to do. */
export type Command = (words: Words) => (stage: Stage) => void

const PAYLOAD_BYTES_MAX = 1024 * 1024

/** Requests to a node. */
export const requests: Record<string, Command> = {
  initialize: (words) => {
    const id = words.node()
    const voters = words.more ? words.nodeList() : null
    return onNode(id, (stage, raft, now) => {
      const outcome = raft.initialize(now, members(...(voters ?? stage.actors.keys())))
      if (outcome.kind === 'appended') return `appends the membership at ${show(outcome.logId)}`
      if (outcome.kind === 'not-in-members') return 'refuses: not in members'
      return `refuses: already initialized, last ${show(outcome.last)}, vote ${show(outcome.vote)}`
    })
  },
  propose: (words) => {
    const id = words.node()
    const bytes = words.integerOption('bytes') ?? 0
    const count = words.more ? words.integer('a number of entries') : 1
    if (count < 1 || bytes > PAYLOAD_BYTES_MAX) throw new ScriptError('that is no proposal')
    return onNode(id, (stage, raft, now) => {
      const payloads = Array.from({ length: count }, () => {
        stage.proposals += 1
        return `p${stage.proposals}`.padEnd(bytes, '.')
      })
      const outcome = raft.propose(now, { count, body: bodyOf(payloads) })
      if (outcome.kind === 'accepted') {
        const { leaderId, first: index, last } = outcome
        return `appends ${show({ leaderId, index })}${last > index ? `..${last}` : ''}`
      }
      return outcome.kind === 'overloaded' ? 'refuses: overloaded' : showNotLeading(outcome)
    })
  },
  campaign: (words) =>
    onNode(words.node(), (_stage, raft, now) => {
      const outcome = raft.campaign(now)
      return outcome.kind === 'refused' ? `refuses: ${outcome.reason}` : null
    }),
  'step-down': (words) =>
    onNode(words.node(), (_stage, raft, now) => {
      raft.stepDown(now, 'on request')
      return null
    }),
  transfer: (words) => {
    const id = words.node()
    const to = words.more ? nodeId(words.node()) : null
    return onNode(id, (_stage, raft, now) => {
      const outcome = raft.transfer(now, to)
      if (outcome.kind === 'started') return null
      return outcome.kind === 'no-target' ? `refuses: ${outcome.reason}` : showNotLeading(outcome)
    })
  },
  read: (words) =>
    onNode(words.node(), (stage, raft, now) => {
      stage.reads += 1
      const readId = stage.reads
      const outcome = raft.read(now, readId)
      return outcome.kind === 'pending' ? `takes read ${readId}` : showNotLeading(outcome)
    }),
  'lease-read': (words) =>
    onNode(words.node(), (_stage, raft, now) => {
      const index = raft.leaseRead(now)
      return index === null ? 'has no lease' : `reads by its lease at ${index}`
    }),
  'add-learner': (words) => {
    const [id, learner] = [words.node(), words.node()]
    const like = words.integerOption('at') ?? learner
    return change(id, words, () => ({ type: 'add-learner', id: nodeId(learner), addresses: addressesOf(like) }))
  },
  'remove-learner': (words) => {
    const [id, learner] = [words.node(), words.node()]
    return change(id, words, () => ({ type: 'remove-learner', id: nodeId(learner) }))
  },
  'set-voters': (words) => {
    const id = words.node()
    const voters = words.nodeList().map(nodeId)
    return changeVoters(id, words, () => voters)
  },
  remove: (words) => {
    const [id, gone] = [words.node(), words.node()]
    return changeVoters(id, words, (raft) =>
      futureVotersOf(raft.effectiveMembership.membership).filter((voter) => voter !== gone),
    )
  },
  flush: (words) => {
    const id = words.node()
    return (stage) => {
      const actor = stage.running(id)
      const { applied } = actor.state
      if (applied === null || applied.index > actor.disk.durable.lastIndex) throw new ScriptError('no state to flush')
      actor.disk.state = actor.state
      stage.input(id, (raft, now) => raft.stateDurable(now, applied))
    }
  },
  purge: (words) => {
    const id = words.node()
    const to = words.more ? words.integer('an index') : null
    return onNode(id, (_stage, raft, now) => {
      const purged = raft.purgeTo(now, to === null ? null : (to as LogIndex))
      return purged === null ? 'purges nothing' : `purges ..${show(purged)}`
    })
  },
}

function onNode(id: number, act: (stage: Stage, raft: Raft, now: number) => string | null): (stage: Stage) => void {
  return (stage) => {
    stage.ask(id, (raft, now) => act(stage, raft, now))
  }
}

function change(id: number, words: Words, plan: (raft: Raft) => MembershipChange): (stage: Stage) => void {
  const at = words.integerOption('if-at')
  return onNode(id, (_stage, raft, now) =>
    showChange(raft.changeMembership(now, plan(raft), at === null ? null : (at as LogIndex))),
  )
}

function changeVoters(id: number, words: Words, votersOf: (raft: Raft) => readonly NodeId[]): (stage: Stage) => void {
  const [retain, allowLagging, force] = [words.flag('retain'), words.flag('allow-lagging'), words.flag('force')]
  return change(id, words, (raft) => ({ type: 'set-voters', voters: votersOf(raft), retain, allowLagging, force }))
}
