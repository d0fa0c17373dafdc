import { connectWith, type Connect } from './client-tls.ts'
import { assessHealth, type ClusterHealth } from './cluster-health.ts'
import { lookAround, type ClusterViews } from './cluster-views.ts'
import {
  exitCodeOf,
  isClientFailure,
  printFailure,
  serversOf,
  timeoutMsOf,
  type ClientFailure,
  type ConnectionOptions,
} from './connection.ts'
import { formatTable, printable } from './table.ts'
import type { Terminal } from './terminal.ts'

/** Checks the whole cluster: every node that is named, and every member that these name. */
export async function checkCluster(terminal: Terminal, options: ConnectionOptions): Promise<number> {
  const connect = await connectWith(terminal, options, serversOf(terminal, options))
  const seen = await lookOrFail(terminal, options, connect)
  if (isClientFailure(seen)) {
    printFailure(terminal, options, seen)
    return exitCodeOf(seen)
  }
  const found = await assessHealth(seen, connect, timeoutMsOf(options))
  const { code, ...document } = found
  terminal.print(options.json === true ? `${JSON.stringify(document)}\n` : describeHealth(found))
  return code
}

/** What the nodes say, or why none of them says anything. */
export async function lookOrFail(
  terminal: Terminal,
  options: ConnectionOptions,
  connect: Connect,
): Promise<ClusterViews | ClientFailure> {
  try {
    return await lookAround({ servers: serversOf(terminal, options), timeoutMs: timeoutMsOf(options), connect }, null)
  } catch (error) {
    if (isClientFailure(error)) return error
    throw error
  }
}

function describeHealth({ nodes, leader, mayFail, findings, healthy }: ClusterHealth): string {
  const table = formatTable(
    ['API', 'NODE', 'STATE', 'READY', 'LEADER', 'LAG'],
    nodes.map(({ origin, id, state, ready, leader: named, lag }) => [
      origin,
      orDash(id),
      state ?? '-',
      ready ? 'yes' : 'no',
      orDash(named),
      orDash(lag),
    ]),
  )
  const margin = mayFail === null ? '' : `, ${mayFail < 0 ? 'no quorum' : `${mayFail} more may fail`}`
  const listed = findings.map((finding) => `- ${printable(finding)}\n`).join('')
  const verdict = healthy ? `healthy: node ${orDash(leader)} leads${margin}` : `not healthy${margin}`
  return `${table}\n${listed}${verdict}\n`
}

function orDash(value: number | null): string {
  return value === null ? '-' : String(value)
}
