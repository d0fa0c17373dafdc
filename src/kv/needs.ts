import type { Command, Compare, Condition, Operation, PutCommand } from './command.ts'
import type { Need } from './denial.ts'
import type { Access } from './grants.ts'
import type { Key } from './key.ts'
import type { KeyRange } from './records.ts'

const NOTHING: readonly Need[] = []
const ANY_WRITE: readonly Need[] = [{ access: 'write', any: true }]
const CLUSTER_ADMIN: readonly Need[] = [{ right: 'cluster:admin' }]
const AUTH_ADMIN: readonly Need[] = [{ right: 'auth:admin' }]

/** What a token must be allowed to do for `command` to be executed. Those of both branches of a transaction. */
export function needsOf(command: Command): readonly Need[] {
  switch (command.type) {
    case 'put':
      return [...needsOfWrite(command), ...grantedLeaseOf(command)]
    case 'delete':
      return needsOfWrite(command)
    case 'delete-range':
      return [withRange('write', command)]
    case 'transaction':
      return [...command.compares, ...command.success, ...command.failure].flatMap(needsOfPart)
    case 'raise-level':
    case 'auth-bootstrap':
      return NOTHING
    case 'compaction':
    case 'retention':
      return CLUSTER_ADMIN
    case 'lease-grant':
      return ANY_WRITE
    case 'lease-renew':
    case 'lease-revoke':
      return [...ANY_WRITE, { lease: command.id }]
    case 'lock-acquire':
      return [withKey('write', command.name)]
    case 'lock-release':
      return [withKey('write', command.name), { lease: command.lease }]
    case 'role-put':
    case 'role-delete':
    case 'token-create':
    case 'token-delete':
    case 'auth-reset':
      return AUTH_ADMIN
  }
}

function needsOfPart(part: Compare | Operation): readonly Need[] {
  if ('target' in part) return [withKey('read', part.key)]
  switch (part.type) {
    case 'get':
      return [withKey('read', part.key)]
    case 'list':
      return [withRange('read', part)]
    case 'delete-range':
      return [withRange('write', part)]
    case 'delete':
      return needsOfWrite(part)
    case 'put':
      return part.lease === undefined ? needsOfWrite(part) : [...needsOfWrite(part), { lease: part.lease }]
  }
}

interface Write {
  readonly key: Key
  readonly wantsPrevious: boolean
  /** Left out in a transaction, which compares instead. */
  readonly condition?: Condition | null
}

/** Whoever wants the record that was there before reads it; a condition on that record tells of it as well. */
function needsOfWrite({ key, wantsPrevious, condition = null }: Write): readonly Need[] {
  const write = withKey('write', key)
  return wantsPrevious || condition !== null ? [write, withKey('read', key)] : [write]
}

function grantedLeaseOf({ lease }: PutCommand): readonly Need[] {
  return lease?.type === 'granted' ? [{ lease: lease.id }] : NOTHING
}

function withKey(access: Access, key: Key): Need {
  return { access, key }
}

function withRange(access: Access, { start, end }: KeyRange): Need {
  return { access, range: { start, end } }
}
