import { isDeepStrictEqual } from 'node:util'
import type { KeyRecord } from '../../../src/kv/index.ts'
import type { ReferenceModel } from '../../kv/support/reference-model.ts'
import { describeRecord, type Answer, type Request } from '../../../src/checker/operation.ts'
import { isAlike } from './plain.ts'

type ReadAnswer = Extract<Answer, { type: 'get' | 'scan' }>

/** How a read differs from what there is in `model` at the revision that the answer claims; null when it does not. */
export function readFault(model: ReferenceModel, request: Request, answer: ReadAnswer): string | null {
  const { revision } = answer
  if (request.type === 'get' && answer.type === 'get')
    return recordFault(model.recordAt(request.key, revision), answer.record)
  if (request.type !== 'scan' || answer.type !== 'scan') return 'is answered in another kind'
  const keys = model.keysAt(request.start, request.end, revision)
  if (request.reverse) keys.reverse()
  const seen = answer.items.map(({ key }) => key)
  if (!isDeepStrictEqual(keys, seen)) return `is no cut at revision ${revision}: there are [${keys.join(' ')}]`
  for (const { key, record } of answer.items) {
    const fault = recordFault(model.recordAt(key, revision), record)
    if (fault !== null) return fault
  }
  return null
}

function recordFault(expected: KeyRecord | null, seen: KeyRecord | null): string | null {
  if (isAlike(expected, seen)) return null
  return `does not show what there is at that revision: ${describeRecord(expected)}, not ${describeRecord(seen)}`
}
