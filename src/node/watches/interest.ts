import type { WatchOptions } from '../../api/services.ts'
import type { Change, Key } from '../../kv/index.ts'

/** Which changes a watcher wants to see. */
export type Interest = Pick<WatchOptions, 'keys' | 'puts' | 'deletes' | 'wantsPrevious'>

export function wantsKind({ puts, deletes }: Interest, kind: Change['kind']): boolean {
  return kind === 'put' ? puts : deletes
}

export function wants(interest: Interest, { kind, key }: Pick<Change, 'kind' | 'key'>): boolean {
  return wantsKind(interest, kind) && holds(interest.keys, key)
}

function holds(keys: Interest['keys'], key: Key): boolean {
  if (typeof keys === 'string') return keys === key
  return (keys.start === null || keys.start <= key) && (keys.end === null || key < keys.end)
}
