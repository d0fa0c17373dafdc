import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { Owner } from '../../support/temporary-directory.ts'

const run = promisify(execFile)

/** A small file system in memory. */
export class SmallDisk {
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  /** A string is the reason why this machine does not allow mounts. */
  static async mount(owner: Owner, directory: string, mebibytes: number): Promise<SmallDisk | string> {
    await mkdir(directory, { recursive: true })
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=0700`, 'tmpfs', directory])
    } catch (error) {
      return `no mounts here: ${(error instanceof Error ? error.message : String(error)).trim()}`
    }
    owner.teardown(async () => {
      await run('umount', ['--lazy', directory])
    })
    return new SmallDisk(directory)
  }

  async resize(mebibytes: number): Promise<void> {
    await run('mount', ['-o', `remount,size=${mebibytes}m`, this.directory])
  }

  async makeReadOnly(): Promise<void> {
    await run('mount', ['-o', 'remount,ro', this.directory])
  }
}
