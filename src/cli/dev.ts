import { setTimeout as delay } from 'node:timers/promises'
import { ConnectionError } from '../client/errors.ts'
import { QuorateClient } from '../client/quorate-client.ts'
import type { Scheme } from '../lib/host-port.ts'
import { isClientFailure, shown, wholeNumber } from './connection.ts'
import {
  apiOf,
  devNodesMax,
  devPortMax,
  discardPlan,
  makePlan,
  raftOf,
  type DevNode,
  type DevPlan,
} from './dev-plan.ts'
import { DevProcess } from './dev-process.ts'
import type { DevTls } from './dev-tls.ts'
import { formatTable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface DevOptions {
  readonly dataDir?: string
  readonly nodes?: string
  readonly port?: string
  readonly logLevel: string
  readonly tls?: true
  readonly json?: true
}

const readyTimeoutMs = 60_000
const pollMs = 20
const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** Runs nodes as children of this process until a signal stops it or one of the nodes ends by itself. */
export async function dev(terminal: Terminal, options: DevOptions): Promise<number> {
  if (!logLevels.includes(options.logLevel)) {
    throw new UsageError(`--log-level ${shown(options.logLevel)}: expected one of ${logLevels.join(', ')}`)
  }
  const startedAt = performance.now()
  const plan = await makePlan({
    directory: directoryFrom(options.dataDir),
    nodes: countFrom(options.nodes, '--nodes', devNodesMax),
    port: countFrom(options.port, '--port', devPortMax),
  })
  const say = (line: string): void => {
    if (options.json !== true) terminal.printError(`${line}\n`)
  }
  if (plan.moved)
    say('One of the default ports (from 7001 on) is in use, so the nodes use others. To choose them, use --port.')
  const tls = options.tls === true ? await tlsIn(plan) : null
  const cluster: DevCluster = { plan, tls, scheme: tls === null ? 'http' : 'https' }
  say(`Starting ${describeCount(plan.nodes.length)}...`)
  const processes = plan.nodes.map(
    (node) =>
      new DevProcess({ node, directory: plan.directory, logLevel: options.logLevel, flags: tls?.flags ?? [] }, (line) =>
        terminal.printError(`${line}\n`),
      ),
  )
  const asked = untilAsked(processes)
  const died = Promise.race(processes.map(async (process) => await process.ended))
  const giveUp = new AbortController()
  try {
    const formed = form(cluster, giveUp.signal, say)
    const early = await Promise.race([formed, asked, died])
    if (typeof early === 'string') return await fail(terminal, processes, early)
    if (early === null) return exitCodes.stopped
    const seconds = (performance.now() - startedAt) / 1000
    terminal.print(
      options.json === true
        ? readyDocument(cluster, processes)
        : describeReady(cluster, processes, early.leader, seconds),
    )
    const late = await Promise.race([asked, died])
    return late === null ? exitCodes.stopped : await fail(terminal, processes, late)
  } finally {
    giveUp.abort()
    await stopAll(processes)
    await discardPlan(plan)
  }
}

/** A cluster with its certificates; null: without TLS. */
interface DevCluster {
  readonly plan: DevPlan
  readonly tls: DevTls | null
  readonly scheme: Scheme
}

/** The library that makes certificates takes longer to load than the rest of the command. */
async function tlsIn(plan: DevPlan): Promise<DevTls> {
  const { makeDevTls } = await import('./dev-tls.ts')
  try {
    return await makeDevTls(plan.directory)
  } catch (error) {
    await discardPlan(plan)
    throw error
  }
}

function directoryFrom(text: string | undefined): string | null {
  if (text === undefined) return null
  if (text === '') throw new UsageError("--data-dir '': expected the path of a directory")
  return text
}

function countFrom(text: string | undefined, name: string, max: number): number | null {
  if (text === undefined) return null
  const value = wholeNumber(text, name, 1)
  if (value <= max) return value
  throw new UsageError(`${name} ${text}: expected a whole number from 1 to ${max}`)
}

/** Resolves with null at the first signal; at the second the nodes are killed. */
async function untilAsked(processes: readonly DevProcess[]): Promise<null> {
  return await new Promise((resolve) => {
    let asked = false
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (asked) for (const process of processes) process.stop('SIGKILL')
        asked = true
        resolve(null)
      })
    }
  })
}

async function fail(terminal: Terminal, processes: readonly DevProcess[], reason: string): Promise<number> {
  terminal.printError(`quorate dev: ${reason}; stopping the others\n`)
  await stopAll(processes)
  return exitCodes.refused
}

