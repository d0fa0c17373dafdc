import { open, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { toError } from '../lib/to-error.ts'
import { syncDirectory } from '../storage/directories.ts'
import { shown } from './connection.ts'
import { printable } from './table.ts'
import { UsageError } from './terminal.ts'

/** Says that a file cannot be written, in the words of `unreadable`. */
export function unwritable(path: string, { message }: Error): string {
  return `${shown(path)} cannot be written: ${printable(message)}`
}

/** A file under another name until it is whole. What is no file, such as a device or a pipe, is written to as it is. */
export class PartFile {
  private readonly name: string
  private readonly partName: string
  private readonly handle: FileHandle
  private isOver = false

  private constructor(name: string, partName: string, handle: FileHandle) {
    this.name = name
    this.partName = partName
    this.handle = handle
  }

  /** `mode`: the permissions of a new file. `replaces`: whether it takes the place of a file that is there; absent: yes. */
  static async create(
    given: string,
    mode: number,
    { replaces = true }: { readonly replaces?: boolean } = {},
  ): Promise<PartFile> {
    try {
      // The file behind a symbolic link is replaced, not the link.
      const name = await realpath(given).catch(() => given)
      const found = await stat(name).catch(() => null)
      if (found?.isDirectory() === true) throw new UsageError(`${shown(given)} is a directory: name a file`)
      if (found?.isFile() === true && !replaces)
        throw new UsageError(`${shown(given)} is there already: name another file, or remove this one`)
      const isFile = found === null || found.isFile()
      if (!isFile) return new PartFile(name, name, await open(name, 'w'))
      const partName = `${name}.part`
      // Another command that writes the same file keeps a file of its own, which has no name any more.
      await rm(partName, { force: true })
      return new PartFile(name, partName, await open(partName, 'wx', mode))
    } catch (error) {
      throw error instanceof UsageError ? error : new UsageError(unwritable(given, toError(error)))
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
        if (!(await this.isStillThere())) throw new Error('another command has begun to write the same file')
        await rename(this.partName, this.name)
        await syncDirectory(dirname(this.name))
      }
    } catch (error) {
      return toError(error)
    }
    await this.handle.close()
    this.isOver = true
    return null
  }

  /** Removes what there is, unless it is finished. */
  async abandon(): Promise<void> {
    if (this.isOver) return
    const isThere = this.partName !== this.name && (await this.isStillThere())
    await this.handle.close()
    if (isThere) await rm(this.partName, { force: true })
  }

  private async isStillThere(): Promise<boolean> {
    const [own, named] = await Promise.all([this.handle.stat(), stat(this.partName).catch(() => null)])
    return named !== null && named.ino === own.ino && named.dev === own.dev
  }
}
