import fs from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { StorageError } from '../../lib/errors.ts'
import { makeDirectory, syncDirectory, syncFile } from '../directories.ts'
import { DamagedStateError } from './binding.ts'

/**
 * The directory of the state:
 *
 *   current            the number of the generation in use, as JSON with the format version
 *   generation-<n>/    one RocksDB database
 *   damaged            written when a damaged row was met, so that the next opening knows without reading everything
 *
 * An install fills a new generation, and takes effect at the moment when a new `current` is renamed over the old one. All other
 * generations are remains of an interrupted install or removal.
 */
const FORMAT_VERSION = 1
const CURRENT = 'current'
const DAMAGED = 'damaged'
const FIRST = 1
const GENERATION = /^generation-(\d+)$/

/** The file system calls of the state besides RocksDB's own: a port, so that a test can stop at any step. */
export interface StateFiles {
  /** Creates a directory that only its owner can enter, with its parents, all of them durable. */
  makeDirectory(path: string): Promise<void>
  /** Makes the content of a file durable. */
  syncFile(path: string): Promise<void>
  /** Makes the names in a directory durable. */
  syncDirectory(path: string): Promise<void>
  writeFile(path: string, content: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** Removes a file or a directory with everything in it. */
  remove(path: string): Promise<void>
}

export const nodeStateFiles: StateFiles = {
  makeDirectory: async (path) => void (await makeDirectory(path)),
  syncFile,
  syncDirectory,
  writeFile: async (path, content) => fs.writeFile(path, content, { mode: 0o600 }),
  rename: async (from, to) => fs.rename(from, to),
  remove: async (path) => fs.rm(path, { recursive: true, force: true }),
}

export class Generations {
  private readonly directory: string
  private readonly files: StateFiles
  private highest = 0

  constructor(directory: string, files: StateFiles) {
    this.directory = directory
    this.files = files
  }

  path(generation: number): string {
    return join(this.directory, `generation-${generation}`)
  }

  /**
   * Returns the number of the generation in use, which is empty when it is new. Everything in it is durable. Removes all other
   * generations.
   */
  async open(): Promise<number> {
    await this.files.makeDirectory(this.directory)
    const names = await fs.readdir(this.directory)
    const generations: number[] = []
    for (const name of names) {
      const number = GENERATION.exec(name)?.[1]
      if (number !== undefined) generations.push(Number(number))
      else if (![CURRENT, `${CURRENT}.tmp`, DAMAGED].includes(name)) throw this.foreign(name)
    }
    if (names.includes(DAMAGED))
      throw new DamagedStateError(this.directory, 'a damaged part was met while the node was running')
    this.highest = Math.max(0, ...generations)
    const current = names.includes(CURRENT) ? await this.readCurrent() : null
    if (current === null) return this.begin(generations)
    if (!generations.includes(current)) {
      throw new DamagedStateError(this.directory, `generation-${current} is missing`)
    }
    await this.checkDatabase(current)
    // Files found here may exist in memory only, after a crash before a sync, or in a copy. Log entries are purged in reliance on them.
    await this.syncContent(current)
    await this.files.syncFile(join(this.directory, CURRENT))
    await this.files.syncDirectory(this.directory)
    for (const generation of generations) {
      if (generation !== current) await this.files.remove(this.path(generation))
    }
    this.highest = Math.max(this.highest, current)
    return current
  }

  /**
   * In a directory without its CURRENT file RocksDB would silently start an empty database. It writes CURRENT before any file
   * with rows.
   */
  private async checkDatabase(generation: number): Promise<void> {
    const names = await fs.readdir(this.path(generation))
    if (names.includes('CURRENT') || !names.some((name) => /\.(sst|log)$/.test(name))) return
    throw new DamagedStateError(this.directory, `the file CURRENT of generation-${generation} is missing`)
  }

  /** A number that no generation has used. */
  next(): number {
    this.highest += 1
    return this.highest
  }

  /** Makes every file of a generation durable, then makes it the current one. */
  async publish(generation: number): Promise<void> {
    await this.syncContent(generation)
    await this.files.syncDirectory(this.directory)
    await this.writeCurrent(generation)
  }

  private async syncContent(generation: number): Promise<void> {
    const path = this.path(generation)
    for (const name of await fs.readdir(path)) {
      // A compaction removed the file and replaced it by others, which RocksDB has synced.
      await this.files.syncFile(join(path, name)).catch((error: unknown) => {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      })
    }
    await this.files.syncDirectory(path)
  }

  async remove(generation: number): Promise<void> {
    await this.files.remove(this.path(generation))
  }

  async markDamaged(what: string): Promise<void> {
    await this.files.writeFile(join(this.directory, DAMAGED), `${what}\n`)
    await this.files.syncDirectory(this.directory)
  }

  /** Makes the first, empty generation. Its name is durable before `current` names it, so from then on its absence means a loss. */
  private async begin(generations: readonly number[]): Promise<number> {
    for (const generation of generations) {
      // An interrupted start leaves an empty directory.
      if ((await fs.readdir(this.path(generation))).length === 0) continue
      throw new DamagedStateError(this.directory, `the file ${CURRENT} is missing`)
    }
    this.highest = FIRST
    await this.files.makeDirectory(this.path(FIRST))
    await this.files.syncDirectory(this.directory)
    await this.writeCurrent(FIRST)
    return FIRST
  }

  private async readCurrent(): Promise<number> {
    const path = join(this.directory, CURRENT)
    let content: unknown
    try {
      content = JSON.parse(await fs.readFile(path, 'utf8'))
    } catch (error) {
      throw new DamagedStateError(this.directory, `the file ${CURRENT} cannot be read`, { cause: error })
    }
    const { format, generation } = typeof content === 'object' && content !== null ? (content as Partial<Current>) : {}
    if (typeof format === 'number' && format > FORMAT_VERSION) {
      throw new StorageError(
        'refused',
        `${path} has format ${format}, and this version of Quorate knows formats up to ${FORMAT_VERSION}. ` +
          'Start the newer version that wrote it, or remove the directory of the state to have it rebuilt.',
      )
    }
    if (
      format !== FORMAT_VERSION ||
      typeof generation !== 'number' ||
      !Number.isSafeInteger(generation) ||
      generation < 1
    ) {
      throw new DamagedStateError(this.directory, `the file ${CURRENT} is not valid`)
    }
    return generation
  }

  private async writeCurrent(generation: number): Promise<void> {
    const path = join(this.directory, CURRENT)
    const current: Current = { format: FORMAT_VERSION, generation }
    await this.files.writeFile(`${path}.tmp`, `${JSON.stringify(current)}\n`)
    await this.files.syncFile(`${path}.tmp`)
    await this.files.rename(`${path}.tmp`, path)
    await this.files.syncDirectory(this.directory)
  }

  private foreign(name: string): StorageError {
    return new StorageError(
      'refused',
      `${join(this.directory, name)} is not a file of the state. Nothing else may lie in this directory: move the file away, ` +
        'or start the node with the right data directory.',
    )
  }
}

interface Current {
  readonly format: number
  readonly generation: number
}

/** Sets an unusable state aside for inspection, and removes one that was set aside earlier. The store must be closed. */
export async function setStateAside(directory: string): Promise<void> {
  const aside = `${directory}.damaged`
  await fs.rm(aside, { recursive: true, force: true })
  await fs.rename(directory, aside)
  await syncDirectory(dirname(directory))
}
