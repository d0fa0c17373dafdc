import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Config } from '../config/config.ts'
import { readConfig } from '../config/read-config.ts'
import type { HostPort, Scheme } from '../lib/host-port.ts'

export interface RunningNode {
  readonly id: number
  readonly pid: number
  /** Where it listens. Port 0: the system chose the port. */
  readonly api: HostPort
  readonly scheme: Scheme
  /** Everything that it was started with. */
  readonly config: Config
}

/** The names under which the program may be run: the one that npm installs, and those of its files. */
const programs = new Set(['quorate', 'quorate.cjs', 'main.js'])

/**
 * The nodes that run beside this process, by process id: those in the same network namespace whose user this process may
 * inspect. They are recognised by the command line and environment of each process, so flags count as well as variables, and
 * the file of `--config` as it is now. Null on a system that does not show its processes as files below `proc`.
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

/** Null when the process is not a node, has ended meanwhile, or may not be inspected. */
async function readProcess(directory: string, pid: number, network: string): Promise<RunningNode | null> {
  const flags = flagsOf(await words(join(directory, 'cmdline')))
  if (flags === null || (await networkOf(directory)) !== network) return null
  const variables = (await words(join(directory, 'environ'))).map((text) => text.split(/=(.*)/s, 2))
  // The path of its configuration file may begin where the process runs.
  const runsIn = await readlink(join(directory, 'cwd')).catch(() => '/')
  const outcome = readConfig(flags, Object.fromEntries(variables) as Record<string, string | undefined>, runsIn)
  if (outcome.kind !== 'config') return null
  const { config } = outcome
  const { id, api, tlsCert } = config
  return { id, pid, api, scheme: tlsCert === null ? 'http' : 'https', config }
}

/** The arguments after `node [options] PROGRAM serve`; null for any other command line. */
function flagsOf(line: readonly string[]): readonly string[] | null {
  const at = line.indexOf('serve')
  const isNode = /^node(js)?$/.test(basename(line[0] ?? ''))
  return isNode && at > 1 && programs.has(basename(line[at - 1] ?? '')) ? line.slice(at + 1) : null
}

/** The NUL-terminated strings of a file; none when it cannot be read. */
async function words(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return text.split('\0').slice(0, -1)
}

/** The network namespace: a process in another container has loopback addresses of its own. */
async function networkOf(directory: string): Promise<string | null> {
  return await readlink(join(directory, 'ns', 'net')).catch(() => null)
}
