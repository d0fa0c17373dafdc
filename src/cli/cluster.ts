import type { MembershipAnswer, MemberSpec } from '../api/cluster.ts'
import { ProblemError, type Problem } from '../client/errors.ts'
import type { QuorateClient } from '../client/quorate-client.ts'
import type { VoterOptions as ChangeOptions } from '../client/cluster-client.ts'
import type { Scheme } from '../lib/host-port.ts'
import { describeConfigs, describeIds } from './cluster-status.ts'
import { refusal, serversOf, wholeNumber, withClient, type ConnectionOptions } from './connection.ts'
import { apiFrom, memberFrom, raftFrom } from './members.ts'
import { formatFacts, printable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'

export interface InitializeOptions extends ConnectionOptions {
  readonly member?: readonly string[]
  readonly wait?: string
}

export interface AddLearnerOptions extends ConnectionOptions {
  readonly raft: string
  readonly api: string
  /** False for `--no-wait`. */
  readonly wait: boolean
}

export interface SetAddressesOptions extends ConnectionOptions {
  readonly raft: string
  readonly api: string
  readonly force?: true
}

export interface VoterOptions extends ConnectionOptions {
  readonly retain?: true
  readonly allowLagging?: true
  readonly force?: true
}

export async function initialize(terminal: Terminal, options: InitializeOptions): Promise<number> {
  const members =
    options.member === undefined
      ? null
      : options.member.map((text) => memberFrom(text, '--member', schemeOf(terminal, options)))
  const wait = options.wait ?? 'committed'
  if (wait !== 'appended' && wait !== 'leader' && wait !== 'committed') {
    throw new UsageError(`--wait ${wait}: expected appended, leader or committed`)
  }
  const servers = serversOf(terminal, options)
  if (members === null && servers.length > 1) {
    const named = servers.map(({ host }) => host).join(', ')
    throw new UsageError(
      `without --member a single node forms a cluster of its own, but --server names several (${named}): ` +
        'name one node with --server, or every initial voter with --member',
    )
  }
  return await withClient(terminal, options, async (client) => {
    const answer = await client.cluster.initialize(members, wait).catch(async (error: unknown) => {
      const formed = error instanceof ProblemError ? await formedAlready(error.problem, members, client) : null
      if (formed === null) throw error
      return formed
    })
    if (!('logId' in answer)) {
      const text = `cluster ${answer.clusterId} has already been formed of ${members === null ? 'this node alone' : 'these members'}\n`
      return terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : text)
    }
    for (const { id, raft, detail } of answer.unanswered) {
      terminal.printError(
        `node ${id} did not answer at ${printable(raft)} (${printable(detail)}): start it; if the address is wrong, \`quorate cluster set-addresses ${id}\` corrects it\n`,
      )
    }
    const text = `cluster ${answer.clusterId}\nvoters  ${describeConfigs(answer.membership.configs)}\n`
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : text)
  })
}

interface FormedAlready {
  readonly clusterId: string
  readonly membership: MembershipAnswer['membership']
}

/** The cluster that the node belongs to, if it is the one that was asked for: repeating the command succeeds. */
async function formedAlready(
  problem: Problem,
  members: readonly MemberSpec[] | null,
  client: QuorateClient,
): Promise<FormedAlready | null> {
  if (problem.code !== 'already-initialized') return null
  const { clusterId, membership } = problem as Problem & Partial<FormedAlready>
  if (typeof clusterId !== 'string' || membership === undefined || membership.configs.length !== 1) return null
  const voters = membership.configs[0] ?? []
  if (members === null) {
    const { node } = await client.cluster.status()
    return voters.length === 1 && voters[0] === node.id ? { clusterId, membership } : null
  }
  const isVoter = ({ id, raft, api }: MemberSpec): boolean =>
    voters.includes(id) && membership.nodes[id]?.raft === raft && membership.nodes[id].api === api
  return voters.length === members.length && members.every(isVoter) ? { clusterId, membership } : null
}

