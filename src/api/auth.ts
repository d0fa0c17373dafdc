import { Type } from 'typebox'
import type { ClusterRight, Grant } from '../kv/index.ts'
import { limits } from '../limits.ts'
import { choice, nullable, object, ref, type Shape } from './schema.ts'

/* The shapes that `/auth` takes and gives. */

const CLUSTER_RIGHTS = ['cluster:read', 'cluster:admin', 'auth:admin'] as const satisfies readonly ClusterRight[]
const GRANT_ACCESS = ['read', 'write', 'read-write'] as const satisfies readonly Grant['access'][]

/** The name of a role or a token. */
const name = (description: string) =>
  Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}$', examples: ['deploy'], description })

const right = choice(
  CLUSTER_RIGHTS,
  '`cluster:read`: look at the cluster and its metrics; `cluster:admin`: change members, leadership and history, take backups; `auth:admin`: change roles and tokens, and so everything.',
)

const optionalText = (format: 'key' | 'key-prefix', description: string) =>
  Type.Optional(Type.String({ format, description }))

export const GrantView = object(
  {
    access: choice(GRANT_ACCESS, 'What may be done with the keys, and with locks of these names.'),
    key: optionalText('key', 'One key.'),
    prefix: optionalText('key-prefix', 'Every key that starts with this; the empty one: every key.'),
    start: optionalText('key', 'The first key of a range; left out: from the first.'),
    end: optionalText('key', 'The end of a range, which is not in it; left out: to the last.'),
  },
  {
    $id: 'Grant',
    description: 'Access to `key`, or to `prefix`, or to the range from `start` to `end`.',
    examples: [{ access: 'read-write', prefix: 'app/' }],
  },
)
export type GrantView = Shape<typeof GrantView>

const grants = Type.Array(ref(GrantView), { maxItems: limits.auth.grantsMax })
const rights = Type.Array(right, { maxItems: CLUSTER_RIGHTS.length, uniqueItems: true })

export const RoleBody = object({ grants: Type.Optional(grants), rights: Type.Optional(rights) })
export type RoleBody = Shape<typeof RoleBody>

export const RoleView = object({ name: name('The name.'), grants, rights }, { $id: 'Role' })
export type RoleView = Shape<typeof RoleView>

const revision = Type.Integer({ minimum: 1, description: 'The revision of the last change of roles or tokens.' })

export const RolesAnswer = object({
  roles: Type.Array(ref(RoleView), { maxItems: limits.auth.rolesMax }),
  revision,
})
export type RolesAnswer = Shape<typeof RolesAnswer>

const requestsPerSecond = Type.Integer({
  minimum: 1,
  maximum: limits.auth.perSecondMax,
  description: 'How many requests it may make to each node in a second.',
})
const bytesPerSecond = Type.Integer({
  minimum: 1,
  maximum: limits.auth.perSecondMax,
  description: 'How many bytes of bodies it may send to each node, and get from it, in a second.',
})
const certificateName = Type.String({
  pattern: '^[ -~]{1,64}$',
  examples: ['deploy'],
  description:
    'Its holder has no secret: a client certificate with this common name stands for it, on nodes with `--tls-client-ca`, in requests without `Authorization`.',
})
const roles = Type.Array(name('A role.'), { maxItems: limits.auth.rolesOfTokenMax, uniqueItems: true })

export const TokenBody = object({
  name: name('Who holds it. Tokens of one name are the same holder, and have its leases in common.'),
  roles,
  ttlMs: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.auth.ttlMsMax,
      description: 'When it ends, from now on. Without it, never.',
    }),
  ),
  requestsPerSecond: Type.Optional(requestsPerSecond),
  bytesPerSecond: Type.Optional(bytesPerSecond),
  certificateName: Type.Optional(certificateName),
})
export type TokenBody = Shape<typeof TokenBody>

const tokenMembers = {
  id: Type.Integer({ minimum: 1, description: 'The id. No two tokens ever have the same.' }),
  name: name('Who holds it.'),
  roles,
  expiresAt: nullable(Type.String({ description: 'RFC 3339, UTC.' }), 'When it ends; null: never.'),
  requestsPerSecond: nullable(requestsPerSecond),
  bytesPerSecond: nullable(bytesPerSecond),
  certificateName: nullable(
    certificateName,
    'The common name of the client certificates that stand for it; null: its holder has a secret.',
  ),
}

export const TokenView = object(tokenMembers, { $id: 'Token' })
export type TokenView = Shape<typeof TokenView>

const secret = Type.String({
  examples: ['quorate_...'],
  description:
    'What its holder sends as `Authorization: Bearer ...`. It is shown this once: only a hash of it is kept.',
})

export const NewToken = object({ ...tokenMembers, secret })
export type NewToken = Shape<typeof NewToken>

/** Without a secret when a certificate stands for the token. */
export const CreatedToken = object({ ...tokenMembers, secret: Type.Optional(secret) })
export type CreatedToken = Shape<typeof CreatedToken>

export const TokensAnswer = object({
  tokens: Type.Array(ref(TokenView), { maxItems: limits.auth.tokensMax }),
  revision,
})
export type TokensAnswer = Shape<typeof TokensAnswer>

export const BootstrapBody = object({
  name: Type.Optional(name('Of the token. Default: `admin`.')),
  secret: Type.Optional(
    Type.String({
      maxLength: limits.auth.bootstrapSecretBytesMax,
      description: 'What is in the file of `--auth-bootstrap-file`.',
    }),
  ),
  tokenSecret: Type.Optional(
    Type.String({
      format: 'token-secret',
      examples: ['quorate_...'],
      description:
        'The secret that the token is to have: `quorate_` and 32 random bytes in base64url, 43 characters. The same request then has the same answer when it is sent again. Without it, the node draws one.',
    }),
  ),
})
export type BootstrapBody = Shape<typeof BootstrapBody>

export const SelfAnswer = object({
  enabled: Type.Boolean({ description: 'Whether there are tokens. If not, everybody may do everything.' }),
  token: nullable(ref(TokenView), 'The token of this request; null: it has none, or none is needed.'),
  grants: Type.Array(ref(GrantView), { description: 'Those of all its roles.' }),
  rights,
})
export type SelfAnswer = Shape<typeof SelfAnswer>
