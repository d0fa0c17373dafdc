import type { ClusterStatus } from '../api/cluster.ts'
import { ConnectionError } from '../client/errors.ts'
import type { QuorateClient } from '../client/quorate-client.ts'
import type { Connect } from './client-tls.ts'
import { isClientFailure, type ClientFailure } from './connection.ts'

/** What one node said about the cluster, or why it said nothing. */
type Said =
  | { readonly origin: string; readonly view: ClusterStatus }
  | { readonly origin: string; readonly view: null; readonly failure: ClientFailure }

/** The cluster as the nodes that could be asked see it. */
export interface ClusterViews {
  /** The view that knows most: the highest term first, then the leader's, then the one with the highest commit index. */
  readonly newest: ClusterStatus
  /** What each node of that cluster said that answered; each node once, however many of its names were asked. */
  readonly views: readonly { readonly origin: string; readonly view: ClusterStatus }[]
  /** Ids of the nodes of that cluster that answered, in ascending order. */
  readonly answered: readonly number[]
  /** Nodes that did not answer, with the reason. */
  readonly silent: readonly { readonly origin: string; readonly reason: string }[]
  /** Nodes that answered, but belong to no cluster or to another one. */
  readonly foreign: readonly { readonly origin: string; readonly id: number; readonly clusterId: string | null }[]
}

/** How long the other nodes may still take after one has answered: a dead node must not delay what is known. */
const othersMsMax = 1_000

export interface Around {
  readonly servers: readonly URL[]
  readonly timeoutMs: number
  readonly connect: Connect
}

/**
 * Asks the nodes that were named, and the members that they name. When nobody answers, rejects with the failure of the first
 * node. Aborting `signal` ends it with a `ConnectionError`.
 */
export async function lookAround(
  { servers, timeoutMs, connect }: Around,
  signal: AbortSignal | null,
): Promise<ClusterViews> {
  const origins = [...new Set(servers.map((server) => server.origin))]
  const said = await askAll(origins, { timeoutMs, connect }, signal)
  const members = said.flatMap(({ view }) => (view === null ? [] : apiAddresses(view)))
  const unasked = [...new Set(members)].filter((origin) => !origins.includes(origin))
  said.push(...(await askAll(unasked, { timeoutMs: Math.min(timeoutMs, othersMsMax), connect }, signal)))
  const views = eachOnce(said.flatMap(({ origin, view }) => (view === null ? [] : [{ origin, view }])))
  const cluster = views.find(({ view }) => view.clusterId !== null) ?? views[0]
  if (cluster === undefined) {
    const [first] = said
    throw first?.view === null ? first.failure : new Error('no server was named')
  }
  const { clusterId } = cluster.view
  const own = views.filter(({ view }) => view.clusterId === clusterId)
  return {
    newest: own.reduce((best, { view }) => (isNewer(view, best) ? view : best), cluster.view),
    views: own,
    answered: own.map(({ view }) => view.node.id).toSorted((a, b) => a - b),
    silent: said.flatMap(({ origin, ...rest }) =>
      rest.view === null ? [{ origin, reason: rest.failure.message.replace(`${origin}: `, '') }] : [],
    ),
    foreign: views
      .filter(({ view }) => view.clusterId !== clusterId)
      .map(({ origin, view }) => ({ origin, id: view.node.id, clusterId: view.clusterId })),
  }
}

/** A node that was asked under two names has answered once, under the first of them. Two nodes that were given one id are still two. */
function eachOnce<Answer extends { readonly view: ClusterStatus }>(answers: readonly Answer[]): Answer[] {
  const first = new Map<string, Answer>()
  for (const answer of answers) {
    const { id, incarnation } = answer.view.node
    const node = `${id} ${incarnation}`
    if (!first.has(node)) first.set(node, answer)
  }
  return [...first.values()]
}

function apiAddresses({ membership }: ClusterStatus): string[] {
  const nodes = Object.values(membership?.effective.membership.nodes ?? {})
  return nodes.flatMap(({ api }) => (URL.canParse(api) ? [new URL(api).origin] : []))
}

function isNewer(a: ClusterStatus, b: ClusterStatus): boolean {
  const order = [
    a.term - b.term,
    Number(a.node.state === 'leader') - Number(b.node.state === 'leader'),
    (a.committed?.index ?? -1) - (b.committed?.index ?? -1),
  ]
  return (order.find((difference) => difference !== 0) ?? 0) > 0
}

type Asking = Pick<Around, 'timeoutMs' | 'connect'>

async function askAll(origins: readonly string[], asking: Asking, signal: AbortSignal | null): Promise<Said[]> {
  const enough = new AbortController()
  let timer: NodeJS.Timeout | null = null
  const asked = origins.map(async (origin): Promise<Said> => {
    const said = await ask(origin, asking, signal === null ? enough.signal : AbortSignal.any([signal, enough.signal]))
    if (said.view !== null) timer ??= setTimeout(() => enough.abort(), othersMsMax)
    return said
  })
  try {
    return await Promise.all(asked)
  } finally {
    if (timer !== null) clearTimeout(timer)
  }
}

async function ask(origin: string, { timeoutMs, connect }: Asking, signal: AbortSignal): Promise<Said> {
  let client: QuorateClient | null = null
  try {
    client = connect({ servers: [origin], timeoutMs, retry: false })
    return { origin, view: await client.cluster.status({ signal }) }
  } catch (error) {
    if (isClientFailure(error)) return { origin, view: null, failure: error }
    if (!signal.aborted) throw error
    return { origin, view: null, failure: new ConnectionError(`${origin}: it took longer than the others`, false) }
  } finally {
    client?.close()
  }
}
