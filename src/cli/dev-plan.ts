import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { UsageError } from './terminal.ts'

export interface DevNode {
  readonly id: number
  readonly apiPort: number
  readonly raftPort: number
}

/** Where a development cluster lives. The same directory gives the same plan, so that a second run resumes the first. */
export interface DevPlan {
  readonly directory: string
  readonly temporary: boolean
  readonly nodes: readonly DevNode[]
}

const nodeIds = [1, 2, 3]
const apiPortFirst = 7001
const raftPortFirst = 7101

/** `directory` null: a temporary one. */
export async function makePlan(directory: string | null): Promise<DevPlan> {
  if (directory === null) {
    const made = await mkdtemp(join(tmpdir(), 'quorate-dev-'))
    return { directory: made, temporary: true, nodes: await choosePorts() }
  }
  const path = resolve(directory)
  await mkdir(path, { recursive: true, mode: 0o700 })
  const file = join(path, 'dev.json')
  const kept = await readNodes(file)
  if (kept !== null) return { directory: path, temporary: false, nodes: kept }
  const nodes = await choosePorts()
  await writeFile(file, `${JSON.stringify({ nodes }, null, 2)}\n`)
  return { directory: path, temporary: false, nodes }
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
    if (!Array.isArray(nodes) || nodes.length !== nodeIds.length) return null
    const numbers = nodes.flatMap(({ id, apiPort, raftPort }: DevNode) => [id, apiPort, raftPort])
    return numbers.every((number) => Number.isSafeInteger(number) && number > 0) ? nodes : null
  } catch {
    return null
  }
}

/** The usual ports when they are free, else any. */
async function choosePorts(): Promise<readonly DevNode[]> {
  const usual = nodeIds.flatMap((_, at) => [apiPortFirst + at, raftPortFirst + at])
  const ports = (await reserve(usual)) ?? (await reserve(usual.map(() => 0))) ?? []
  return nodeIds.map((id, at) => ({ id, apiPort: ports[2 * at] ?? 0, raftPort: ports[2 * at + 1] ?? 0 }))
}

/** Listens on all of `ports` at once, so that they differ, and lets go of them again. Null when one is taken. */
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
