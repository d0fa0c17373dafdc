import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { readConfig } from '../config/config.ts'
import type { HostPort } from '../lib/host-port.ts'

export interface RunningNode {
  readonly id: number
  readonly pid: number
  /** Where it listens. Port 0: at a port that the system chose. */
  readonly api: HostPort
}

/** What the program is called when it is run: by the name that npm gives it, or by that of a file of its own. */
const programs = new Set(['quorate', 'quorate.cjs', 'main.js'])

/**
 * The nodes that run beside this process, by their process ids: in the same network, and of a user whose processes this one may look into.
 * A process says itself what it was started with, so that this holds for flags as well as for variables. Null where a system does not
 * show its processes as files below `proc`.
 */
export async function findRunningNodes(proc: string = '/proc'): Promise<readonly RunningNode[] | null> {
  const network = await networkOf(join(proc, 'self'))
  if (network === null) return null
  const pids = (await readdir(proc)).filter((name) => /^[0-9]+$/.test(name)).map(Number)
  const found: RunningNode[] = []
  for (const pid of pids.toSorted((a, b) => a - b)) {
    const node = await readProcess(join(proc, String(pid)), pid, network)
    if (node !== null) found.push(node)
  }
  return found
}

/** Null for a process that is no node, that has ended meanwhile, or that is somebody else's. */
async function readProcess(directory: string, pid: number, network: string): Promise<RunningNode | null> {
  const flags = flagsOf(await words(join(directory, 'cmdline')))
  if (flags === null || (await networkOf(directory)) !== network) return null
  const variables = (await words(join(directory, 'environ'))).map((text) => text.split(/=(.*)/s, 2))
  const outcome = readConfig(flags, Object.fromEntries(variables) as Record<string, string | undefined>)
  return outcome.kind === 'config' ? { id: outcome.config.id, pid, api: outcome.config.api } : null
}

/** What follows `node [options] PROGRAM serve`; null when the command line is another one. */
function flagsOf(line: readonly string[]): readonly string[] | null {
  const at = line.indexOf('serve')
  const isNode = /^node(js)?$/.test(basename(line[0] ?? ''))
  return isNode && at > 1 && programs.has(basename(line[at - 1] ?? '')) ? line.slice(at + 1) : null
}

/** The strings of a file in which each ends with a NUL; none when it cannot be read. */
async function words(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return text.split('\0').slice(0, -1)
}

/** A process of a container has loopback addresses of its own. */
async function networkOf(directory: string): Promise<string | null> {
  return await readlink(join(directory, 'ns', 'net')).catch(() => null)
}
