import { setTimeout as delay } from 'node:timers/promises'
import type { Operation } from '../checker/operation.ts'
import type { QuorateClient } from '../client/quorate-client.ts'
import { duration } from '../lib/duration.ts'
import { limits } from '../limits.ts'
import { CheckedClients, checkedClientOptions, type CheckedClient } from './checked-clients.ts'
import { connectWith, type Connect } from './client-tls.ts'
import { lookOrFail } from './check-cluster.ts'
import { onOwnKeys, prefixOf } from './check-keys.ts'
import type { ClusterViews } from './cluster-views.ts'
import {
  exitCodeOf,
  isClientFailure,
  printFailure,
  refusal,
  serversOf,
  shown,
  timeoutMsOf,
  wholeNumber,
  type ClientFailure,
  type ConnectionOptions,
} from './connection.ts'
import { Judgement, type Offence } from './judgement.ts'
import { formatFacts, printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface ConsistencyOptions extends ConnectionOptions {
  readonly duration?: string
  readonly clients?: string
  readonly prefix?: string
}

const msDefault = 10_000
const clientsDefault = 2
const keysPerRound = 4

interface Plan {
  readonly origins: readonly string[]
  readonly connect: Connect
  readonly clientsPerNode: number
  readonly durationMs: number
  readonly prefix: string
}

/**
 * Whether a running cluster is linearizable: clients on every node write and read the same few keys for a while, and the checker of the
 * simulator looks for one order that explains every answer.
 */
export async function consistency(terminal: Terminal, options: ConsistencyOptions): Promise<number> {
  const [durationMs, clientsPerNode] = [durationFrom(options.duration), clientsFrom(options.clients)]
  const prefix = prefixOf(options.prefix, 'consistency')
  const connect = await connectWith(terminal, options, serversOf(terminal, options))
  const origins = originsIn(await lookOrFail(terminal, options, connect))
  if (isClientFailure(origins)) {
    printFailure(terminal, options, origins)
    return exitCodeOf(origins)
  }
  const plan = { origins, connect, clientsPerNode, durationMs, prefix }
  const keeper = keeperOf(plan, timeoutMsOf(options))
  if (isClientFailure(keeper)) {
    printFailure(terminal, options, keeper)
    return exitCodeOf(keeper)
  }
  try {
    const check = async (): Promise<Found> => {
      const judgement = await play(terminal, plan, keeper)
      return { code: report(terminal, options, plan, judgement), unknown: judgement.unknown }
    }
    const { found, kept } = await onOwnKeys(terminal, { client: keeper, prefix }, check, untilNothingIsOpen)
    const { code } = found
    return code === exitCodes.stopped && kept !== null ? exitCodeOf(kept) : code
  } finally {
    keeper.close()
  }
}

/** Asks any node, or says which of them must not be asked: without it, the check would say nothing about the whole cluster. */
function keeperOf({ connect, origins }: Plan, timeoutMs: number): QuorateClient | ClientFailure {
  try {
    return connect({ servers: origins, timeoutMs })
  } catch (error) {
    if (isClientFailure(error)) return error
    throw error
  }
}

interface Found {
  readonly code: number
  /** Operations of unknown outcome. */
  readonly unknown: number
}

/** Operations that were still on their way are over by then, so that nothing appears after the keys are removed. */
async function untilNothingIsOpen(found: Found | null): Promise<void> {
  if (found === null || found.unknown > 0) await delay(limits.checkRequestMsMax)
}

/** Plays round after round until the time is up, somebody presses Ctrl-C, or a violation is found. */
async function play(terminal: Terminal, plan: Plan, keeper: QuorateClient): Promise<Judgement> {
  const stopped = new AbortController()
  void terminal.untilInterrupted().then(() => stopped.abort())
  const clients: CheckedClient[] = Array.from({ length: plan.clientsPerNode }, () => plan.origins)
    .flat()
    .map((origin) => ({ origin, client: plan.connect({ servers: [origin], ...checkedClientOptions }) }))
  const checked = new CheckedClients(clients)
  const judgement = new Judgement(clients.map(({ origin }) => origin))
  const endsAt = performance.now() + plan.durationMs
  try {
    for (let number = 1; !stopped.signal.aborted && performance.now() < endsAt; number++) {
      const prefix = `${plan.prefix}${number}/`
      const operations: Operation[] = await checked.play({
        keys: Array.from({ length: keysPerRound }, (_, at) => `${prefix}${at}`),
        operationsMax: limits.checkRoundOperationsMax,
        endsAt: Math.min(endsAt, performance.now() + limits.checkRoundMsMax),
        signal: stopped.signal,
      })
      judgement.judge(operations)
      if (judgement.offence !== null) break
      // Keys of a round that is over need not wait for the end. If this fails, the end removes them.
      await keeper.deleteRange({ prefix }).catch((error: unknown) => {
        if (!isClientFailure(error)) throw error
      })
    }
    return judgement
  } finally {
    for (const { client } of clients) client.close()
  }
}

function report(terminal: Terminal, options: ConsistencyOptions, plan: Plan, judgement: Judgement): number {
  const { offence, reason } = judgement
  const verdict = offence === null ? (reason === null ? 'linearizable' : 'inconclusive') : 'violation'
  const { operations, answered, unknown, failed, keys } = judgement
  if (options.json === true) {
    const shownOffence = offence === null ? {} : { offence }
    const counts = { operations, answered, unknown, failed, keys }
    const document = { verdict, reason, prefix: plan.prefix, nodes: judgement.nodes, ...counts, ...shownOffence }
    terminal.print(`${JSON.stringify(document)}\n`)
  } else {
    const clients = plan.origins.length * plan.clientsPerNode
    terminal.print(
      formatFacts([
        ['clients', `${clients}, on ${plan.origins.join(', ')}`],
        ['operations', `${operations}: ${answered} answered, ${failed} without effect, ${unknown} of unknown outcome`],
        ['keys', `${keys}, under ${plan.prefix}`],
      ]),
    )
    for (const origin of judgement.mute) terminal.print(`- ${origin} answered nothing, so nothing is known of it\n`)
    terminal.print(describeVerdict(offence, reason))
  }
  if (verdict === 'violation') return exitCodes.notLinearizable
  return verdict === 'linearizable' ? exitCodes.stopped : exitCodes.inconclusive
}

function describeVerdict(offence: Offence | null, reason: string | null): string {
  if (offence === null) {
    return reason === null
      ? 'linearizable: one order of the operations explains every answer\n'
      : `inconclusive: ${reason}\n`
  }
  const { key, lines, culprit, leftOut, onlyLease } = offence
  return [
    `NOT linearizable: no order of the operations on ${key} explains what clients were told.`,
    ...(onlyLease
      ? ['Without the reads of consistency `lease` there is one: look at the clocks of the machines.']
      : []),
    'Moments are milliseconds from the first of these operations; the one marked > fits nowhere:',
    ...(leftOut === 0 ? [] : [`  ... ${leftOut} more operations`]),
    ...lines.map((line) => `${line === culprit ? '>' : ' '} ${printable(line)}`),
    '',
  ].join('\n')
}

/** Every node of the cluster, those included that do not answer now. A check of two clusters at once would find that they are not one. */
function originsIn(seen: ClusterViews | ClientFailure): readonly string[] | ClientFailure {
  if (isClientFailure(seen)) return seen
  const { newest, views, silent, foreign } = seen
  const [stranger] = foreign
  if (stranger !== undefined) {
    throw new UsageError(
      `node ${stranger.id} at ${stranger.origin} does not belong to the cluster of the others: name nodes of one cluster`,
    )
  }
  if (newest.clusterId === null) return refusal('not-initialized', 'the node belongs to no cluster yet')
  return [...views, ...silent].map(({ origin }) => origin)
}

function durationFrom(text: string | undefined): number {
  if (text === undefined) return msDefault
  const parsed = duration(1_000, limits.checkMsMax)(text)
  if (parsed.ok) return parsed.value
  throw new UsageError(`--duration ${shown(text)} ${parsed.wrong}; expected a duration from 1s to 10m, such as 30s`)
}

function clientsFrom(text: string | undefined): number {
  const count = text === undefined ? clientsDefault : wholeNumber(text, '--clients', 1)
  if (count <= limits.checkClientsMax) return count
  throw new UsageError(`--clients ${count}: at most ${limits.checkClientsMax} on each node`)
}