async function stopAll(processes: readonly DevProcess[]): Promise<void> {
  for (const process of processes) process.stop('SIGTERM')
  await Promise.all(processes.map(async (process) => await process.ended))
}

/** Forms the cluster, unless an earlier run has done so, and waits until every node serves. A string is the reason of a failure. */
async function form(
  { plan, tls, scheme }: DevCluster,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<{ readonly leader: number | null } | string> {
  const deadline = performance.now() + readyTimeoutMs
  const clients = plan.nodes.map(
    (node) =>
      new QuorateClient({
        servers: [`${scheme}://${apiOf(node)}`],
        timeoutMs: readyTimeoutMs,
        retry: false,
        ...(tls === null ? {} : { tls: { ca: tls.ca } }),
      }),
  )
  const [first] = clients
  if (first === undefined) return 'there are no nodes'
  try {
    const answers = await Promise.all(
      clients.map(async (client) => await patiently(deadline, signal, async () => await client.cluster.status())),
    )
    if (answers.every((cluster) => cluster.clusterId === null)) {
      say('Forming the cluster...')
      await first.cluster.initialize(
        plan.nodes.map((node) => memberOf(node, scheme)),
        'committed',
      )
    }
    for (const client of clients) {
      await patiently(deadline, signal, async () => ((await client.cluster.isReady()) ? true : null))
    }
    return { leader: (await first.cluster.status()).leader }
  } catch (error) {
    if (isClientFailure(error) || error instanceof TooLate) {
      return `the cluster did not form: ${error.message}`
    }
    throw error
  } finally {
    for (const client of clients) client.close()
  }
}

function memberOf(node: DevNode, scheme: Scheme): { id: number; raft: string; api: string } {
  return { id: node.id, raft: raftOf(node), api: `${scheme}://${apiOf(node)}` }
}

class TooLate extends Error {
  override readonly name = 'TooLate'
}

/** Repeats the question while nobody answers or the answer is null. */
async function patiently<Answer>(
  deadline: number,
  signal: AbortSignal,
  ask: () => Promise<Answer | null>,
): Promise<Answer> {
  while (performance.now() < deadline && !signal.aborted) {
    try {
      const answer = await ask()
      if (answer !== null) return answer
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
    }
    await delay(pollMs)
  }
  throw new TooLate(`not ready within ${readyTimeoutMs / 1000} s`)
}

function describeReady(
  { plan, tls, scheme }: DevCluster,
  processes: readonly DevProcess[],
  leader: number | null,
  seconds: number,
): string {
  const rows = processes.map(({ node, pid }) => [
    String(node.id),
    `${scheme}://${apiOf(node)}`,
    raftOf(node),
    String(pid),
    node.id === leader ? 'leader' : 'follower',
  ])
  const origins = plan.nodes.map((node) => `${scheme}://${apiOf(node)}`)
  const [first = '', second = first, third = first] = origins
  const others = origins.length === 1 ? 'Write and read' : 'Write on one node, read on another'
  const variables = [
    ...(first === 'http://127.0.0.1:7001' ? [] : [`QUORATE_SERVER=${first}`]),
    ...(tls === null ? [] : [`QUORATE_CA=${tls.caFile}`]),
  ]
  const server = variables.length === 0 ? '' : `To use it from the command line: export ${variables.join(' ')}\n\n`
  const curl = tls === null ? 'curl' : `curl --cacert ${tls.caFile}`
  const kept = plan.temporary ? 'removed at the end; keep data with --data-dir' : 'kept'
  return `${describeCount(origins.length)}, formed and ready after ${seconds.toFixed(1)} s. Data in ${plan.directory} (${kept}).

${formatTable(['NODE', 'API', 'RAFT', 'PID', 'ROLE'], rows)}
${others}:

  ${curl} -X PUT --data-binary world ${first}/kv/hello
  ${curl} ${second}/kv/hello
  ${curl} ${third}/cluster

${server}Ctrl-C stops ${origins.length === 1 ? 'it' : 'all of them'}.
`
}

function describeCount(nodes: number): string {
  return nodes === 1 ? '1 node' : `${nodes} nodes`
}

function readyDocument({ plan, tls, scheme }: DevCluster, processes: readonly DevProcess[]): string {
  const nodes = processes.map(({ node, pid }) => ({
    id: node.id,
    api: `${scheme}://${apiOf(node)}`,
    raft: raftOf(node),
    pid,
  }))
  return `${JSON.stringify({ directory: plan.directory, temporary: plan.temporary, ca: tls?.caFile ?? null, nodes })}\n`
}
