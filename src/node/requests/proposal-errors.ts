import { RequestError } from '../../lib/errors.ts'

/** One for all: it is given while there is more to do than can be done, and a stack of each would cost more than the rest of a refusal. */
export const TOO_MANY = new RequestError(
  'overloaded',
  'too many writes are waiting for their outcome; nothing was proposed, try again later',
)

export function noLeader(): RequestError {
  return new RequestError('no-leader', 'no leader accepted the write in time; it has not taken effect, try again')
}

export function notHere(): RequestError {
  return new RequestError(
    'no-leader',
    'this node does not lead any more, and only the leader itself may do this; nothing was changed, ask the leader',
  )
}

export function outcomeUnknown(): RequestError {
  return new RequestError(
    'outcome-unknown',
    'the write was proposed, but its outcome was not known in time; it may take effect: look before you repeat it, unless it has an Idempotency-Key',
  )
}
