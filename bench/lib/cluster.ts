import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { runtimeVariables } from '../../src/runtime-variables.ts'
import { PeerLinks } from '../../test/e2e/support/peer-links.ts'
import { endChild, makeDirectory, removeDirectory, spawnChild } from './children.ts'
import type { LoopDelays, SamplerRequest } from './event-loop-sampler.ts'
import { getJson, sendJson } from './rest.ts'
import { slowDiskVariables, type SlowDisk } from './slow-disk.ts'

export interface BenchNode {
  readonly id: number
  readonly api: string
  /** `host:port` of the API. */
  readonly host: string
  /** Where its peers reach it. */
  readonly raft: string
  /** Starts the process of the node; resolves when the API answers. */
  start(): Promise<void>
  /** Sends a signal. Resolves when the process has ended, for signals that end it. */
  signal(name: NodeJS.Signals): Promise<void>
  /** Begins to measure how late the event loop of the process is. `end` resolves to what it has been since. */
  watchEventLoop(): { end(): Promise<LoopDelays> }
  readonly pid: number | undefined
}

export interface BenchCluster {
  readonly nodes: readonly BenchNode[]
  /** Between the nodes, when it was asked for. */
  readonly links: PeerLinks | null
  /** The leader, according to the first node that answers. */
  leader(): Promise<BenchNode>
  /** Starts one more process, which belongs to no cluster yet. */
  grow(): Promise<BenchNode>
  stop(): Promise<void>
}

export interface ClusterOptions {
  /** 3 unless said otherwise. */
  readonly nodes?: number
  readonly flags?: readonly string[]
  /** Nodes will be added. */
  readonly grows?: boolean
  /** Peers reach each other through proxies, which can be cut. They run in this process and take a part of its time. */
  readonly withLinks?: boolean
  /** The logs of all nodes lie on such a disk. */
  readonly slowDisk?: SlowDisk | null
}

const MAIN = join(import.meta.dirname, '../../../dist/main.js')
const SLOW_DISK = join(import.meta.dirname, 'slow-disk.js')
const SAMPLER = join(import.meta.dirname, 'event-loop-sampler.js')
/** Long enough for a machine with much other work. */
const READY_TIMEOUT_MS = 60_000
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

/** Resolves to the first result of `attempt` that is not null; rejects when there is none in time. A failed attempt counts as null. */
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

interface Place {
  readonly id: number
  readonly host: string
  /** Where it listens for peers. */
  readonly listen: string
  /** Where they reach it. */
  readonly raft: string
  readonly directory: string
}

class Process implements BenchNode {
  private readonly place: Place
  private readonly flags: readonly string[]
  private readonly slowDisk: SlowDisk | null
  private child: ChildProcess | null = null

  constructor(place: Place, flags: readonly string[], slowDisk: SlowDisk | null) {
    this.place = place
    this.flags = flags
    this.slowDisk = slowDisk
  }

  get id(): number {
    return this.place.id
  }

  get host(): string {
    return this.place.host
  }

  get api(): string {
    return `${this.flags.includes('--tls-cert') ? 'https' : 'http'}://${this.place.host}`
  }

  get raft(): string {
    return this.place.raft
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  async start(): Promise<void> {
    const { id, host, listen, raft, directory } = this.place
    const where = [
      '--id',
      String(id),
      '--data-dir',
      directory,
      '--api',
      host,
      '--raft',
      listen,
      '--raft-advertise',
      raft,
    ]
    const { slowDisk } = this
    const before = ['--import', SAMPLER, ...(slowDisk === null ? [] : ['--import', SLOW_DISK])]
    const words = [...before, MAIN, 'serve', ...where, '--log-level', 'warn', ...this.flags]
    const child = spawnChild(process.execPath, words, {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      // As the executable sets them.
      env: { ...process.env, ...runtimeVariables, ...(slowDisk === null ? {} : slowDiskVariables(slowDisk)) },
    })
    this.child = child
    await eventually(`node ${id} answers`, async () => {
      if (child.exitCode !== null) throw new Error(`node ${id} ended with ${child.exitCode}`)
      return await getJson(`${this.api}/cluster`)
    })
  }

  async signal(name: NodeJS.Signals): Promise<void> {
    if (this.child === null) return
    if (name === 'SIGKILL' || name === 'SIGTERM') await endChild(this.child, name)
    else this.child.kill(name)
  }

  watchEventLoop(): { end(): Promise<LoopDelays> } {
    const { id, child } = this
    if (child === null) throw new Error(`node ${id} does not run`)
    const ask = (request: SamplerRequest): boolean => child.send(request)
    ask('begin')
    const end = async (): Promise<LoopDelays> => {
      ask('end')
      const [delays] = (await once(child, 'message', { signal: AbortSignal.timeout(READY_TIMEOUT_MS) })) as [LoopDelays]
      return delays
    }
    return { end }
  }
}

/** Nodes on this machine, in processes of their own, formed into one cluster. */
async function startCluster(options: ClusterOptions = {}): Promise<BenchCluster> {
  const { nodes: count = 3, flags = [], withLinks = false, slowDisk = null } = options
  const directory = makeDirectory()
  const nodes: Process[] = []
  const endings: (() => Promise<void>)[] = []
  const links = withLinks ? new PeerLinks({ teardown: (end) => endings.push(end) }) : null
  const add = async (): Promise<Process> => {
    const id = nodes.length + 1
    const port = await freePort()
    const proxy = links === null ? port : await freePort()
    await links?.listen(id, proxy, port)
    const host = `127.0.0.1:${await freePort()}`
    const place = {
      id,
      host,
      listen: `127.0.0.1:${port}`,
      raft: `127.0.0.1:${proxy}`,
      directory: join(directory, `${id}`),
    }
    const node = new Process(place, flags, slowDisk)
    nodes.push(node)
    return node
  }
  while (nodes.length < count) await add()
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.signal('SIGKILL')))
    for (const end of endings) await end()
    removeDirectory(directory)
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
    return { nodes, links, leader, grow, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

let shared: BenchCluster | null = null
let isShared = false

/** From now on one cluster of a single node serves all that ask for such a one and say that it may be shared. Nothing else is quick enough. */
export function shareClusters(): void {
  isShared = true
}

export async function stopSharedCluster(): Promise<void> {
  await shared?.stop()
  shared = null
}

/** Runs `work` with a cluster that is stopped afterwards, whatever happens. */
export async function withCluster<T>(options: ClusterOptions, work: (cluster: BenchCluster) => Promise<T>): Promise<T> {
  if (isShared && options.nodes === 1 && options.flags === undefined && options.grows !== true && !options.slowDisk)
    return await work((shared ??= await startCluster(options)))
  const cluster = await startCluster(options)
  try {
    return await work(cluster)
  } finally {
    await cluster.stop()
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