export async function addLearner(terminal: Terminal, id: string, options: AddLearnerOptions): Promise<number> {
  const member = {
    id: wholeNumber(id, 'node id', 1),
    raft: raftFrom(options.raft),
    api: apiFrom(options.api, schemeOf(terminal, options)),
  }
  return await withClient(terminal, options, async (client) => {
    const answer = await client.cluster.addLearner(member, options.wait)
    const progress = answer.caughtUp ? 'caught up' : `${answer.lag} entries behind`
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : `learner ${member.id}: ${progress}\n`)
  })
}

export async function setVoters(terminal: Terminal, list: string, options: VoterOptions): Promise<number> {
  const voters = nodeIdsFrom(list)
  return await withClient(terminal, options, async (client) => {
    printMembership(terminal, options, await client.cluster.setVoters(voters, changeFrom(options)))
  })
}

/** Learners become voters. */
export async function promote(terminal: Terminal, list: string, options: VoterOptions): Promise<number> {
  const ids = nodeIdsFrom(list)
  return await withClient(terminal, options, async (client) => {
    printMembership(terminal, options, await client.cluster.addVoters(ids, changeFrom(options)))
  })
}

export async function setAddresses(terminal: Terminal, id: string, options: SetAddressesOptions): Promise<number> {
  const member = {
    id: wholeNumber(id, 'node id', 1),
    raft: raftFrom(options.raft),
    api: apiFrom(options.api, schemeOf(terminal, options)),
  }
  return await withClient(terminal, options, async (client) => {
    const answer = await client.cluster.setAddresses(member, options.force === true)
    const text = `node ${member.id}: raft ${member.raft}, API ${member.api}\n`
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : text)
  })
}

/** Removes a voter or a learner from the cluster. */
export async function remove(terminal: Terminal, id: string, options: VoterOptions): Promise<number> {
  const node = wholeNumber(id, 'node id', 1)
  return await withClient(terminal, options, async (client) => {
    const { membership } = await client.cluster.membership()
    const asLearner = async (): Promise<MembershipAnswer> => await client.cluster.removeLearner(node)
    const asVoter = async (): Promise<MembershipAnswer> => await client.cluster.removeVoter(node, changeFrom(options))
    const isLearner = membership.learners.includes(node)
    const [likely, otherwise] = isLearner ? [asLearner, asVoter] : [asVoter, asLearner]
    // The node that was asked may not have heard yet what the leader knows of this one.
    const removed = (await unlessAnother(likely)) ?? (await unlessAnother(otherwise))
    if (removed === null) throw refusal('node-not-found', `node ${node} is not a member`, { id: node })
    printMembership(terminal, options, removed)
  })
}

/** Null: the node does not have the role in which it was to be removed, and nothing was done. */
async function unlessAnother(remove: () => Promise<MembershipAnswer>): Promise<MembershipAnswer | null> {
  try {
    return await remove()
  } catch (error) {
    const hasAnother = error instanceof ProblemError && ['unknown-voter', 'learner-not-found'].includes(error.code)
    if (hasAnother) return null
    throw error
  }
}

export async function transfer(
  terminal: Terminal,
  id: string | undefined,
  options: ConnectionOptions,
): Promise<number> {
  const to = id === undefined ? null : wholeNumber(id, 'node id', 1)
  return await withClient(terminal, options, async (client) => {
    const answer = await client.cluster.transfer(to)
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : `leader ${answer.leader}\n`)
  })
}

/** `1,2,4`. */
function nodeIdsFrom(list: string): number[] {
  return list.split(',').map((id) => wholeNumber(id.trim(), 'node id', 1))
}

function changeFrom(options: VoterOptions): ChangeOptions {
  return {
    retain: options.retain === true,
    allowLagging: options.allowLagging === true,
    force: options.force === true,
  }
}

function schemeOf(terminal: Terminal, options: ConnectionOptions): Scheme {
  return serversOf(terminal, options)[0]?.protocol === 'https:' ? 'https' : 'http'
}

function printMembership(terminal: Terminal, options: ConnectionOptions, answer: MembershipAnswer): void {
  if (options.json === true) return terminal.print(`${JSON.stringify(answer)}\n`)
  const { configs, learners } = answer.membership
  terminal.print(
    formatFacts([
      ['voters', describeConfigs(configs)],
      ['learners', describeIds(learners)],
    ]),
  )
}
