import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Changes one byte of `path` to another value. */
export async function flipByte(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const byte = Buffer.alloc(1)
    const { bytesRead } = await file.read(byte, 0, 1, at)
    if (bytesRead !== 1) throw new Error(`${path} ends before ${at}`)
    byte[0] = (byte[0] ?? 0) ^ 0x5a
    await file.write(byte, 0, 1, at)
  } finally {
    await file.close()
  }
}

/** How far a file is filled: log segments are allocated ahead, and filled with zeros. */
export async function filledBytes(path: string): Promise<number> {
  const content = await readFile(path)
  let end = content.length
  while (end > 0 && content[end - 1] === 0) end -= 1
  return end
}

/** The files below `directory` whose names match, sorted by name, with their sizes. */
export async function filesBelow(directory: string, name: RegExp): Promise<{ path: string; bytes: number }[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile() && name.test(entry.name))
  const sorted = paths.map((entry) => join(entry.parentPath, entry.name)).sort((a, b) => (a < b ? -1 : 1))
  return await Promise.all(sorted.map(async (path) => ({ path, bytes: (await stat(path)).size })))
}

/** Replaces fields of a JSON document. */
export async function editJson(path: string, fields: Readonly<Record<string, unknown>>): Promise<void> {
  const document = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
  await writeFile(path, JSON.stringify({ ...document, ...fields }))
}
