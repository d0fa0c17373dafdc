import type { LockStatus, QuorateClient } from '../client/index.ts'
import { wholeNumber, withClient, type ConnectionOptions } from './connection.ts'
import { jsonLines, printListing, tableLines } from './listing.ts'
import { printable } from './table.ts'
import type { Terminal } from './terminal.ts'

export interface LocksOptions extends ConnectionOptions {
  readonly limit?: string
  readonly waiters?: true
}

/** Lists the locks that somebody holds; with `waiters`, also who waits for each. */
export async function locks(terminal: Terminal, prefix: string, options: LocksOptions): Promise<number> {
  const limit = options.limit === undefined ? undefined : wholeNumber(options.limit, '--limit', 1)
  return await withClient(terminal, options, async (client) => {
    const listed = statusesOf(client, client.listLocks({ prefix }, { limit }), options.waiters === true)
    const heads = ['LOCK', 'STATE', 'LEASE', 'TOKEN', 'OWNER']
    await printListing(terminal, options.json === true ? jsonLines(listed) : tableLines(heads, allRows(listed), false))
  })
}

/** `withWaiters`: each lock that somebody waits for is asked for those. */
async function* statusesOf(
  client: QuorateClient,
  locks: AsyncIterable<LockStatus>,
  withWaiters: boolean,
): AsyncGenerator<LockStatus> {
  for await (const lock of locks) {
    yield withWaiters && lock.waiting > 0 ? await client.lockStatus(lock.name, { waiters: true }) : lock
  }
}

async function* allRows(locks: AsyncIterable<LockStatus>): AsyncGenerator<string[]> {
  for await (const lock of locks) yield* rowsOf(lock)
}

function rowsOf({ name, holder, waiting, waiters = [] }: LockStatus): string[][] {
  const state = waiting === 0 ? 'held' : `held, ${waiting} waiting`
  const first =
    holder === null
      ? [printable(name), 'free', '', '', '']
      : [printable(name), state, String(holder.lease), String(holder.token), printable(holder.owner)]
  return [
    first,
    ...waiters.map(({ lease, owner }, at) => ['', `waits, ${at + 1}.`, String(lease), '', printable(owner)]),
  ]
}
