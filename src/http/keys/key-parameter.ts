import type { Key } from '../../kv/index.ts'
import { requireKey } from '../protocol/parameters.ts'
import { invalidQuery, type RawQuery } from '../protocol/query.ts'

/** The text of `?key=`, null when absent, and the other parameters. */
export function takeKey(values: RawQuery): [string | null, RawQuery] {
  const name = values.get('key')
  if (name === undefined) return [null, values]
  const rest = new Map(values)
  rest.delete('key')
  return [name, rest]
}

/** The key of an operation on `/kv` that exists only for a single key. */
export function requireKeyParameter(name: string | null): Key {
  if (name === null) throw invalidQuery('key', 'is missing: give the key here or in the path, as in /kv/name')
  return requireKey(name)
}
