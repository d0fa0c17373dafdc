import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** The content of every file below `directory`, by its path. */
export async function filesBelow(directory: string): Promise<ReadonlyMap<string, Buffer>> {
  const files = new Map<string, Buffer>()
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) files.set(path, await readFile(path))
  }
  return files
}
