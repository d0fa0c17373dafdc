import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { makeDirectory } from '../storage/directories.ts'
import { printable } from './table.ts'
import { UsageError } from './terminal.ts'

export interface DevNode {
  readonly id: number
  readonly apiPort: number
  readonly raftPort: number
}

/** The place and the ports of a development cluster. The same directory gives the same plan, so that a second run resumes the first. */
export interface DevPlan {
  readonly directory: string
  readonly temporary: boolean
  readonly nodes: readonly DevNode[]
  /** Whether other ports were chosen because the usual ones were taken. */
  readonly moved: boolean
}

/** What the user asked for; null where nothing was asked for. */
export interface DevWishes {
  /** Null: a temporary directory. */
  readonly directory: string | null
  readonly nodes: number | null
  /** The port of the first node's API. The other nodes use the ports after it, and peers the ports `raftPortOffset` higher. */
  readonly port: number | null
}

export const devNodesMax = 9
export const devPortMax = 65_535 - 200
const nodesDefault = 3
const apiPortDefault = 7001
const raftPortOffset = 100

export async function makePlan(wishes: DevWishes): Promise<DevPlan> {
  const { directory, nodes, port } = wishes
  if (directory === null) {
    const chosen = await choosePorts(nodes ?? nodesDefault, port)
    return { directory: await mkdtemp(join(tmpdir(), 'quorate-dev-')), temporary: true, ...chosen }
  }
  try {
    return await planIn(resolve(directory), wishes)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    throw new UsageError(`--data-dir ${directory} cannot be created or used: ${error.message}`)
  }
}

async function planIn(directory: string, { nodes: count, port }: DevWishes): Promise<DevPlan> {
  await makeDirectory(directory)
  const file = join(directory, 'dev.json')
  const kept = await readNodes(file)
  if (kept === null) {
    await checkEmpty(directory)
    const chosen = await choosePorts(count ?? nodesDefault, port)
    await writeFile(file, `${JSON.stringify({ nodes: chosen.nodes }, null, 2)}\n`)
    return { directory, temporary: false, ...chosen }
  }
  const isOther = (count ?? kept.length) !== kept.length || (port ?? kept[0]?.apiPort) !== kept[0]?.apiPort
  if (isOther) {
    const found = `${kept.length} ${kept.length === 1 ? 'node' : 'nodes'} from port ${kept[0]?.apiPort} on`
    throw new UsageError(
      `${directory} holds a cluster of ${found}: omit --nodes and --port, or choose another --data-dir`,
    )
  }
  await checkFree(directory, kept)
  return { directory, temporary: false, nodes: kept, moved: false }
}

async function checkEmpty(directory: string): Promise<void> {
  const foreign = (await readdir(directory)).find((name) => name !== 'lost+found')
  if (foreign === undefined) return
  throw new UsageError(
    `${directory} is not of \`quorate dev\`, and not empty (${printable(foreign)}): choose another --data-dir`,
  )
}

/** A cluster that is kept keeps its ports: its nodes know each other by them. */
async function checkFree(directory: string, nodes: readonly DevNode[]): Promise<void> {
  const ports = nodes.flatMap(({ apiPort, raftPort }) => [apiPort, raftPort])
  if ((await reserve(ports)) !== null) return
  throw new UsageError(
    `one of the ports ${ports.join(', ')} of the cluster in ${directory} is in use: it may be running already`,
  )
}

export async function discardPlan(plan: DevPlan): Promise<void> {
  if (plan.temporary) await rm(plan.directory, { recursive: true, force: true })
}

export function apiOf(node: DevNode): string {
  return `127.0.0.1:${node.apiPort}`
}

export function raftOf(node: DevNode): string {
  return `127.0.0.1:${node.raftPort}`
}

async function readNodes(file: string): Promise<readonly DevNode[] | null> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
  const nodes = parseNodes(text)
  if (nodes === null) throw new UsageError(`${file} is damaged: remove the directory, or choose another --data-dir`)
  return nodes
}

function parseNodes(text: string): readonly DevNode[] | null {
  try {
    const document = JSON.parse(text) as { readonly nodes?: readonly DevNode[] }
    const { nodes } = document
    if (!Array.isArray(nodes) || nodes.length === 0 || nodes.length > devNodesMax) return null
    const numbers = nodes.flatMap(({ id, apiPort, raftPort }: DevNode) => [id, apiPort, raftPort])
    return numbers.every((number) => Number.isSafeInteger(number) && number > 0) ? nodes : null
  } catch {
    return null
  }
}

/** The ports that were asked for. When none were, the usual ports if they are free, otherwise any free ports. */
async function choosePorts(count: number, port: number | null): Promise<Pick<DevPlan, 'nodes' | 'moved'>> {
  const ids = Array.from({ length: count }, (_, at) => at + 1)
  const first = port ?? apiPortDefault
  const usual = ids.flatMap((_, at) => [first + at, first + raftPortOffset + at])
  const wanted = await reserve(usual)
  if (wanted === null && port !== null) {
    throw new UsageError(`one of the ports ${usual.join(', ')} is in use: choose another --port`)
  }
  const ports = wanted ?? (await reserve(usual.map(() => 0))) ?? []
  const nodes = ids.map((id, at) => ({ id, apiPort: ports[2 * at] ?? 0, raftPort: ports[2 * at + 1] ?? 0 }))
  return { nodes, moved: wanted === null }
}

/** Listens on all of `ports` at once, so that they differ, and releases them. Null when one is taken. */
async function reserve(ports: readonly number[]): Promise<readonly number[] | null> {
  const servers = ports.map(() => createServer())
  try {
    return await Promise.all(
      servers.map(
        async (server, at) =>
          await new Promise<number>((listening, reject) => {
            server.once('error', reject)
            server.listen(ports[at], '127.0.0.1', () => {
              const address = server.address()
              listening(typeof address === 'object' && address !== null ? address.port : 0)
            })
          }),
      ),
    )
  } catch {
    return null
  } finally {
    await Promise.all(servers.map(async (server) => await new Promise((closed) => server.close(closed))))
  }
}
