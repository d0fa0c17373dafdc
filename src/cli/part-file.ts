import { closeSync, fstatSync, openSync, statSync, unlinkSync, type Stats } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { toError } from '../lib/to-error.ts'
import { syncDirectory } from '../storage/directories.ts'
import { shown } from './connection.ts'
import { openFile, placeOf, type Output, type Place } from './output-place.ts'
import { printable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'

/** Says that a file cannot be written, in the words of `unreadable`. */
export function unwritable(path: string, { message }: Error): string {
  return `${shown(path)} cannot be written: ${printable(message)}`
}

const TAKEN = 'another command has begun to write the same file'

/**
 * A file that has another name until it is whole. A signal that ends the process removes what there is. A device, a pipe, or what is open already,
 * such as `/dev/fd/3`, is written to as it is.
 */
export class PartFile {
  private readonly name: string
  private readonly partName: string
  private readonly handle: Output
  /** The part as it was created; null: what is written to is no file. */
  private readonly own: Stats | null
  private readonly stopCleaning: () => void
  private isOver = false

  private constructor(
    name: string,
    handle: Output,
    part: { readonly name: string; readonly own: Stats; readonly stopCleaning: () => void } | null,
  ) {
    this.name = name
    this.partName = part?.name ?? name
    this.handle = handle
    this.own = part?.own ?? null
    this.stopCleaning = part?.stopCleaning ?? (() => undefined)
  }

  /** `mode`: the permissions of a new file. `replaces`: whether it takes the place of a file that is there; absent: yes. */
  static async create(
    terminal: Terminal,
    given: string,
    mode: number,
    { replaces = true }: { readonly replaces?: boolean } = {},
  ): Promise<PartFile> {
    try {
      // The file behind a symbolic link is replaced, not the link.
      const place = await placeOf(given)
      const { name } = place
      const found = await stat(name).catch(() => null)
      if (found?.isDirectory() === true) throw new UsageError(`${shown(given)} is a directory: name a file`)
      if (place.descriptor !== null) return new PartFile(name, await opened(place), null)
      if (found?.isFile() === true && !replaces)
        throw new UsageError(`${shown(given)} is there already: name another file, or remove this one`)
      const isFile = found === null || found.isFile()
      if (!isFile) return new PartFile(name, await open(name, 'w'), null)
      return await PartFile.begin(terminal, name, mode)
    } catch (error) {
      throw error instanceof UsageError ? error : new UsageError(unwritable(given, toError(error)))
    }
  }

  private static async begin(terminal: Terminal, name: string, mode: number): Promise<PartFile> {
    const partName = `${name}.part`
    // Another command that writes the same file keeps a file of its own, which has no name any more.
    await rm(partName, { force: true })
    const made: { own: Stats | null } = { own: null }
    const stopCleaning = terminal.beforeSignalEnds(() => removeNow(partName, made.own))
    try {
      // At once: no signal comes between the file and the moment from which it is known here.
      made.own = createdAt(partName, mode)
      const handle = await open(partName, 'r+')
      if (isSame(made.own, await handle.stat()))
        return new PartFile(name, handle, { name: partName, own: made.own, stopCleaning })
      await handle.close()
      throw new Error(TAKEN)
    } catch (error) {
      stopCleaning()
      throw error
    }
  }

  async write(piece: Uint8Array): Promise<void> {
    await this.handle.writeFile(piece)
  }

  /** Returns why that is impossible, or null. */
  async finish(): Promise<Error | null> {
    try {
      if (this.partName !== this.name) {
        await this.handle.sync()
        if (!(await this.isStillThere())) throw new Error(TAKEN)
        await rename(this.partName, this.name)
        await syncDirectory(dirname(this.name))
      }
    } catch (error) {
      return toError(error)
    }
    this.isOver = true
    try {
      await this.handle.close()
    } catch (error) {
      return toError(error)
    } finally {
      this.stopCleaning()
    }
    return null
  }

  /** Removes what there is, unless it is finished. */
  async abandon(): Promise<void> {
    if (this.isOver) return
    const isThere = this.partName !== this.name && (await this.isStillThere())
    try {
      await this.handle.close()
    } finally {
      try {
        if (isThere) await rm(this.partName, { force: true })
      } finally {
        this.stopCleaning()
      }
    }
  }

  private async isStillThere(): Promise<boolean> {
    const named = await stat(this.partName).catch(() => null)
    return named !== null && this.own !== null && isSame(this.own, named)
  }
}

/** What others have written there stays. */
async function opened({ name, descriptor }: Place): Promise<Output> {
  const own = typeof descriptor === 'number' ? await openFile(descriptor) : null
  return own ?? (await open(name, 'a'))
}

function createdAt(path: string, mode: number): Stats {
  const descriptor = openSync(path, 'wx', mode)
  try {
    return fstatSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function removeNow(path: string, own: Stats | null): void {
  try {
    if (own !== null && isSame(own, statSync(path))) unlinkSync(path)
  } catch {
    // It has its name already, or somebody else has removed it.
  }
}

function isSame(one: Stats, other: Stats): boolean {
  return one.ino === other.ino && one.dev === other.dev
}
