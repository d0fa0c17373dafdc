import { randomBytes } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { QuorateClient } from '../client/quorate-client.ts'
import { assert } from '../lib/assert.ts'
import { duration } from '../lib/duration.ts'
import { toError } from '../lib/to-error.ts'
import { limits } from '../limits.ts'
import { connectWith } from './client-tls.ts'
import { lookOrFail } from './check-cluster.ts'
import { onOwnKeys, prefixOf } from './check-keys.ts'
import { assessHealth } from './cluster-health.ts'
import {
  exitCodeOf,
  isClientFailure,
  printFailure,
  serversOf,
  shown,
  timeoutMsOf,
  type ConnectionOptions,
} from './connection.ts'
import { summaryOf, verdictOf, type PerfSummary } from './perf-verdict.ts'
import { formatFacts, printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface PerfOptions extends ConnectionOptions {
  readonly load?: string
  readonly duration?: string
  readonly prefix?: string
}

/** Those of etcd's `check perf`, as far as one process can make the load. */
const loads = {
  s: { rate: 150, clients: 50 },
  m: { rate: 1_000, clients: 200 },
  l: { rate: 8_000, clients: 500 },
} as const

type Load = (typeof loads)[keyof typeof loads]

const msDefault = 10_000
/** The sizes are those of etcd's check, too. */
const keyBytes = 256
const valueBytes = 1024
/** So that the check leaves no more behind than a deletion removes at once. */
const keys = 1_000

interface Run {
  readonly load: Load
  readonly durationMs: number
  readonly prefix: string
  readonly signal: AbortSignal
}

/** What came of a run. */
interface Measured {
  /** Seconds that each put took which was acknowledged. */
  readonly seconds: readonly number[]
  readonly failures: readonly string[]
  readonly lastedMs: number
}

/** Writes at a fixed rate for a short time, and says whether the cluster keeps up, as etcd's `check perf` does. */
export async function perf(terminal: Terminal, options: PerfOptions): Promise<number> {
  const [load, durationMs] = [loadFrom(options.load), durationFrom(options.duration)]
  const prefix = prefixOf(options.prefix, 'perf')
  const timeoutMs = timeoutMsOf(options)
  const connect = await connectWith(terminal, options, serversOf(terminal, options))
  const seen = await lookOrFail(terminal, options, connect)
  if (isClientFailure(seen)) {
    printFailure(terminal, options, seen)
    return exitCodeOf(seen)
  }
  const health = await assessHealth(seen, connect, timeoutMs)
  if (!health.healthy) {
    const listed = health.findings.map((finding) => `  - ${printable(finding)}\n`).join('')
    terminal.printError(`quorate: the cluster is not healthy, so nothing was measured:\n${listed}`)
    return health.code
  }
  const interrupted = new AbortController()
  // Every client of the load waits with it.
  setMaxListeners(0, interrupted.signal)
  void terminal.untilInterrupted().then(() => interrupted.abort())
  const origins = seen.views.map(({ origin }) => origin)
  const clients = clientsFor(load, (first) => connect({ servers: turned(origins, first), timeoutMs }))
  try {
    const [keeper] = clients
    assert(keeper !== undefined, 'each load has a client')
    const check = async (): Promise<Measured> =>
      await run({ load, durationMs, prefix, signal: interrupted.signal }, clients)
    const { found: measured, kept } = await onOwnKeys(terminal, { client: keeper, prefix }, check)
    const code = report(terminal, options, load, measured)
    return code === exitCodes.stopped && kept !== null ? exitCodeOf(kept) : code
  } finally {
    for (const client of clients) client.close()
  }
}

/** As many as it takes for no request to wait for a connection. `make` is told which one it makes. */
function clientsFor({ clients }: Load, make: (number: number) => QuorateClient): QuorateClient[] {
  return Array.from({ length: Math.ceil(clients / limits.clientSocketsMax) }, (_, number) => make(number))
}

/** The same, beginning with another one each time, so that the load is shared. */
function turned(origins: readonly string[], number: number): string[] {
  const first = number % origins.length
  return [...origins.slice(first), ...origins.slice(0, first)]
}

async function run({ load, durationMs, prefix, signal }: Run, clients: readonly QuorateClient[]): Promise<Measured> {
  const value = randomBytes(valueBytes)
  const total = Math.max(1, Math.round((load.rate * durationMs) / 1000))
  const [seconds, failures]: [number[], string[]] = [[], []]
  const faults: Error[] = []
  const broken = new AbortController()
  const stop = AbortSignal.any([signal, broken.signal])
  setMaxListeners(0, stop)
  const begun = performance.now()
  const endsAt = begun + durationMs
  let next = 0
  await Promise.all(
    Array.from({ length: load.clients }, async (_, at) => {
      const client = clients[at % clients.length]
      for (let number = next++; client !== undefined && number < total; number = next++) {
        const waitMs = begun + (number * 1000) / load.rate - performance.now()
        if (waitMs > 0) await delay(waitMs, null, { signal: stop }).catch(() => null)
        if (stop.aborted || performance.now() > endsAt) return
        const from = performance.now()
        try {
          await client.put(`${prefix}${number % keys}`.padEnd(keyBytes, '-'), value)
          seconds.push((performance.now() - from) / 1000)
        } catch (error) {
          if (isClientFailure(error)) failures.push(error.message)
          else {
            // The others write nothing more: the keys are about to be removed.
            faults.push(toError(error))
            broken.abort()
          }
        }
      }
    }),
  )
  const [fault] = faults
  if (fault !== undefined) throw fault
  return { seconds, failures, lastedMs: performance.now() - begun }
}

function report(terminal: Terminal, options: PerfOptions, { rate }: Load, measured: Measured): number {
  const { seconds, failures, lastedMs } = measured
  const [failure] = failures
  const summary = summaryOf(seconds, failures.length, Math.max(lastedMs, 1) / 1000)
  const verdict = verdictOf(summary, rate)
  const passed = verdict.every(({ ok }) => ok)
  if (options.json === true) terminal.print(`${JSON.stringify({ passed, asked: rate, ...summary })}\n`)
  else {
    const lines = verdict.map(({ ok, text }) => `${ok ? 'PASS' : 'FAIL'}: ${text}\n`).join('')
    const example = failure === undefined ? '' : `first failure: ${printable(failure)}\n`
    terminal.print(`${describeSummary(summary, rate)}\n${lines}${example}${passed ? 'PASS' : 'FAIL'}\n`)
  }
  if (seconds.length === 0) return exitCodes.inconclusive
  return passed ? exitCodes.stopped : exitCodes.checkFailed
}

function describeSummary(summary: PerfSummary, rate: number): string {
  const ms = (seconds: number): string => `${(seconds * 1000).toFixed(1)} ms`
  return formatFacts([
    ['puts', `${summary.puts} of ${keyBytes} + ${valueBytes} bytes, ${summary.failed} failed`],
    ['put/s', `${summary.putsPerSecond.toFixed(0)} of ${rate} asked for`],
    ['p50', ms(summary.p50Seconds)],
    ['p99', ms(summary.p99Seconds)],
  ])
}

function loadFrom(text: string | undefined): Load {
  if (text === undefined) return loads.s
  if (Object.hasOwn(loads, text)) return loads[text as keyof typeof loads]
  throw new UsageError(`--load ${shown(text)}: expected s, m or l`)
}

function durationFrom(text: string | undefined): number {
  if (text === undefined) return msDefault
  const parsed = duration(1_000, limits.checkPerfMsMax)(text)
  if (parsed.ok) return parsed.value
  throw new UsageError(`--duration ${shown(text)} ${parsed.wrong}; expected a duration from 1s to 1m, such as 30s`)
}
