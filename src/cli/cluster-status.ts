import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterStatus, LogIdView, MemberStatus } from '../api/cluster.ts'
import { duration } from '../lib/duration.ts'
import { connectWith } from './client-tls.ts'
import { lookAround, type ClusterViews } from './cluster-views.ts'
import { clusterWarnings, describeWarnings } from './cluster-warnings.ts'
import {
  exitCodeOf,
  isClientFailure,
  printFailure,
  serversOf,
  shown,
  timeoutMsOf,
  type ClientFailure,
  type ConnectionOptions,
} from './connection.ts'
import { nextStep } from './next-step.ts'
import { countDown, hasQuorum, leftToFail } from './quorum.ts'
import { formatFacts, formatTable, printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface StatusOptions extends ConnectionOptions {
  /** True for `--watch` without an interval. */
  readonly watch?: string | true
}

const watchMsDefault = 1_000
const watchMsMin = 100
const watchMsMax = 60_000
/** Moves the cursor to the upper left corner and clears everything from there on. */
const redraw = '\u001b[H\u001b[J'

type Look = (signal: AbortSignal | null) => Promise<ClusterViews | ClientFailure>

/** Shows the cluster as the nodes that answer see it: once, or until the person who watches stops it. */
export async function status(terminal: Terminal, options: StatusOptions): Promise<number> {
  const everyMs = intervalFrom(options.watch)
  const [servers, timeoutMs] = [serversOf(terminal, options), timeoutMsOf(options)]
  const connect = await connectWith(terminal, options, servers)
  const look: Look = async (signal) => {
    try {
      return await lookAround({ servers, timeoutMs, connect }, signal)
    } catch (error) {
      if (isClientFailure(error)) return error
      throw error
    }
  }
  if (everyMs !== null) return await watch(terminal, options, look, everyMs)
  const seen = await look(null)
  print(terminal, options, seen)
  if (isClientFailure(seen)) return exitCodeOf(seen)
  return hasQuorum(seen.newest) ? exitCodes.stopped : exitCodes.noQuorum
}

/** A node that does not answer for a while is one of the things to watch for, so it does not end the watch. */
async function watch(terminal: Terminal, options: StatusOptions, look: Look, everyMs: number): Promise<number> {
  const interrupted = new AbortController()
  const { signal } = interrupted
  // Ctrl-C aborts the look in progress. A race against this promise would keep every answer in memory until it settles.
  void terminal.untilInterrupted().then(() => interrupted.abort())
  while (!signal.aborted) {
    const seen = await look(signal)
    // The result of a look that was cut short says nothing about the cluster.
    if (interrupted.signal.aborted) break
    if (terminal.interactive && options.json !== true) terminal.print(redraw)
    print(terminal, options, seen)
    await delay(everyMs, null, { signal }).catch(() => null)
  }
  return exitCodes.stopped
}

function intervalFrom(text: string | true | undefined): number | null {
  if (text === undefined) return null
  if (text === true) return watchMsDefault
  const parsed = duration(watchMsMin, watchMsMax)(text)
  if (parsed.ok) return parsed.value
  throw new UsageError(`--watch ${shown(text)} ${parsed.wrong}; expected a duration from 100ms to 1m, such as 2s`)
}

function print(terminal: Terminal, options: ConnectionOptions, seen: ClusterViews | ClientFailure): void {
  if (isClientFailure(seen)) return printFailure(terminal, options, seen)
  if (options.json !== true) return terminal.print(describeViews(seen))
  terminal.print(`${JSON.stringify({ ...seen.newest, warnings: clusterWarnings(seen) })}\n`)
}

function describeViews(seen: ClusterViews): string {
  const { newest, answered, silent, foreign } = seen
  const next = nextStep(seen)
  const remarks = [
    ...silent.map(({ origin, reason }) => `no answer from ${origin}: ${printable(reason)}\n`),
    ...foreign.map(({ origin, id, clusterId }) => {
      const where = clusterId === null ? 'no cluster yet' : `another cluster, ${printable(clusterId)}`
      return `node ${id} at ${origin} belongs to ${where}\n`
    }),
  ].join('')
  const warnings = describeWarnings(seen).map((warning) => `warning: ${printable(warning)}\n`)
  const parts = [
    describeCluster(newest, answered),
    warnings.join(''),
    remarks,
    next === null ? '' : `next: ${printable(next)}\n`,
  ]
  return parts.filter((part) => part !== '').join('\n')
}

function describeCluster(cluster: ClusterStatus, answered: readonly number[]): string {
  const { node } = cluster
  const facts = formatFacts([
    ['cluster', cluster.clusterId ?? '(none yet)'],
    ['answered', describeIds(answered)],
    ['as seen by', `node ${node.id} (${node.state}, version ${node.version}, up ${Math.floor(node.uptimeMs / 1000)}s)`],
    ['leader', cluster.leader === null ? '(unknown)' : String(cluster.leader)],
    ['term', String(cluster.term)],
    ['voters', cluster.membership === null ? '-' : describeVoters(cluster.membership)],
    ['last', describeLogId(cluster.lastLogId)],
    ['committed', describeLogId(cluster.committed)],
    ['applied', describeLogId(cluster.applied)],
    ['purged', describeLogId(cluster.purged)],
    ['may fail', describeTolerance(cluster)],
    ...stancesOf(cluster),
  ])
  const members = Object.entries(cluster.nodes)
  const table =
    members.length === 0
      ? ''
      : `\n${formatTable(
          ['NODE', 'ROLE', 'PRIORITY', 'RAFT', 'API', 'REACHABLE', 'MATCHED', 'LAG', 'CONTACT'],
          members.map(([id, member]) => memberRow(cluster, id, member)),
        )}`
  return facts + table
}

function describeVoters({ effective, joint }: NonNullable<ClusterStatus['membership']>): string {
  const voters = describeConfigs(effective.membership.configs)
  if (joint) return `${voters} (joint: both need a majority until the change is complete)`
  return effective.committed ? voters : `${voters} (not committed yet)`
}

function memberRow(cluster: ClusterStatus, id: string, member: MemberStatus): string[] {
  const { reachable: answers, lastContactMs } = member
  return [
    id,
    String(cluster.leader) === id ? 'leader' : member.role,
    orDash(member.priority),
    member.raft,
    member.api,
    answers === null ? '-' : answers ? 'yes' : 'no',
    orDash(member.matched),
    describeLag(member),
    lastContactMs === null ? '-' : `${Math.round(lastContactMs)}ms`,
  ]
}

/** How far a node is behind, and, while it catches up, how long that will take. */
function describeLag({ lag, phase, remainingMs, snapshot }: MemberStatus): string {
  const left = typeof remainingMs === 'number' ? ` ${Math.ceil(remainingMs / 1000)} s left` : ''
  if (phase === 'log') return `${orDash(lag)}${left}`
  if (snapshot === null) return phase === 'snapshot' ? 'snapshot waiting' : orDash(lag)
  const percent = `snapshot ${Math.floor(snapshot.percent)}%`
  if (snapshot.state === 'waiting') return `${percent}, interrupted`
  return snapshot.state === 'installing' ? `${percent}, installing` : `${percent}${left}`
}

/** Automation that is manual or off is left out: there is nothing to say about it. */
function stancesOf(cluster: ClusterStatus): [name: string, value: string][] {
  return (['formation', 'joining', 'autopilot'] as const).flatMap((name) => {
    const { mode, decision, reason } = cluster[name]
    if (mode === 'manual' || mode === 'off') return []
    const would = mode === 'dry-run' && decision !== 'none' ? 'would ' : ''
    const shown = name === 'autopilot' ? `${mode}, ${would}` : ''
    return [[name, printable(`${shown}${decision}: ${reason}`)]]
  })
}

/** How many more voters may fail. Voters that are down already count as failed. While the configuration is joint, both parts count. */
function describeTolerance({ membership, nodes }: ClusterStatus): string {
  if (membership === null) return '-'
  return membership.effective.membership.configs.map((voters) => describeLeft(voters, nodes)).join(' -> ')
}

function describeLeft(voters: readonly number[], nodes: ClusterStatus['nodes']): string {
  const [down, left] = [countDown(voters, nodes), leftToFail(voters, nodes)]
  const gone = `${down} of ${voters.length} ${down === 1 ? 'is' : 'are'} down`
  if (left < 0) return `no quorum: ${gone}`
  return down === 0 ? `${left} ${left === 1 ? 'voter' : 'voters'}` : `${left} more (${gone})`
}

function orDash(value: number | null): string {
  return value === null ? '-' : String(value)
}

export function describeLogId(id: LogIdView | null): string {
  return id === null ? '-' : `index ${id.index} (term ${id.term}, node ${id.node})`
}

export function describeConfigs(configs: readonly (readonly number[])[]): string {
  return configs.length === 0 ? '-' : configs.map(describeIds).join(' -> ')
}

export function describeIds(ids: readonly number[]): string {
  return ids.length === 0 ? '-' : ids.join(', ')
}
