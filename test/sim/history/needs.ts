import type { Request } from '../../../src/checker/operation.ts'
import type { Operation } from './operation.ts'
import { neededBy } from '../../kv/support/auth-model.ts'
import type { Key, Need } from '../../../src/kv/index.ts'
import type { KeyRange } from '../../../src/kv/records.ts'

/** What a read takes. */
export function neededToRead(request: Exclude<Request, { type: 'write' }>): Need {
  return neededFor(request.type === 'get' ? request.key : { start: request.start, end: request.end })
}

/** What it takes to be told of `keys`. */
export function neededFor(keys: Key | KeyRange): Need {
  return typeof keys === 'string' ? { access: 'read', key: keys } : { access: 'read', range: keys }
}

/** What a client must be allowed to do for `operation`. */
export function neededForAll({ request, needs }: Pick<Operation, 'request' | 'needs'>): readonly Need[] {
  return needs ?? (request.type === 'write' ? neededBy(request.command) : [neededToRead(request)])
}
