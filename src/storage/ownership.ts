import fs from 'node:fs/promises'
import { StorageError } from '../lib/errors.ts'

/**
 * Refuses a directory of another user, for what opens a data directory beside the node: root may write there, and the node could not open what
 * root makes. Does nothing where `path` is not there, or where a system has no such users. Rejects with `StorageError` (`refused`).
 */
export async function refuseForeignDirectory(path: string): Promise<void> {
  const user = process.geteuid?.()
  const found = await fs.stat(path).catch(() => null)
  if (user === undefined || found === null || found.uid === user) return
  throw new StorageError(
    'refused',
    `${path} belongs to the user with the id ${found.uid}, and this runs as the user with the id ${user}: the node could not open what would ` +
      `be made there. Run the command as the owner: sudo -u '#${found.uid}' quorate ...`,
  )
}
