import type { SimulationOptions } from './options.ts'

type Load = Pick<
  SimulationOptions,
  'clients' | 'leaseClients' | 'importers' | 'thinkMs' | 'timeoutMs' | 'delayMs' | 'writeMs'
>

/** More than the mean of what clients write, also where half of it are transactions. */
const ENTRY_BYTES = 100

/** An import has up to eight changes on their way, and a change of it may be as large as three other entries. */
const ENTRIES_PER_IMPORTER = 24

/**
 * How many entries clients have the leader append, on average, while a message goes to a follower, to its disk, and the answer comes back, if
 * none of them is answered. Who has given up asks again while the entry is still on its way: load does not wait for the log then.
 */
export function entriesPerRoundTrip(load: Load): number {
  const { clients, leaseClients, importers, thinkMs, timeoutMs, delayMs, writeMs } = load
  const asking = clients + leaseClients + importers * ENTRIES_PER_IMPORTER
  return (asking * (2 * delayMs + writeMs)) / (thinkMs + timeoutMs)
}

/** How many entries are on their way to a follower at once, when there are enough of them. */
export function entriesInWindow(node: SimulationOptions['node']): number {
  return node.inflightAppendsMax * entriesPerAppend(node)
}

/**
 * Gives the leader a window that carries what clients ask for. With a smaller one the uncommitted part of the log grows for as long as they
 * ask: each write takes longer than the one before, and everybody has given up by the time it is committed.
 */
export function withWindowForLoad(options: SimulationOptions): SimulationOptions {
  const { node } = options
  const appends = Math.ceil(entriesPerRoundTrip(options) / entriesPerAppend(node))
  return { ...options, node: { ...node, inflightAppendsMax: Math.max(node.inflightAppendsMax, appends) } }
}

function entriesPerAppend({ appendEntriesMax, appendBytesMax }: SimulationOptions['node']): number {
  return Math.max(1, Math.min(appendEntriesMax, Math.floor(appendBytesMax / ENTRY_BYTES)))
}
