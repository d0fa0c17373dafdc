import { bounds } from '../bounds.ts'
import { Store } from '../lib/store.ts'
import { readLevel, type KeyListing, type LevelEntry, type ListedKey } from './key-level.ts'

/** A line of the tree. `level`: the prefix of the level that it belongs to. */
export type TreeRow = { readonly depth: number; readonly level: string; readonly id: string } & (
  | { readonly kind: 'key'; readonly key: ListedKey; readonly label: string }
  | { readonly kind: 'branch'; readonly prefix: string; readonly label: string; readonly isOpen: boolean }
  /** There are more entries in the level, or there were some before those that are shown. */
  | { readonly kind: 'more' | 'first' }
  | { readonly kind: 'loading' | 'empty' }
  | { readonly kind: 'failed'; readonly failure: unknown }
)

interface Level {
  readonly prefix: string
  entries: readonly LevelEntry[]
  /** Where the next part begins; null: there is none. */
  next: string | null
  /** Entries before those that are held have made room. */
  isCut: boolean
  /** The number of the reading that is under way; null: there is none. A newer one takes the place of an older one. */
  reading: number | null
  failure: unknown
}

interface Reading {
  readonly entriesMax: number
  /** What is read takes the place of what is held. */
  readonly isAnew: boolean
}

export interface TreeOptions {
  /** Only keys that begin with it. */
  readonly prefix: string
  readonly separator: string
}

/**
 * The keys of the store as a tree. A level is read when it is opened, a part at a time. What is held is bounded: a level that grows
 * too long forgets its first entries, and a tree that does closes the branches that were opened first.
 */
export class KeyTree {
  readonly rows = new Store<readonly TreeRow[]>([])
  readonly options: TreeOptions
  private readonly listing: KeyListing
  /** The open ones by prefix, those opened first at the front. */
  private readonly levels = new Map<string, Level>()
  private readings = 0

  constructor(options: TreeOptions, listing: KeyListing) {
    this.options = options
    this.listing = listing
  }

  async load(): Promise<void> {
    await this.open(this.options.prefix)
  }

  async open(prefix: string): Promise<void> {
    if (this.levels.has(prefix)) return
    const level: Level = { prefix, entries: [], next: null, isCut: false, reading: null, failure: null }
    this.levels.set(prefix, level)
    await this.read(level, null)
  }

  /** Opens the branches that lead to `key`. */
  async reveal(key: string): Promise<void> {
    const { prefix, separator } = this.options
    if (separator === '' || !key.startsWith(prefix)) return
    let at = key.indexOf(separator, prefix.length)
    for (let depth = 0; at >= 0 && depth < bounds.treeRevealedLevelsMax; depth++) {
      await this.open(key.slice(0, at + separator.length))
      at = key.indexOf(separator, at + separator.length)
    }
  }

  close(prefix: string): void {
    // What is open below it would only be read again for nothing.
    for (const open of this.levels.keys()) if (open.startsWith(prefix)) this.levels.delete(open)
    this.draw()
  }

  /** Reads the next part of a level, unless it is being read. */
  async more(prefix: string): Promise<void> {
    const level = this.levels.get(prefix)
    if (level !== undefined && level.next !== null && level.reading === null) await this.read(level, level.next)
  }

  /** Begins a level again. */
  async first(prefix: string): Promise<void> {
    const level = this.levels.get(prefix)
    if (level === undefined) return
    Object.assign(level, { entries: [], next: null, isCut: false })
    await this.read(level, null)
  }

  /** Reads what is open again, as far as it was read. */
  async reload(): Promise<void> {
    for (const level of this.levels.values()) await this.refresh(level)
  }

  /** A level whose first entries were forgotten is read from the first one that it shows. */
  private async refresh(level: Level): Promise<void> {
    const { entries, isCut } = level
    const [first] = entries
    const from = !isCut || first === undefined ? null : startOf(first)
    await this.read(level, from, { entriesMax: Math.max(entries.length, bounds.treePartEntries), isAnew: true })
  }

  private async read(level: Level, from: string | null, how: Partial<Reading> = {}): Promise<void> {
    const { entriesMax = bounds.treePartEntries, isAnew = from === null } = how
    const reading = ++this.readings
    level.reading = reading
    level.failure = null
    this.draw()
    const { prefix } = level
    const { separator } = this.options
    try {
      const options = { prefix, separator, from, entriesMax, requestsMax: bounds.treePartRequests }
      const { entries, next } = await readLevel(this.listing, options)
      if (level.reading !== reading) return
      const all = isAnew ? entries : [...level.entries, ...entries]
      level.entries = all.slice(-bounds.treeLevelEntriesMax)
      level.isCut = (level.isCut && from !== null) || all.length > level.entries.length
      level.next = next
    } catch (failure) {
      if (level.reading !== reading) return
      level.failure = failure
    }
    level.reading = null
    this.makeRoom(prefix)
    this.draw()
  }

  private makeRoom(reached: string): void {
    let held = 0
    for (const { entries } of this.levels.values()) held += entries.length
    for (const [prefix, { entries }] of this.levels) {
      if (held <= bounds.treeEntriesMax) return
      if (reached.startsWith(prefix)) continue
      held -= entries.length
      this.levels.delete(prefix)
    }
  }

  private draw(): void {
    const rows: TreeRow[] = []
    this.addLevel(this.options.prefix, 1, rows)
    this.rows.set(rows)
  }

  private addLevel(prefix: string, depth: number, rows: TreeRow[]): void {
    const level = this.levels.get(prefix)
    if (level === undefined) return
    const place = { depth, level: prefix }
    const add = (kind: 'more' | 'first' | 'loading' | 'empty'): void => {
      rows.push({ ...place, kind, id: `${kind} ${prefix}` })
    }
    if (level.isCut) add('first')
    for (const entry of level.entries) this.addEntry(entry, depth, prefix, rows)
    const { failure, reading, entries, next } = level
    if (failure !== null) rows.push({ ...place, kind: 'failed', failure, id: `failed ${prefix}` })
    else if (reading !== null) add('loading')
    else if (next !== null) add('more')
    else if (entries.length === 0) add('empty')
  }

  private addEntry(entry: LevelEntry, depth: number, level: string, rows: TreeRow[]): void {
    const text = entry.kind === 'key' ? entry.key.key : entry.prefix
    // The names in a filtered tree are whole, up to the last separator of the filter.
    const place = { depth, level, id: `${entry.kind} ${text}`, label: text.slice(this.labelStart(level)) }
    if (entry.kind === 'key') {
      rows.push({ ...place, kind: 'key', key: entry.key })
      return
    }
    const { prefix } = entry
    const isOpen = this.levels.has(prefix)
    rows.push({ ...place, kind: 'branch', prefix, isOpen })
    if (isOpen) this.addLevel(prefix, depth + 1, rows)
  }

  private labelStart(level: string): number {
    if (level !== this.options.prefix) return level.length
    const { separator } = this.options
    if (separator === '') return 0
    const at = level.lastIndexOf(separator)
    return at < 0 ? 0 : at + separator.length
  }
}

function startOf(entry: LevelEntry): string {
  return entry.kind === 'key' ? entry.key.key : entry.prefix
}
