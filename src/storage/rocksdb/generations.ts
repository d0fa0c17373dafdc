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
 * An install fills a new generation; renaming a new `current` over the old one is the moment it takes effect. Every other generation
 * is what an interrupted install or removal left.
 */
const FORMAT_VERSION = 1
const CURRENT = 'current'
const DAMAGED = 'damaged'
const FIRST = 1
const GENERATION = /^generation-(\d+)$/

/** What the state asks of the file system besides RocksDB's own work: a port, so that a test can stop at any step. */
export interface StateFiles {
  /** Creates a directory that only its owner can enter, with its parents, all of them durable. */
  makeDirectory(path: string): Promise<void>
  /** Makes the content of a file durable. */
  syncFile(path: string): Promise<void>
  /** Makes names in a directory durable. */
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

  /** The number of the generation in use, which is empty when it is new. All of it is durable. Removes all others. */
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
    // What is found here may be in memory only, as after a crash before a sync, or in a copy. The log is freed on the strength of it.
    await this.syncContent(current)
    await this.files.syncFile(join(this.directory, CURRENT))
    await this.files.syncDirectory(this.directory)
    for (const generation of generations) {
      if (generation !== current) await this.files.remove(this.path(generation))
    }
    this.highest = Math.max(this.highest, current)
    return current
  }

  /** RocksDB would begin anew, and silently, in a directory that lost its file CURRENT, which is written before any with rows. */
  private async checkDatabase(generation: number): Promise<void> {
    const names = await fs.readdir(this.path(generation))
    if (names.includes('CURRENT') || !names.some((name) => /\.(sst|log)$/.test(name))) return
    throw new DamagedStateError(this.directory, `the file CURRENT of generation-${generation} is missing`)
  }

  /** A number that no generation has had. */
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
      // A file that a compaction removed meanwhile was replaced by others, which RocksDB has synced.
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

  /** The first generation, empty. Its name is durable before anything says that it is in use: from then on its absence is a loss. */
  private async begin(generations: readonly number[]): Promise<number> {
    for (const generation of generations) {
      // Nothing lies in one that an interrupted beginning left.
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
      throw new DamagedStateError(this.directory, `the file ${CURRENT} makes no sense`)
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

/** Puts a state that cannot be used out of the way, for whoever wants to look at it; one set aside earlier is removed. The store must be closed. */
export async function setStateAside(directory: string): Promise<void> {
  const aside = `${directory}.damaged`
  await fs.rm(aside, { recursive: true, force: true })
  await fs.rename(directory, aside)
  await syncDirectory(dirname(directory))
}
