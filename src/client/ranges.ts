import { textFrom } from './arguments.ts'
import type { ReadOptions } from './options.ts'
import type { Query } from './servers.ts'

/** Every key that starts with a prefix; or those from `start` on and before `end`; without both, every key. Ordered by their bytes. */
export type Range =
  { readonly prefix: string } | { readonly start?: string | undefined; readonly end?: string | undefined }

/** A range, or one key. */
export type KeyOrRange = { readonly key: string } | Range

/**
 * The bounds as the API names them.
 *
 * @internal
 */
export function boundsOf(range: KeyOrRange): { key?: string; prefix?: string; start?: string; end?: string } {
  const bounds = Object.entries(range).flatMap(([name, text]) =>
    text === undefined || (name === 'prefix' && text === '') ? [] : [[name, textFrom(name, text)]],
  )
  return Object.fromEntries(bounds) as { key?: string; prefix?: string; start?: string; end?: string }
}

/**
 * Whether the range has bounds at all.
 *
 * @internal
 */
export function isBounded(range: Range): boolean {
  return Object.keys(boundsOf(range)).length > 0
}

/** @internal */
export function readQuery({ consistency, minRevision, maxStalenessMs, revision }: ReadOptions): Query {
  return {
    consistency,
    minRevision: minRevision === undefined ? undefined : String(minRevision),
    maxStaleness: maxStalenessMs === undefined ? undefined : `${maxStalenessMs}ms`,
    revision: revision === undefined ? undefined : String(revision),
  }
}
