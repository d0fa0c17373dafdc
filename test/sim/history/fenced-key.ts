import type { Key } from '../../../src/kv/index.ts'

/** The key that is written only by those who hold the lock, with its lease. */
export function fencedKey(lock: Key): Key {
  return `f${lock}` as Key
}
