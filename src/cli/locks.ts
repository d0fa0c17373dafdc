import type { LockStatus } from '../client/index.ts'
import { wholeNumber, withClient, type ConnectionOptions } from './connection.ts'
import { formatTable, printable } from './table.ts'
import type { Terminal } from './terminal.ts'

export interface LocksOptions extends ConnectionOptions {
  readonly limit?: string
  readonly waiters?: true
}

/** Lists the locks that somebody holds; with `waiters`, also who waits for each. */
export async function locks(terminal: Terminal, prefix: string, options: LocksOptions): Promise<number> {
  const limit = options.limit === undefined ? undefined : wholeNumber(options.limit, '--limit', 1)
  return await withClient(terminal, options, async (client) => {
    const rows: string[][] = []
    for await (const listed of client.listLocks({ prefix }, { limit })) {
      const isWanted = options.waiters === true && listed.waiting > 0
      const lock = isWanted ? await client.lockStatus(listed.name, { waiters: true }) : listed
      if (options.json === true) terminal.print(`${JSON.stringify(lock)}\n`)
      else rows.push(...rowsOf(lock))
    }
    if (rows.length > 0) terminal.print(formatTable(['LOCK', 'STATE', 'LEASE', 'TOKEN', 'OWNER'], rows))
  })
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
