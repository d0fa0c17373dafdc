import type { IncomingHttpHeaders } from 'node:http'
import { fingerprintOf, type Command, type CommandResult } from '../kv/index.ts'
import { RequestError } from '../lib/errors.ts'
import { idempotencyKey } from './preconditions.ts'

/** The command under the name that the client gave it, if it gave one. */
export function tagged(command: Command, headers: IncomingHttpHeaders): Command {
  const key = idempotencyKey(headers)
  return key === null ? command : { ...command, idempotency: { key, fingerprint: fingerprintOf(command) } }
}

/** The failure behind a result that changed nothing. */
export function refusalOf(result: Extract<CommandResult, { type: 'condition-failed' | 'key-reused' }>): RequestError {
  if (result.type === 'key-reused') {
    const detail =
      'the idempotency key was used for another request; a retry must repeat the request, a new request needs a new key'
    return new RequestError('idempotency-key-reused', detail)
  }
  const { currentRevision } = result
  const found = currentRevision === null ? 'the key is absent' : `the key is at revision ${currentRevision}`
  return new RequestError('precondition-failed', `${found}; nothing was changed`, { currentRevision })
}
