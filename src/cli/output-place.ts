import { fstat, write } from 'node:fs'
import { readlink, realpath } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { promisify } from 'node:util'

/** What a path leads to. */
export interface Place {
  /** Without symbolic links, also when nothing is there yet. */
  readonly name: string
  /** Its number when it is an open file of this process, such as `/dev/stdout`; `foreign`: of another process; null: it is none. */
  readonly descriptor: number | 'foreign' | null
}

/** As many as Linux follows. */
const linksMax = 40

export async function placeOf(given: string): Promise<Place> {
  let name = given
  for (let links = 0; links <= linksMax; links++) {
    const folder = await realpath(dirname(name)).catch(() => null)
    if (folder === null || name.endsWith('/')) return { name, descriptor: null }
    const descriptor = descriptorIn(folder, basename(name))
    if (descriptor !== null) return { name, descriptor }
    name = join(folder, basename(name))
    const target = await readlink(name).catch(() => null)
    if (target === null) return { name, descriptor: null }
    name = isAbsolute(target) ? target : `${folder}/${target}`
  }
  throw new Error('too many symbolic links')
}

function descriptorIn(folder: string, last: string): Place['descriptor'] {
  const [found, owner] = /^\/proc\/([0-9]+)(?:\/task\/[0-9]+)?\/fd$/.exec(folder) ?? []
  if ((found === undefined && folder !== '/dev/fd') || !/^[0-9]+$/.test(last)) return null
  return owner === undefined || owner === String(process.pid) ? Number(last) : 'foreign'
}

/** Whether what goes there goes to the standard output. */
export async function isStandardOutput(given: string): Promise<boolean> {
  return given === '-' || (await placeOf(given).catch(() => null))?.descriptor === 1
}

/** Where to write, and to end that. */
export interface Output {
  writeFile(piece: Uint8Array): Promise<void>
  sync(): Promise<void>
  close(): Promise<void>
}

/** An open file of this process as an output, which goes on where it is. Null: it is no regular file. */
export async function openFile(descriptor: number): Promise<Output | null> {
  if (!(await promisify(fstat)(descriptor)).isFile()) return null
  const writeSome = promisify(write)
  return {
    writeFile: async (piece) => {
      for (let at = 0; at < piece.length;) at += (await writeSome(descriptor, piece, at)).bytesWritten
    },
    sync: async () => undefined,
    // It belongs to whoever has opened it.
    close: async () => undefined,
  }
}
