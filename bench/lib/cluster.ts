import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runtimeVariables } from '../../src/runtime-variables.ts'
import { getJson, sendJson } from './rest.ts'

export interface BenchNode {
  readonly id: number
  readonly api: string
  readonly raft: string
  /** Starts the process of the node; resolves when the API answers. */
  start(): Promise<void>
  /** Sends a signal. Resolves when the process has ended, for signals that end it. */
  signal(name: NodeJS.Signals): Promise<void>
  readonly pid: number | undefined
}

export interface BenchCluster {
  readonly nodes: readonly BenchNode[]
  /** The leader, according to the first node that answers. */
  leader(): Promise<BenchNode>
  /** Starts one more process, which belongs to no cluster yet. */
  grow(): Promise<BenchNode>
  stop(): Promise<void>
}

const MAIN = join(import.meta.dirname, '../../../dist/main.js')
const READY_TIMEOUT_MS = 15_000
const POLL_MS = 10

export async function freePort(): Promise<number> {
  const server = createServer()
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Resolves to the first truthy result of `attempt`; rejects when there is none in time. */
export async function eventually<T>(
  what: string,
  attempt: () => Promise<T | null>,
  timeoutMs = READY_TIMEOUT_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const result = await attempt().catch(() => null)
    if (result !== null) return result
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

class Process implements BenchNode {
  readonly id: number
  readonly api: string
  readonly raft: string
  private readonly directory: string
  private readonly flags: readonly string[]
  private child: ChildProcess | null = null

  constructor(id: number, ports: { api: number; raft: number }, directory: string, flags: readonly string[]) {
    this.id = id
    this.api = `${flags.includes('--tls-cert') ? 'https' : 'http'}://127.0.0.1:${ports.api}`
    this.raft = `127.0.0.1:${ports.raft}`
    this.directory = directory
    this.flags = flags
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  async start(): Promise<void> {
    const args = ['serve', '--id', String(this.id), '--data-dir', this.directory, '--api', new URL(this.api).host]
    const child = spawn(process.execPath, [MAIN, ...args, '--raft', this.raft, '--log-level', 'warn', ...this.flags], {
      stdio: ['ignore', 'ignore', 'inherit'],
      // As the executable sets them.
      env: { ...process.env, ...runtimeVariables },
    })
    this.child = child
    await eventually(`node ${this.id} answers`, async () => {
      if (child.exitCode !== null) throw new Error(`node ${this.id} ended with ${child.exitCode}`)
      return await getJson(`${this.api}/cluster`)
    })
  }

  async signal(name: NodeJS.Signals): Promise<void> {
    const { child } = this
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    if (name !== 'SIGKILL' && name !== 'SIGTERM') return void child.kill(name)
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill(name)
    await ended
  }
}

/** Three (or `count`) nodes on this machine, in processes of their own, formed into one cluster. */
export async function startCluster(
  options: { readonly count?: number; readonly flags?: readonly string[] } = {},
): Promise<BenchCluster> {
  const { count = 3, flags = [] } = options
  const directory = mkdtempSync(join(tmpdir(), 'quorate-bench-'))
  const nodes: Process[] = []
  const add = async (): Promise<Process> => {
    const id = nodes.length + 1
    const node = new Process(id, { api: await freePort(), raft: await freePort() }, join(directory, String(id)), flags)
    nodes.push(node)
    return node
  }
  while (nodes.length < count) await add()
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.signal('SIGKILL')))
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await Promise.all(nodes.map((node) => node.start()))
    const members = nodes.map(({ id, raft, api }) => ({ id, raft, api }))
    await sendJson('POST', `${members[0]?.api}/cluster/initialize?wait=committed`, { members })
    const leader = (): Promise<BenchNode> => findLeader(nodes)
    await leader()
    const grow = async (): Promise<BenchNode> => {
      const node = await add()
      await node.start()
      return node
    }
    return { nodes, leader, grow, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function findLeader(nodes: readonly BenchNode[]): Promise<BenchNode> {
  return eventually('a leader', async () => {
    for (const node of nodes) {
      const status = await getJson(`${node.api}/cluster`).catch(() => null)
      const leader = nodes.find(({ id }) => id === status?.['leader'])
      if (leader !== undefined) return leader
    }
    return null
  })
}
