import { join } from 'node:path'
import { StorageError } from '../lib/errors.ts'
import type { NodeId } from '../raft/index.ts'
import { storageFault } from './fault.ts'
import { readJson, replaceFile } from './whole-file.ts'

export const PEERS_FILE = 'peers.json'
const FORMAT_VERSION = 1

/** The incarnations of peers in one small file that is replaced whole at every change. */
export class FilePeerRegister {
  private readonly path: string
  private known: Map<NodeId, string> | null = null
  /** Changes are written one after the other. */
  private saving: Promise<void> = Promise.resolve()

  constructor(directory: string) {
    this.path = join(directory, PEERS_FILE)
  }

  async load(): Promise<ReadonlyMap<NodeId, string>> {
    return new Map(await this.incarnations())
  }

  /** Resolves when the incarnation is on stable storage. */
  async remember(id: NodeId, incarnation: string): Promise<void> {
    return this.change((known) => {
      if (known.get(id) === incarnation) return false
      known.set(id, incarnation)
      return true
    })
  }

  async forget(id: NodeId): Promise<void> {
    return this.change((known) => known.delete(id))
  }

  private async change(edit: (known: Map<NodeId, string>) => boolean): Promise<void> {
    const work = this.saving.then(async () => {
      const known = await this.incarnations()
      if (!edit(known)) return
      const incarnations = Object.fromEntries(known)
      await replaceFile(this.path, `${JSON.stringify({ format: FORMAT_VERSION, incarnations })}\n`)
    })
    this.saving = work.catch(() => undefined)
    return work.catch((error: unknown) => {
      throw storageFault(error, `write ${this.path}`)
    })
  }

  private async incarnations(): Promise<Map<NodeId, string>> {
    this.known ??= await this.read()
    return this.known
  }

  private async read(): Promise<Map<NodeId, string>> {
    const content = await readJson(this.path, (what, cause) => this.unreadable(what, cause))
    if (content === null) return new Map()
    const { format, incarnations } = content as { format?: unknown; incarnations?: unknown }
    if (typeof format !== 'number') throw this.unreadable('it names no format')
    if (format > FORMAT_VERSION) {
      throw new StorageError(
        'refused',
        `${this.path} has format ${format}; start the newer version of Quorate that wrote it.`,
      )
    }
    if (typeof incarnations !== 'object' || incarnations === null) throw this.unreadable('it names no incarnations')
    const known = new Map<NodeId, string>()
    for (const [id, incarnation] of Object.entries(incarnations)) {
      if (!/^[1-9]\d*$/.test(id) || typeof incarnation !== 'string')
        throw this.unreadable(`the entry of node ${id} is not valid`)
      known.set(Number(id) as NodeId, incarnation)
    }
    return known
  }

  private unreadable(what: string, cause?: unknown): StorageError {
    return new StorageError(
      'refused',
      `${this.path} cannot be read: ${what}. It names the peers that this node has met. If none of them has lost its data since, ` +
        'remove the file and start again.',
      { cause },
    )
  }
}
