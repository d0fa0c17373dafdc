import type { SeededRandom } from '../../src/lib/random.ts'
import type { LogFiles } from '../../src/storage/wal/files.ts'

/** A file: what a program reads, and what a power cut leaves of it. */
interface Inode {
  current: Buffer
  durable: Buffer
  /** Pages that a sync would write. Others that differ were given up by the system when a write failed. */
  readonly dirty: Set<number>
}

/** A change of a name that no sync of the directory has made durable yet. */
interface NameChange {
  readonly name: string
  readonly inode: Inode | null
}

export type Call =
  'open' | 'write' | 'writeNow' | 'read' | 'sync' | 'close' | 'rename' | 'remove' | 'list' | 'make' | 'syncDirectory'

export interface Tear {
  /** Which bytes of the write under way reached the disk. */
  readonly reached: (offset: number) => boolean
}

/** How the write under way ended: its process was killed when it had been copied, or it failed and is not tried again. */
export type Interruption = 'killed' | 'failed'

/** Smaller than a real one, so that the short segments of the tests have several. */
const PAGE = 256

/**
 * One directory on a disk that forgets what was not synced, for the log's tests. Names persist in the order of their changes; pages of
 * unsynced files persist or not, each for itself.
 */
export class MemoryFiles implements LogFiles {
  /** Called before each call takes effect. May throw, and then the call fails. */
  beforeCall: (call: Call, name: string) => void = () => undefined
  /** Calls so far. */
  calls = 0
  private readonly names = new Map<string, Inode>()
  private readonly durableNames = new Map<string, Inode>()
  private changes: NameChange[] = []
  private readonly descriptors = new Map<number, { inode: Inode; name: string; isSynced: boolean }>()
  private nextDescriptor = 100
  /** The write that is taking effect, for images taken by `beforeCall`. */
  private underWay: { inode: Inode; content: Buffer; position: number } | null = null

  get openDescriptors(): number {
    return this.descriptors.size
  }

  content(name: string): Buffer {
    const inode = this.names.get(name)
    if (inode === undefined) throw failure('ENOENT', name)
    return inode.current
  }

  put(name: string, content: Buffer): void {
    const inode = { current: Buffer.from(content), durable: Buffer.from(content), dirty: new Set<number>() }
    this.names.set(name, inode)
    this.durableNames.set(name, inode)
  }

  delete(name: string): void {
    this.names.delete(name)
    this.durableNames.delete(name)
  }

  fileNames(): string[] {
    return [...this.names.keys()].toSorted()
  }

  /** The files that a dying process leaves, on the disk and in memory, with the write that it was interrupted in. */
  copy(interruption: Interruption | null = null): MemoryFiles {
    const copy = new MemoryFiles()
    const copies = new Map<Inode, Inode>()
    const copyOf = (inode: Inode): Inode => {
      const known = copies.get(inode) ?? {
        current: Buffer.from(inode.current),
        durable: Buffer.from(inode.durable),
        dirty: new Set(inode.dirty),
      }
      copies.set(inode, known)
      return known
    }
    for (const [name, inode] of this.names) copy.names.set(name, copyOf(inode))
    for (const [name, inode] of this.durableNames) copy.durableNames.set(name, copyOf(inode))
    copy.changes = this.changes.map(({ name, inode }) => ({ name, inode: inode === null ? null : copyOf(inode) }))
    if (interruption !== null && this.underWay !== null) {
      const { inode, content, position } = this.underWay
      const written = copyOf(inode)
      overwrite(written, content, position)
      if (interruption === 'failed') for (const page of pagesOf(content, position)) written.dirty.delete(page)
    }
    return copy
  }

  /** The files under the same names in a new directory, as a program copies them that syncs nothing. */
  copyUnsynced(): MemoryFiles {
    const copy = new MemoryFiles()
    for (const [name, { current }] of this.names) {
      const inode = { current: Buffer.alloc(0), durable: Buffer.alloc(0), dirty: new Set<number>() }
      overwrite(inode, current, 0)
      copy.change(name, inode)
    }
    return copy
  }

  /** The disk after a power cut, with `tear` in the middle of the write under way. */
  afterPowerCut(random: SeededRandom, tear: Tear | null): MemoryFiles {
    const cut = new MemoryFiles()
    const names = new Map(this.durableNames)
    const kept = random.integer(0, this.changes.length + 1)
    for (const { name, inode } of this.changes.slice(0, kept)) {
      if (inode === null) names.delete(name)
      else names.set(name, inode)
    }
    for (const [name, inode] of names) {
      const content = Buffer.from(inode.durable)
      for (let at = 0; at < content.length; at += PAGE) {
        if (random.integer(0, 2) === 0) inode.current.copy(content, at, at, Math.min(at + PAGE, content.length))
      }
      cut.put(name, this.torn(inode, content, tear))
    }
    return cut
  }

  private torn(inode: Inode, content: Buffer, tear: Tear | null): Buffer {
    if (tear === null || this.underWay === null || this.underWay.inode !== inode) return content
    const { content: written, position } = this.underWay
    const torn = Buffer.alloc(Math.max(content.length, position + written.length))
    content.copy(torn)
    for (let i = 0; i < written.length; i++) if (tear.reached(i)) torn[position + i] = written[i] ?? 0
    return torn
  }

