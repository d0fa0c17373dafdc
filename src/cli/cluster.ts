import type { ClusterAnswer, LogIdAnswer, MembershipAnswer, MemberStatusAnswer } from '../client/answers.ts'
import type { MemberAddress } from '../client/quorate-client.ts'
import { reachable, reachableOrigin } from '../setting.ts'
import { wholeNumber, withClient, type ConnectionOptions } from './connection.ts'
import { formatFacts, formatTable, printable } from './table.ts'
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

export interface VoterOptions extends ConnectionOptions {
  readonly retain?: true
  readonly allowLagging?: true
  readonly force?: true
}

export async function status(terminal: Terminal, options: ConnectionOptions): Promise<number> {
  return await withClient(terminal, options, async (client) => {
    const cluster = await client.cluster()
    terminal.print(options.json === true ? `${JSON.stringify(cluster)}\n` : describeCluster(cluster))
  })
}

export async function initialize(terminal: Terminal, options: InitializeOptions): Promise<number> {
  const members = options.member === undefined ? null : options.member.map(memberFrom)
  const wait = options.wait ?? 'committed'
  if (wait !== 'appended' && wait !== 'leader' && wait !== 'committed') {
    throw new UsageError(`--wait ${wait}: allowed are appended, leader and committed`)
  }
  return await withClient(terminal, options, async (client) => {
    const answer = await client.initialize(members, wait)
    const text = `cluster ${answer.clusterId}\nvoters  ${describeConfigs(answer.membership.configs)}\n`
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : text)
  })
}

export async function addLearner(terminal: Terminal, id: string, options: AddLearnerOptions): Promise<number> {
  const member = { id: wholeNumber(id, 'node id', 1), raft: raftFrom(options.raft), api: apiFrom(options.api) }
  return await withClient(terminal, options, async (client) => {
    const answer = await client.addLearner(member, options.wait)
    const progress = answer.caughtUp ? 'caught up' : `${answer.lag} entries behind`
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : `learner ${member.id}: ${progress}\n`)
  })
}

export async function setVoters(terminal: Terminal, list: string, options: VoterOptions): Promise<number> {
  const voters = list.split(',').map((id) => wholeNumber(id.trim(), 'node id', 1))
  return await withClient(terminal, options, async (client) => {
    printMembership(terminal, options, await client.setVoters(voters, changeFrom(options)))
  })
}

/** Voter or learner: the node leaves the cluster. */
export async function remove(terminal: Terminal, id: string, options: VoterOptions): Promise<number> {
  const node = wholeNumber(id, 'node id', 1)
  return await withClient(terminal, options, async (client) => {
    const { membership } = await client.membership()
    if (membership.learners.includes(node)) {
      await client.removeLearner(node)
      printMembership(terminal, options, await client.membership())
    } else {
      printMembership(terminal, options, await client.removeVoter(node, changeFrom(options)))
    }
  })
}

export async function transfer(
  terminal: Terminal,
  id: string | undefined,
  options: ConnectionOptions,
): Promise<number> {
  const to = id === undefined ? null : wholeNumber(id, 'node id', 1)
  return await withClient(terminal, options, async (client) => {
    const answer = await client.transfer(to)
    terminal.print(options.json === true ? `${JSON.stringify(answer)}\n` : `leader ${answer.leader}\n`)
  })
}

function changeFrom(options: VoterOptions): { retain: boolean; allowLagging: boolean; force: boolean } {
  return {
    retain: options.retain === true,
    allowLagging: options.allowLagging === true,
    force: options.force === true,
  }
}

/** `ID,RAFT,API`: `1,127.0.0.1:7101,127.0.0.1:7001`. */
function memberFrom(text: string): MemberAddress {
  const [id, raft, api, ...rest] = text.split(',')
  if (id === undefined || raft === undefined || api === undefined || rest.length > 0) {
    throw new UsageError(`--member ${text}: allowed is ID,RAFT,API, such as 1,127.0.0.1:7101,127.0.0.1:7001`)
  }
  return { id: wholeNumber(id, 'node id', 1), raft: raftFrom(raft), api: apiFrom(api) }
}

function raftFrom(text: string): string {
  const parsed = reachable(text)
  if (parsed.ok) return parsed.value
  throw new UsageError(`the raft address ${text} ${parsed.wrong}; allowed is HOST:PORT`)
}

function apiFrom(text: string): string {
  const parsed = reachableOrigin(text)
  if (parsed.ok) return parsed.value
  throw new UsageError(`the API address ${text} ${parsed.wrong}; allowed is HOST:PORT or http://HOST:PORT`)
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

function describeCluster(cluster: ClusterAnswer): string {
  const { node } = cluster
  const facts = formatFacts([
    ['cluster', cluster.clusterId ?? '(none yet)'],
    ['node', `${node.id} (${node.state}, version ${node.version}, up ${Math.floor(node.uptimeMs / 1000)}s)`],
    ['leader', cluster.leader === null ? '(unknown)' : String(cluster.leader)],
    ['term', String(cluster.term)],
    ['voters', cluster.membership === null ? '-' : describeConfigs(cluster.membership.effective.membership.configs)],
    ['last', describeLogId(cluster.lastLogId)],
    ['committed', describeLogId(cluster.committed)],
    ['applied', describeLogId(cluster.applied)],
    ['purged', describeLogId(cluster.purged)],
    ['may fail', `${cluster.failureTolerance} voters`],
  ])
  const members = Object.entries(cluster.nodes)
  const table =
    members.length === 0
      ? ''
      : `\n${formatTable(
          ['NODE', 'ROLE', 'RAFT', 'API', 'REACHABLE', 'MATCHED', 'LAG', 'CONTACT'],
          members.map(([id, member]) => memberRow(cluster, id, member)),
        )}`
  const warnings = cluster.warnings.map(({ code, detail }) => `warning: ${printable(detail)} (${code})\n`).join('')
  return facts + table + (warnings === '' ? '' : `\n${warnings}`)
}

function memberRow(cluster: ClusterAnswer, id: string, member: MemberStatusAnswer): string[] {
  const { reachable: answers, snapshot, lastContactMs } = member
  const lag = snapshot === null ? orDash(member.lag) : `snapshot ${Math.floor(snapshot.percent)}%`
  return [
    id,
    String(cluster.leader) === id ? 'leader' : member.role,
    member.raft,
    member.api,
    answers === null ? '-' : answers ? 'yes' : 'no',
    orDash(member.matched),
    lag,
    lastContactMs === null ? '-' : `${Math.round(lastContactMs)}ms`,
  ]
}

function orDash(value: number | null): string {
  return value === null ? '-' : String(value)
}

function describeLogId(id: LogIdAnswer | null): string {
  return id === null ? '-' : `index ${id.index} (term ${id.term}, node ${id.node})`
}

function describeConfigs(configs: readonly (readonly number[])[]): string {
  return configs.length === 0 ? '-' : configs.map(describeIds).join(' -> ')
}

function describeIds(ids: readonly number[]): string {
  return ids.length === 0 ? '-' : ids.join(', ')
}
