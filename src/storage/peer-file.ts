import type { NodeId } from '../raft/index.ts'
import { StorageError } from '../lib/errors.ts'
import { readIfPresent, replaceFile } from './durable-file.ts'
import { storageFault } from './fault.ts'

const FORMAT_VERSION = 1

/** Which incarnation of each peer this node has met, in a small JSON file. Calls may overlap; each resolves once it is durable. */
export class PeerFile {
  private readonly path: string
  private incarnations: Map<NodeId, string> | null = null
  private writing: Promise<void> = Promise.resolve()

  constructor(path: string) {
    this.path = path
  }

  async load(): Promise<ReadonlyMap<NodeId, string>> {
    return new Map(await this.read())
  }

  async remember(id: NodeId, incarnation: string): Promise<void> {
    const incarnations = await this.read()
    if (incarnations.get(id) === incarnation) return await this.writing
    incarnations.set(id, incarnation)
    await this.write(incarnations)
  }

  async forget(id: NodeId): Promise<void> {
    const incarnations = await this.read()
    if (!incarnations.delete(id)) return await this.writing
    await this.write(incarnations)
  }

  private async read(): Promise<Map<NodeId, string>> {
    if (this.incarnations !== null) return this.incarnations
    let text: string | null
    try {
      text = await readIfPresent(this.path)
    } catch (error) {
      throw storageFault(error, `read ${this.path}`)
    }
    this.incarnations ??= text === null ? new Map<NodeId, string>() : this.parse(text)
    return this.incarnations
  }

  private parse(text: string): Map<NodeId, string> {
    const incarnations = parsePeers(text)
    if (incarnations !== null) return incarnations
    throw new StorageError(
      'refused',
      `${this.path} is damaged. It says which peers this node has met, and without it a peer that lost its data would count as a ` +
        'voter again. When you know that no peer was wiped, remove the file and start again.',
    )
  }

  /** One write at a time, each of what is known when its turn comes. */
  private async write(incarnations: ReadonlyMap<NodeId, string>): Promise<void> {
    const turn = this.writing.then(async () => {
      const peers = Object.fromEntries([...incarnations].sort(([a], [b]) => a - b))
      await replaceFile(this.path, `${JSON.stringify({ formatVersion: FORMAT_VERSION, peers }, null, 2)}\n`)
    })
    this.writing = turn.catch(() => undefined)
    try {
      await turn
    } catch (error) {
      throw storageFault(error, `write ${this.path}`)
    }
  }
}

/** Null when `text` is not what `write` writes. */
function parsePeers(text: string): Map<NodeId, string> | null {
  try {
    const document = JSON.parse(text) as { readonly formatVersion?: unknown; readonly peers?: unknown }
    const { formatVersion, peers } = document
    if (formatVersion !== FORMAT_VERSION || typeof peers !== 'object' || peers === null) return null
    const entries = Object.entries(peers)
    if (!entries.every(([id, value]) => /^[1-9][0-9]{0,9}$/.test(id) && typeof value === 'string')) return null
    return new Map(entries.map(([id, value]) => [Number(id) as NodeId, String(value)]))
  } catch {
    return null
  }
}