  async open(path: string, mode: 'existing' | 'new'): Promise<number> {
    const name = baseName(path)
    this.call('open', name)
    if (mode === 'new') {
      if (this.names.has(name)) throw failure('EEXIST', path)
      this.change(name, { current: Buffer.alloc(0), durable: Buffer.alloc(0), dirty: new Set() })
    }
    return this.describe(name, true)
  }

  async openUnsynced(path: string): Promise<number> {
    this.call('open', baseName(path))
    return this.describe(baseName(path), false)
  }

  async write(fd: number, buffers: readonly Uint8Array[], position: number): Promise<void> {
    const { inode, name, isSynced } = this.descriptor(fd)
    const content = Buffer.concat(buffers)
    this.underWay = { inode, content, position }
    try {
      this.call('write', name)
    } finally {
      this.underWay = null
    }
    overwrite(inode, content, position)
    if (isSynced) makeDurable(inode, pagesOf(content, position))
    // The caller goes on in a later turn, as it would after a real write.
    await new Promise((resolve) => setImmediate(resolve))
  }

  writeNow(fd: number, buffer: Uint8Array, position: number): void {
    const { inode, name } = this.descriptor(fd)
    this.call('writeNow', name)
    overwrite(inode, Buffer.from(buffer), position)
  }

  async read(fd: number, buffer: Uint8Array, position: number): Promise<number> {
    const { inode, name } = this.descriptor(fd)
    this.call('read', name)
    const piece = inode.current.subarray(position, position + buffer.length)
    buffer.set(piece)
    return piece.length
  }

  async size(fd: number): Promise<number> {
    return this.descriptor(fd).inode.current.length
  }

  async sync(fd: number): Promise<void> {
    const { inode, name } = this.descriptor(fd)
    this.call('sync', name)
    makeDurable(inode, [...inode.dirty])
  }

  async close(fd: number): Promise<void> {
    this.call('close', this.descriptor(fd).name)
    this.descriptors.delete(fd)
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.names.get(baseName(from))
    this.call('rename', baseName(to))
    if (inode === undefined) throw failure('ENOENT', from)
    this.change(baseName(to), inode)
    this.change(baseName(from), null)
  }

  async remove(path: string): Promise<void> {
    this.call('remove', baseName(path))
    if (!this.names.has(baseName(path))) throw failure('ENOENT', path)
    this.change(baseName(path), null)
  }

  async list(): Promise<string[]> {
    this.call('list', '')
    return this.fileNames()
  }

  async makeDirectory(): Promise<void> {
    this.call('make', '')
  }

  async syncDirectory(): Promise<void> {
    this.call('syncDirectory', '')
    for (const { name, inode } of this.changes) {
      if (inode === null) this.durableNames.delete(name)
      else this.durableNames.set(name, inode)
    }
    this.changes = []
  }

  private call(call: Call, name: string): void {
    this.calls += 1
    this.beforeCall(call, name)
  }

  private change(name: string, inode: Inode | null): void {
    if (inode === null) this.names.delete(name)
    else this.names.set(name, inode)
    this.changes.push({ name, inode })
  }

  private describe(name: string, isSynced: boolean): number {
    const inode = this.names.get(name)
    if (inode === undefined) throw failure('ENOENT', name)
    this.nextDescriptor += 1
    this.descriptors.set(this.nextDescriptor, { inode, name, isSynced })
    return this.nextDescriptor
  }

  private descriptor(fd: number): { inode: Inode; name: string; isSynced: boolean } {
    const found = this.descriptors.get(fd)
    if (found === undefined) throw failure('EBADF', String(fd))
    // A file may have been renamed since it was opened.
    const name = [...this.names].find(([, inode]) => inode === found.inode)?.[0] ?? found.name
    return { ...found, name }
  }
}

/** An error as a system call throws it. */
export function failure(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: injected, ${what}`), { code })
}

function overwrite(inode: Inode, content: Buffer, position: number): void {
  const end = position + content.length
  if (inode.current.length < end)
    inode.current = Buffer.concat([inode.current, Buffer.alloc(end - inode.current.length)])
  content.copy(inode.current, position)
  for (const page of pagesOf(content, position)) inode.dirty.add(page)
}

function pagesOf(content: Buffer, position: number): number[] {
  const first = Math.floor(position / PAGE)
  const end = Math.ceil((position + content.length) / PAGE)
  return Array.from({ length: end - first }, (_, at) => first + at)
}

/** A sync writes whole pages, and with them the length of the file. */
function makeDurable(inode: Inode, pages: readonly number[]): void {
  const { current } = inode
  if (inode.durable.length < current.length)
    inode.durable = Buffer.concat([inode.durable, Buffer.alloc(current.length - inode.durable.length)])
  for (const page of pages) {
    current.copy(inode.durable, page * PAGE, page * PAGE, Math.min((page + 1) * PAGE, current.length))
    inode.dirty.delete(page)
  }
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
