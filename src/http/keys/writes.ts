import { hash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { KeyValueAccess } from '../../api/services.ts'
import {
  askedBytes,
  Digest,
  stepName,
  type Command,
  type CommandResult,
  type IdempotencyTag,
  type NameableCommand,
} from '../../kv/index.ts'
import { failures, RequestError, sameUnderKey } from '../../lib/errors.ts'
import type { Access } from '../protocol/access.ts'
import { idempotencyKey } from '../protocol/preconditions.ts'

type Refusal = Extract<
  CommandResult,
  {
    type:
      | 'condition-failed'
      | 'key-reused'
      | 'range-too-large'
      | 'range-too-heavy'
      | 'lease-not-found'
      | 'too-many-leases'
      | 'too-many-attached-keys'
  }
>

/** What a command has of the request that asks for it. */
export interface Asker extends Pick<FastifyRequest, 'headers'> {
  readonly access: Pick<Access, 'token'>
}

/** As many hexadecimal digits as a safe integer holds. */
const FINGERPRINT_DIGITS = 13
/** From this level on every member makes fingerprints by SHA-256. */
const SHA_LEVEL = 1

type Cluster = Pick<KeyValueAccess, 'level'>

/** The command under the client's token, and with its idempotency key, if the client gave one. */
export function tagged<Kind extends NameableCommand>(command: Kind, asker: Asker, cluster: Cluster): Kind {
  return taggedStep(command, asker, cluster, 0)
}

/** The same for step `step` of a request that takes several entries. A retry gets the recorded answers of the steps that were done. */
export function taggedStep<Kind extends NameableCommand>(
  command: Kind,
  { headers, access }: Asker,
  cluster: Cluster,
  step: number,
): Kind {
  const key = idempotencyKey(headers)
  const { token } = access
  const named = key === null ? command : { ...command, idempotency: tagOf(stepName(key, step), command, cluster.level) }
  // In this order, as in `decodeCommand`.
  return token === null ? named : { token: token.id, ...named }
}

function tagOf(key: string, command: NameableCommand, level: number): IdempotencyTag {
  const otherFingerprint = (): number => fingerprintOf(command, level < SHA_LEVEL ? SHA_LEVEL : 0)
  return { key, fingerprint: fingerprintOf(command, level), otherFingerprint }
}

/**
 * A hash of what `command` asks for: 52 bits of its SHA-256, so that nobody finds a request with the fingerprint of another one's. Two requests
 * of one's own with the same fingerprint can be found, but only at one's own cost: what is answered to the second is an answer of its kind, or
 * that the key was used before.
 *
 * While the cluster has level 0, some of its members may be of a build that hashes otherwise. A client that the upgrade of one node cuts off
 * repeats its request at another one, and the two have to see one request: so it is that hash, for which equal pairs are found in no time. A
 * node that starts sees the level of long ago until it has caught up. So the answer to a retry may stand under the hash of the other level.
 */
export function fingerprintOf(command: NameableCommand, level: number): number {
  if (level < SHA_LEVEL) {
    const digest = new Digest(0)
    digest.absorbBytes(askedBytes(command))
    return digest.value
  }
  return Number.parseInt(hash('sha256', askedBytes(command), 'hex').slice(0, FINGERPRINT_DIGITS), 16)
}

/**
 * The refusal of `command` by the log. Under an idempotency key it is the first answer, which every retry gets: also when the request, under
 * another key, would succeed by then.
 */
export function refusalFor({ idempotency }: Command, error: RequestError): RequestError {
  if (idempotency === null || !failures[error.code].retryable) return error
  return new RequestError(
    error.code,
    error.message + sameUnderKey,
    { ...error.facts, retryable: false },
    error.reflects,
  )
}

/** The failure behind a result that changed nothing. */
export function refusalOf(result: Refusal): RequestError {
  switch (result.type) {
    case 'key-reused': {
      const detail =
        'the idempotency key was used for another request; a retry must repeat the request, a new request needs a new key'
      return new RequestError('idempotency-key-reused', detail)
    }
    case 'range-too-large': {
      const { limit, found } = result
      const detail =
        `the range holds at least ${found} keys, and one change deletes at most ${limit}; nothing was deleted: ` +
        'name smaller ranges, or delete in several changes with chunked=true'
      return new RequestError('range-too-large', detail, { limit, found })
    }
    case 'range-too-heavy': {
      const { limitBytes } = result
      const detail =
        `the records of the range have more than ${limitBytes / 1024 ** 2} MiB together, and one change deletes no more; nothing was deleted: ` +
        'name smaller ranges, or delete in several changes with chunked=true'
      return new RequestError('range-too-large', detail, { limitBytes })
    }
    case 'lease-not-found': {
      const { lease } = result
      const detail =
        `no lease ${lease} takes keys: it has ended or is ending, never was, waits for a lock, or belongs to a single key; ` +
        'nothing was changed'
      return new RequestError('lease-not-found', detail, { lease })
    }
    case 'too-many-leases': {
      const { limit } = result
      const detail = `the cluster has ${limit} leases, and no more are possible; nothing was changed: end some, or wait until some end`
      return new RequestError('too-many-leases', detail, { limit })
    }
    case 'too-many-attached-keys': {
      const { limit } = result
      const detail = `${limit} keys belong to leases, and no more are possible; nothing was changed: end some leases, or delete keys of theirs`
      return new RequestError('too-many-attached-keys', detail, { limit })
    }
    case 'condition-failed': {
      const { currentRevision } = result
      const found = currentRevision === null ? 'the key is absent' : `the key is at revision ${currentRevision}`
      return new RequestError('precondition-failed', `${found}; nothing was changed`, { currentRevision })
    }
  }
}
