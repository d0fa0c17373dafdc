import { randomBytes } from 'node:crypto'
import type { QuorateClient } from '../client/quorate-client.ts'
import { printable } from './table.ts'
import { UsageError, type Terminal } from './terminal.ts'
import { isClientFailure, shown, type ClientFailure } from './connection.ts'

const baseDefault = 'quorate-check/'
const baseBytesMax = 100

/** A prefix that no other key has, below the one that was asked for: everything under it belongs to this check, and may be deleted. */
export function prefixOf(base: string | undefined, name: string): string {
  const given = base ?? baseDefault
  // So that a key is its own text in the store, and fits.
  if (!/^[\x21-\x7e]*$/.test(given) || given.length > baseBytesMax) {
    throw new UsageError(`--prefix ${shown(given)}: expected at most ${baseBytesMax} visible ASCII characters`)
  }
  return `${given}${name}/${randomBytes(6).toString('hex')}/`
}

/** What a check found, and why its keys are still there; null: they are gone. */
export interface Checked<Found> {
  readonly found: Found
  readonly kept: ClientFailure | null
}

/**
 * Runs `check` on keys of its own below `prefix`, and removes them however it ends. `settle` resolves when nothing that was asked for can take
 * effect any more; it is given null when the check has failed.
 */
export async function onOwnKeys<Found>(
  terminal: Terminal,
  { client, prefix }: { readonly client: QuorateClient; readonly prefix: string },
  check: () => Promise<Found>,
  settle: (found: Found | null) => Promise<void> = async () => {},
): Promise<Checked<Found>> {
  let found: Found
  try {
    found = await check()
  } catch (error) {
    await settle(null)
    // Why the check failed matters more than what becomes of its keys.
    await removeKeys(terminal, client, prefix).catch(() => null)
    throw error
  }
  await settle(found)
  return { found, kept: await removeKeys(terminal, client, prefix) }
}

/** Deletes everything that a check wrote. Null, or why it could not, which is also printed with the command that does it. */
async function removeKeys(terminal: Terminal, client: QuorateClient, prefix: string): Promise<ClientFailure | null> {
  try {
    await client.deleteRange({ prefix }, { chunked: true })
    return null
  } catch (error) {
    if (!isClientFailure(error)) throw error
    terminal.printError(
      `quorate: the keys of this check could not be removed: ${printable(error.message)}\n` +
        `  Remove them with \`quorate kv del --prefix --chunked ${prefix}\`.\n`,
    )
    return error
  }
}
