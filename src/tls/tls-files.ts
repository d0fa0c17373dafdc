import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { limits } from '../limits.ts'
import { flagsOf, type Plane } from './identity.ts'

/** The paths of the files of one plane. */
export interface TlsPaths {
  readonly cert: string
  readonly key: string
  readonly ca: string | null
}

export interface TlsContents {
  readonly cert: Buffer
  readonly key: Buffer
  readonly ca: Buffer | null
}

/** The files of one plane, or why some cannot be read: a sentence for each. */
export async function readTlsFiles(
  plane: Plane,
  paths: TlsPaths,
): Promise<{ readonly contents: TlsContents } | { readonly faults: readonly string[] }> {
  const flags = flagsOf(plane)
  const faults: string[] = []
  const read = async (flag: string, path: string): Promise<Buffer> => {
    try {
      return await readBounded(path)
    } catch (error) {
      faults.push(`${flag} ${path} cannot be read: ${describe(error)}.`)
      return Buffer.alloc(0)
    }
  }
  const [cert, key, ca] = await Promise.all([
    read(flags.cert, paths.cert),
    read(flags.key, paths.key),
    paths.ca === null ? null : read(flags.ca, paths.ca),
  ])
  return faults.length > 0 ? { faults } : { contents: { cert, key, ca } }
}

export function isSame(a: TlsContents, b: TlsContents): boolean {
  if (!a.cert.equals(b.cert) || !a.key.equals(b.key)) return false
  return a.ca === null || b.ca === null ? a.ca === b.ca : a.ca.equals(b.ca)
}

/** Anything but a file could keep the reader waiting, or never end. */
async function readBounded(path: string): Promise<Buffer> {
  // Without this flag, opening a pipe would wait for its writer.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    const stats = await file.stat()
    if (!stats.isFile()) throw new Error('it is not a file')
    if (stats.size > limits.tlsFileBytesMax)
      throw new Error(`it has ${stats.size} bytes, more than ${limits.tlsFileBytesMax}`)
    return await file.readFile()
  } finally {
    await file.close()
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error ? String(error.code) : ''
  switch (code) {
    case 'ENOENT':
      return 'there is no such file (ENOENT)'
    case 'EACCES':
    case 'EPERM':
      return `the user of this process may not read it (${code})`
    case 'EISDIR':
      return 'it is not a file'
    default:
      return error.message
  }
}
