import { readFileSync, writeFileSync } from 'node:fs'

const path = '/proc/self/coredump_filter'

/** What the kernel was told before this process told it anything; null: not known. */
let before: string | null = null

/**
 * Leaves the memory of this process out of what the kernel writes when it crashes: values, keys and secrets are in it. Linux alone can do that; it
 * holds for programs that take such dumps from the kernel as well, whatever the limit of their size is.
 */
export function keepMemoryOutOfDumps(): void {
  try {
    const found = readFileSync(path, 'latin1').trim()
    writeFileSync(path, '0')
    before = `0x${found}`
  } catch {
    // There is no such file, or it may not be written. docs/SECURITY.md says what is left to do.
  }
}

/** A process that `start` begins is dumped as it would be without this one, from which it inherits the rest. */
export function asBeforeStart<T>(start: () => T): T {
  if (before === null) return start()
  try {
    writeFileSync(path, before)
  } catch {
    // It took another value before.
  }
  try {
    return start()
  } finally {
    keepMemoryOutOfDumps()
  }
}
