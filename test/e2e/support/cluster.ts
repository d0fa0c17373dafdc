import { join } from 'node:path'
import type { ClusterStatus } from '../../../src/api/cluster.ts'
import { temporaryDirectory, type Owner } from '../../support/temporary-directory.ts'
import { eventually, patienceMs } from './eventually.ts'
import { NodeProcess, type MemberAddresses, type NodeOptions } from './node-process.ts'
import { PeerLinks } from './peer-links.ts'
import { freePorts } from './ports.ts'
import { expectEqualReplicas } from './replicas.ts'

export interface ClusterOptions extends Pick<NodeOptions, 'flags' | 'command' | 'tls'> {
  readonly size: number
  /** Peers reach each other through proxies that can be cut and slowed down. */
  readonly withLinks?: boolean
}

/** Flags of a node with which a busy machine elects nobody between two steps of a test: it may keep a process waiting for half a second. */
export const patientElections: readonly string[] = ['--heartbeat', '100ms', '--election-timeout', '1s-2s']

/** Nodes on the loopback interface, each with its own process and directory, numbered from 1. */
export class TestCluster {
  readonly nodes: NodeProcess[] = []
  readonly directory: string
  /** Null without `withLinks`. */
  readonly links: PeerLinks | null
  /** Set by a test that makes tokens: the secret of one that may read the cluster. Replicas are compared with it at the end. */
  token: string | undefined = undefined
  private readonly owner: Owner
  private readonly shared: Pick<NodeOptions, 'flags' | 'command' | 'tls'>
  /** What ends its nodes, in the order in which they began. */
  private readonly ends: (() => Promise<void>)[] = []

  private constructor(owner: Owner, directory: string, options: ClusterOptions) {
    this.owner = {
      teardown: (handler) => {
        this.ends.push(handler)
        // The test undoes what it has done from the last to the first, and what it did since must not go before the nodes.
        owner.teardown(() => this.end())
      },
    }
    this.directory = directory
    const { flags = [], command, tls } = options
    this.shared = { flags, ...(command === undefined ? {} : { command }), ...(tls === undefined ? {} : { tls }) }
    this.links = options.withLinks === true ? new PeerLinks(this.owner) : null
  }

  /** Starts processes that do not know each other. */
  static async start(owner: Owner, options: ClusterOptions): Promise<TestCluster> {
    const cluster = new TestCluster(owner, await temporaryDirectory(owner), options)
    for (let count = 0; count < options.size; count++) await cluster.add()
    await Promise.all(cluster.nodes.map(async (node) => await node.start()))
    return cluster
  }

  /** The same, then initialized through node 1, with every node ready. */
  static async formed(owner: Owner, options: ClusterOptions): Promise<TestCluster> {
    const cluster = await TestCluster.start(owner, options)
    await cluster.form()
    return cluster
  }

  /** Initializes the nodes, which run, through node 1, and waits until all of them are ready. */
  async form(): Promise<void> {
    const answer = await this.node(1).client.post('/cluster/initialize?wait=committed', { members: this.members })
    if (answer.status !== 200) throw new Error(`not formed: ${answer.summary}`)
    await this.untilReady()
  }

  /** Ends everything, once, and fails the test when replicas differ by then. */
  private async end(): Promise<void> {
    const ends = this.ends.splice(0).reverse()
    if (ends.length === 0) return
    const failures: unknown[] = []
    const collect = (error: unknown): void => void failures.push(error)
    await expectEqualReplicas(this.running, { token: this.token }).catch(collect)
    for (const end of ends) await end().catch(collect)
    if (failures.length > 0) throw failures[0]
  }

  get members(): MemberAddresses[] {
    return this.nodes.map(({ addresses }) => addresses)
  }

  get running(): NodeProcess[] {
    return this.nodes.filter(({ isRunning }) => isRunning)
  }

  node(id: number): NodeProcess {
    const node = this.nodes.find((one) => one.id === id)
    if (node === undefined) throw new Error(`there is no node ${id}`)
    return node
  }

  others(...ids: number[]): NodeProcess[] {
    return this.nodes.filter(({ id }) => !ids.includes(id))
  }

  /** Adds a node without starting it. Its data is in `directory`, if given. */
  async add(directory?: string): Promise<NodeProcess> {
    const [api = 0, raft = 0, proxy = 0] = await freePorts(3)
    const id = this.nodes.length + 1
    const place = { id, directory: directory ?? join(this.directory, `node-${id}`), api, raft, ...this.shared }
    if (this.links !== null) await this.links.listen(id, proxy, raft)
    const node = new NodeProcess(this.owner, this.links === null ? place : { ...place, raftAdvertise: proxy })
    this.nodes.push(node)
    return node
  }

  async status(id: number): Promise<ClusterStatus> {
    return (await this.node(id).client.get('/cluster')).json<ClusterStatus>()
  }

  /** Waits until `nodes` serve linearizable reads. */
  async untilReady(nodes: readonly NodeProcess[] = this.running, deadlineMs = patienceMs): Promise<void> {
    for (const node of nodes) {
      await eventually(
        `node ${node.id} is ready`,
        async () => {
          const { status, text } = await node.client.get('/readyz')
          if (status === 200) return true
          throw new Error(text)
        },
        deadlineMs,
      )
    }
  }

  /** The leader, as soon as one of `among` calls itself leader. */
  async leader(among: readonly NodeProcess[] = this.running): Promise<NodeProcess> {
    return await eventually('a leader', async () => {
      for (const node of among) {
        if ((await this.status(node.id)).node.state === 'leader') return node
      }
      return null
    })
  }

  /** Waits until `nodes` have applied the same entries. Returns that index and the digest of each node's state. */
  async untilEqual(nodes: readonly NodeProcess[] = this.running): Promise<{ applied: number; digests: string[] }> {
    return await eventually('all nodes have applied the same', async () => {
      const statuses = await Promise.all(nodes.map(async ({ id }) => await this.status(id)))
      const applied = statuses.map((status) => status.applied?.index ?? -1)
      const committed = statuses.map((status) => status.committed?.index ?? -1)
      const last = Math.max(...applied, ...committed)
      if (applied.some((index) => index !== last)) throw new Error(`applied ${applied.join(' ')}, committed ${last}`)
      return { applied: last, digests: statuses.map(({ digest }) => digest) }
    })
  }
}
