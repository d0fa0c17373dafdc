import fs from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { syncDirectory } from './directories.ts'

/** The name of a new content until it replaces the old one. */
export function temporaryName(name: string): string {
  return `${name}.tmp`
}

/** Replaces the content of a file durably. After a crash the file has the old content or the new one, never a mixture. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const temporary = join(dirname(path), temporaryName(basename(path)))
  const file = await fs.open(temporary, 'w', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await fs.rename(temporary, path)
  await syncDirectory(dirname(path))
}

/** The JSON object in a file; null when the file does not exist. `reject` makes the error for any other content. */
export async function readJson(
  path: string,
  reject: (what: string, cause?: unknown) => Error,
): Promise<Record<string, unknown> | null> {
  let text: string
  try {
    text = await fs.readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw reject('it is not JSON', error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw reject('it is not a JSON object')
  return value as Record<string, unknown>
}
