import { setTimeout as delay } from 'node:timers/promises'
import { AmbiguousOutcomeError } from '../client/errors.ts'
import type { LeaseStatus, LeaseSummary, QuorateClient, RequestOptions } from '../client/index.ts'
import { leaseNow, lookMsMax } from '../client/lease-keeper.ts'
import { pauseMsAfter } from '../client/retry-policy.ts'
import {
  isClientFailure,
  refusal,
  timeoutMsOf,
  withClient,
  type ClientFailure,
  type ConnectionOptions,
} from './connection.ts'
import { leaseIdOf, ttlMsOf } from './lease-arguments.ts'
import { jsonLines, printListing, tableLines } from './listing.ts'
import { printable } from './table.ts'
import type { Terminal } from './terminal.ts'

export interface GrantOptions extends ConnectionOptions {
  readonly id?: string
}

export interface KeepaliveOptions extends ConnectionOptions {
  readonly once?: true
}

/** A lease is renewed when this part of it has passed, and an attempt takes no longer, so that one that fails can be repeated in time. */
const RENEWED_AFTER = 1 / 3

export async function grant(terminal: Terminal, length: string, options: GrantOptions): Promise<number> {
  const ttlMs = ttlMsOf(length, 'the length')
  const id = options.id === undefined ? undefined : leaseIdOf(options.id)
  return await withClient(terminal, options, async (client) => {
    const lease = await client.leases.grant({ ttlMs, id })
    terminal.print(options.json === true ? `${JSON.stringify(lease)}\n` : `${lease.id}\n`)
  })
}

/** Renews the lease until the user stops the command, or once. */
export async function keepalive(terminal: Terminal, text: string, options: KeepaliveOptions): Promise<number> {
  const id = leaseIdOf(text)
  return await withClient(terminal, options, async (client) => {
    if (options.once === true) return void (await renew(terminal, client, id, options))
    const stop = new AbortController()
    void terminal.untilInterrupted().then(() => stop.abort())
    await renewUntil(stop.signal, terminal, client, id, options)
  })
}

/** An attempt that fails is repeated until the time of the lease is over: it may be one server, which is starting again. */
async function renewUntil(
  signal: AbortSignal,
  terminal: Terminal,
  client: QuorateClient,
  id: number,
  options: ConnectionOptions,
): Promise<void> {
  const found = await leaseOf(client, id, { signal }).catch((error: unknown) => {
    if (signal.aborted) return null
    throw error
  })
  if (found === null) return
  const { ttlMs, remainingMs } = found
  const pauseMs = ttlMs * RENEWED_AFTER
  const timeoutMs = Math.min(pauseMs, timeoutMsOf(options))
  let heldUntil = leaseNow() + remainingMs
  let failures = 0
  while (!signal.aborted) {
    const sentAt = leaseNow()
    try {
      heldUntil = sentAt + (await renew(terminal, client, id, options, { signal, timeoutMs }))
      failures = 0
    } catch (error) {
      if (signal.aborted) return
      if (!mayPass(error) || leaseNow() >= heldUntil) throw error
      if (failures === 0) terminal.printError(`quorate: ${printable(error.message)}; it is tried again\n`)
      failures += 1
    }
    const waitMs = failures === 0 ? pauseMs : pauseMsAfter(failures - 1)
    await pauseUntil(leaseNow() + waitMs, signal)
  }
}

/** Timers stand still while the machine sleeps, so the clock of leases is looked at again. */
async function pauseUntil(time: number, signal: AbortSignal): Promise<void> {
  for (let leftMs = time - leaseNow(); leftMs > 0 && !signal.aborted; leftMs = time - leaseNow())
    await delay(Math.min(leftMs, lookMsMax), undefined, { signal }).catch(() => undefined)
}

/** Whether another attempt may succeed. Renewing a lease twice does no harm. */
function mayPass(error: unknown): error is ClientFailure {
  return isClientFailure(error) && (error.retryable || error instanceof AmbiguousOutcomeError)
}

/** Returns how long the lease lasts. */
async function renew(
  terminal: Terminal,
  client: QuorateClient,
  id: number,
  { json }: ConnectionOptions,
  request: RequestOptions = {},
): Promise<number> {
  const renewed = await client.leases.keepAlive(id, request)
  terminal.print(
    json === true ? `${JSON.stringify(renewed)}\n` : `lease ${id} lasts for ${seconds(renewed.remainingMs)}\n`,
  )
  return renewed.remainingMs
}

export async function get(terminal: Terminal, text: string, options: ConnectionOptions): Promise<number> {
  const id = leaseIdOf(text)
  return await withClient(terminal, options, async (client) => {
    const lease = await leaseOf(client, id)
    const keys = client.leases.keys(id)
    await printListing(terminal, options.json === true ? documentWith(lease, keys) : describe(lease, keys))
  })
}

async function leaseOf(client: QuorateClient, id: number, request: RequestOptions = {}): Promise<LeaseStatus> {
  const lease = await client.leases.get(id, request)
  if (lease !== null) return lease
  throw refusal('lease-not-found', `there is no lease ${id}; it has ended, or never was`, { lease: id })
}

/** One document, of which the keys come in pieces: there may be a million of them. */
async function* documentWith(lease: LeaseStatus, keys: AsyncIterable<string>): AsyncGenerator<string> {
  yield `${JSON.stringify(lease).slice(0, -1)},"keys":[`
  let isFirst = true
  for await (const key of keys) {
    yield `${isFirst ? '' : ','}${JSON.stringify(key)}`
    isFirst = false
  }
  yield ']}\n'
}

async function* describe(lease: LeaseStatus, keys: AsyncIterable<string>): AsyncGenerator<string> {
  const { id, ttlMs, remainingMs, ending } = lease
  const left = ending
    ? 'is over, and its keys are about to go'
    : `has ${seconds(remainingMs)} left of ${seconds(ttlMs)}`
  yield `lease ${id} ${left}\n${useOf(lease)}\n`
  for await (const key of keys) yield `${printable(key)}\n`
}

function useOf({ use, lock = '' }: LeaseSummary): string {
  switch (use) {
    case 'keys':
      return 'for keys'
    case 'key':
      return 'of one key'
    case 'lock':
      return `holds the lock ${printable(lock)}`
    case 'lock-wait':
      return `waits for the lock ${printable(lock)}`
  }
}

export async function list(terminal: Terminal, options: ConnectionOptions): Promise<number> {
  return await withClient(terminal, options, async (client) => {
    const leases = client.leases.list()
    const heads = ['LEASE', 'LENGTH', 'USE']
    await printListing(terminal, options.json === true ? jsonLines(leases) : tableLines(heads, rowsOf(leases), false))
  })
}

async function* rowsOf(leases: AsyncIterable<LeaseSummary>): AsyncGenerator<string[]> {
  for await (const lease of leases) {
    yield [String(lease.id), seconds(lease.ttlMs), useOf(lease) + (lease.ending ? ', ending' : '')]
  }
}

export async function revoke(terminal: Terminal, text: string, options: ConnectionOptions): Promise<number> {
  const id = leaseIdOf(text)
  return await withClient(terminal, options, async (client) => {
    await client.leases.revoke(id)
    terminal.print(options.json === true ? `${JSON.stringify({ id })}\n` : `lease ${id} has ended\n`)
  })
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`
}
