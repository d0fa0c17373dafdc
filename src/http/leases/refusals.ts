import { keyToText, type CommandResult, type Key, type LockHolder } from '../../kv/index.ts'
import { RequestError } from '../../lib/errors.ts'

type Result<Type extends CommandResult['type']> = Extract<CommandResult, { type: Type }>

export function leaseExists({ lease }: Result<'lease-exists'>): RequestError {
  return new RequestError('lease-exists', `lease ${lease} is in use; choose another id, or none`, { lease })
}

export function leaseNotFound(lease: number): RequestError {
  return new RequestError('lease-not-found', `there is no lease ${lease}: it has ended, or never was`, { lease })
}

/** It may be there all the same. */
export function leaseNotKept(lease: number): RequestError {
  const detail = `there is no lease ${lease} to keep alive: it has ended or is ending, never was, or waits for a lock`
  return new RequestError('lease-not-found', detail, { lease })
}

export function lockHeld(name: Key, holder: LockHolder | null): RequestError {
  const who = holder === null ? 'it was held until the wait ended' : `it is held by ${described(holder)}`
  return new RequestError('lock-held', `the lock ${JSON.stringify(keyToText(name))} was not acquired: ${who}`, {
    holder,
  })
}

export function lockWaitEnded(name: Key, lease: number): RequestError {
  const detail =
    `lease ${lease}, which this request had for the lock ${JSON.stringify(keyToText(name))}, has ended: ` +
    'nothing is held or waits under it; ask again, and if the request had an Idempotency-Key, with another one'
  return new RequestError('lock-wait-ended', detail, { lease })
}

export function lockNotHeld(name: Key, lease: number, { holder }: Result<'lock-not-held'>): RequestError {
  const who = holder === null ? 'nobody holds it' : `it is held by ${described(holder)}`
  const detail = `lease ${lease} does not hold the lock ${JSON.stringify(keyToText(name))}; ${who}`
  return new RequestError('lock-not-held', detail, { holder })
}

function described({ lease, token, owner }: LockHolder): string {
  const name = owner === '' ? '' : `${JSON.stringify(owner)}, `
  return `${name}lease ${lease}, with token ${token}`
}
