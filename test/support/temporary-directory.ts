import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The part of tap's `t` that is needed for cleaning up. */
export interface Owner {
  teardown(handler: () => Promise<void>): void
}

/** A directory that is removed when the test ends. */
export async function temporaryDirectory(owner: Owner): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'quorate-test-'))
  owner.teardown(async () => await rm(directory, { recursive: true, force: true }))
  return directory
}
