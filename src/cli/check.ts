import { tlsOf } from './client-tls.ts'
import { QuorateClient } from '../client/quorate-client.ts'
import type { TlsOptions } from '../client/options.ts'
import {
  exitCodeOf,
  isClientFailure,
  originOf,
  serversOf,
  timeoutMsOf,
  wholeNumber,
  type ConnectionOptions,
} from './connection.ts'
import { findRunningNodes } from './running-nodes.ts'
import { printable } from './table.ts'
import { exitCodes, UsageError, type Terminal } from './terminal.ts'

export interface HealthOptions extends ConnectionOptions {
  readonly id?: string
  readonly ready?: true
  /** The whole cluster instead of single nodes. */
  readonly cluster?: true
}

interface Checked {
  readonly server: string
  readonly code: number
  readonly detail: string
}

/**
 * Checks that nodes are alive: those of `--server`, else all that run beside this process. The first one that is not alive
 * decides the exit code.
 *
 * `QUORATE_SERVER` does not count. It names the cluster for other commands, and a container whose neighbour is down is not
 * unhealthy.
 */
export async function health(terminal: Terminal, options: HealthOptions): Promise<number> {
  const timeoutMs = timeoutMsOf(options)
  if (options.cluster === true) {
    if (options.id !== undefined)
      throw new UsageError('--id names one node, and --cluster means all: give only one of the two')
    return await (await import('./check-cluster.ts')).checkCluster(terminal, options)
  }
  if (options.token !== undefined || options.tokenFile !== undefined)
    throw new UsageError('--token and --token-file are for --cluster: without it nothing is asked that takes a token')
  if (options.server !== undefined && options.id !== undefined) {
    throw new UsageError(
      '--id chooses among the nodes that run on this machine, and --server names nodes by address: give only one of the two',
    )
  }
  const servers = options.server === undefined ? await runningServers(options.id) : serversOf(terminal, options)
  if (servers.length === 0) {
    const chosen = options.id === undefined ? '' : ` ${options.id}`
    if (options.json === true) terminal.print(`${JSON.stringify({ checks: [] })}\n`)
    else terminal.printError(`quorate: no node${chosen} is running on this machine\n`)
    return exitCodes.unreachable
  }
  const probe = options.ready === true ? 'readyz' : 'livez'
  // Which process answers on this machine is known, and its certificate need not name the loopback address.
  const tls = { ...(await tlsOf(terminal, options)), verify: options.server !== undefined }
  const checks = await Promise.all(servers.map(async (server) => await check(server, probe, { timeoutMs, tls })))
  if (options.json === true) terminal.print(`${JSON.stringify({ checks })}\n`)
  else for (const { server, detail } of checks) terminal.print(`${server}: ${printable(detail)}\n`)
  return checks.find(({ code }) => code !== exitCodes.stopped)?.code ?? exitCodes.stopped
}

interface Asking {
  readonly timeoutMs: number
  readonly tls: TlsOptions
}

async function check(server: URL, probe: 'livez' | 'readyz', asking: Asking): Promise<Checked> {
  const client = new QuorateClient({ servers: [server], retry: false, ...asking })
  try {
    await client.cluster.checkHealth(probe)
    return { server: server.origin, code: exitCodes.stopped, detail: 'ok' }
  } catch (error) {
    if (!isClientFailure(error)) throw error
    return { server: server.origin, code: exitCodeOf(error), detail: error.message.replace(`${server.origin}: `, '') }
  } finally {
    client.close()
  }
}

async function runningServers(id: string | undefined): Promise<URL[]> {
  const chosen = id === undefined ? null : wholeNumber(id, '--id', 1)
  const all = await findRunningNodes()
  if (all === null) throw new UsageError('this system does not show which nodes are running: name them with --server')
  const nodes = all.filter((node) => chosen === null || node.id === chosen)
  const unknown = nodes.find(({ api }) => api.port === 0)
  if (unknown !== undefined) {
    throw new UsageError(
      `node ${unknown.id} (process ${unknown.pid}) listens on a port that the system chose: give its address with --server`,
    )
  }
  return nodes.map(({ api, scheme }) => new URL(originOf(api, scheme)))
}
