import { writeFileSync } from 'node:fs'

/**
 * Leaves the memory of this process out of what the kernel writes when it crashes: values, keys and secrets are in it. Linux alone can do that; it
 * holds for programs that take such dumps from the kernel as well, whatever the limit of their size is.
 */
export function keepMemoryOutOfDumps(): void {
  try {
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch {
    // There is no such file, or it may not be written. docs/SECURITY.md says what is left to do.
  }
}
