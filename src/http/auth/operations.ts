import { Type } from 'typebox'
import {
  BootstrapBody,
  CreatedToken,
  NewToken,
  RoleBody,
  RolesAnswer,
  RoleView,
  SelfAnswer,
  TokenBody,
  TokensAnswer,
  TokenView,
} from '../../api/auth.ts'
import { ref } from '../../api/schema.ts'
import type { ErrorCode } from '../../lib/errors.ts'
import { leaderErrors, redirectAnswer } from '../protocol/leader-operation.ts'
import { AUTH_ADMIN, bodyErrors, jsonAnswer, type AnswerDoc, type Operation } from '../protocol/operation.ts'
import { leaderQuery, timeoutQuery } from '../protocol/queries.ts'

const rolePath = { name: Type.String({ description: 'The name of the role.' }) }
const tokenPath = { id: Type.Integer({ minimum: 1, description: 'The id of the token.' }) }

/** Errors of a request that changes roles or tokens. */
const writeErrors: readonly ErrorCode[] = [
  ...bodyErrors,
  'not-initialized',
  'feature-unavailable',
  'auth-not-begun',
  ...leaderErrors,
  'outcome-unknown',
]
const readErrors: readonly ErrorCode[] = ['auth-not-begun', 'not-initialized', ...leaderErrors, 'read-timeout']
const deleted: AnswerDoc = { description: 'Deleted.' }
const write = { access: AUTH_ADMIN, tag: 'auth', query: leaderQuery.spec } as const
const read = { access: AUTH_ADMIN, tag: 'auth', query: timeoutQuery.spec } as const

export const bootstrap: Operation = {
  id: 'bootstrapAuth',
  access: 'open',
  tag: 'auth',
  isAudited: true,
  summary: 'Make the first token',
  description:
    'Once in the life of a cluster: a role `admin` that may do everything, and a token that has it. From then on every request needs a token. ' +
    'It has to come from the machine of the leader, by a loopback address and through no proxy; or it carries the secret in the file that a ' +
    'node was started with (`--auth-bootstrap-file`). A client that gives the secret of the token itself (`tokenSecret`) can ask again when the ' +
    'answer was lost. A body with a secret goes to the node that is asked, and nowhere else: with it, `redirect=true` is a mistake (`400`).',
  query: leaderQuery.spec,
  sentAgain:
    'Sent again with the same `tokenSecret` and name, it has the same answer. Otherwise it makes nothing: `auth-begun-before`.',
  body: { schema: BootstrapBody, required: false },
  answers: {
    201: jsonAnswer(
      'The token. Its secret is not shown again, unless by the same request with that `tokenSecret`.',
      NewToken,
    ),
    307: redirectAnswer,
  },
  errors: [...writeErrors, 'auth-begun-before'],
}

export const getSelf: Operation = {
  id: 'getSelf',
  access: 'token',
  tag: 'auth',
  summary: 'What the token of this request is, and what it may do',
  query: timeoutQuery.spec,
  answers: { 200: jsonAnswer('As this node knows it.', SelfAnswer) },
  errors: [],
}

export const listRoles: Operation = {
  ...read,
  id: 'listRoles',
  summary: 'List the roles',
  answers: { 200: jsonAnswer('All roles, by their names.', RolesAnswer) },
  errors: readErrors,
}

export const getRole: Operation = {
  ...read,
  id: 'getRole',
  summary: 'A role',
  path: rolePath,
  answers: { 200: jsonAnswer('The role.', ref(RoleView)) },
  errors: [...readErrors, 'role-not-found'],
}

export const putRole: Operation = {
  ...write,
  id: 'putRole',
  summary: 'Make a role, or change it',
  description:
    'Whoever has it may do at once what it says now, and no more. A range or a transaction is allowed only if the grants cover every key that ' +
    'it touches.',
  path: rolePath,
  sentAgain: 'Sent again, it puts the same role there once more, also in place of one that was put there in between.',
  body: { schema: RoleBody, required: true },
  answers: {
    200: jsonAnswer('Changed.', ref(RoleView)),
    201: jsonAnswer('Made.', ref(RoleView)),
    307: redirectAnswer,
  },
  errors: [...writeErrors, 'invalid-key', 'last-admin', 'auth-full'],
}

export const deleteRole: Operation = {
  ...write,
  id: 'deleteRole',
  summary: 'Delete a role that no token has',
  path: rolePath,
  sentAgain: 'Sent again, it finds no such role: `role-not-found`.',
  answers: { 204: deleted, 307: redirectAnswer },
  errors: [...writeErrors, 'role-not-found', 'role-in-use'],
}

export const listTokens: Operation = {
  ...read,
  id: 'listTokens',
  summary: 'List the tokens',
  answers: {
    200: jsonAnswer('All tokens, the oldest first. Their secrets are known to their holders alone.', TokensAnswer),
  },
  errors: readErrors,
}

export const getToken: Operation = {
  ...read,
  id: 'getToken',
  summary: 'A token',
  path: tokenPath,
  answers: { 200: jsonAnswer('The token.', ref(TokenView)) },
  errors: [...readErrors, 'token-not-found'],
}

export const createToken: Operation = {
  ...write,
  id: 'createToken',
  summary: 'Make a token',
  description:
    'After an `outcome-unknown` the token may be there, and nobody has its secret: look for it in the list, and delete it.',
  sentAgain:
    'Sent again, it makes another token, since nobody has the secret of the first; with `certificateName`, `certificate-in-use` names the first.',
  body: { schema: TokenBody, required: true },
  answers: {
    201: jsonAnswer('The token. Its secret, which it has without `certificateName`, is not shown again.', CreatedToken),
    307: redirectAnswer,
  },
  errors: [...writeErrors, 'unknown-role', 'certificate-in-use', 'auth-full'],
}

export const deleteToken: Operation = {
  ...write,
  id: 'deleteToken',
  summary: 'Revoke a token',
  description:
    'When this is answered, no write and no linearizable read under the token takes effect any more, on no node; its watches end.',
  path: tokenPath,
  sentAgain: 'Sent again, it finds no such token: `token-not-found`. No other ever has its id.',
  answers: { 204: { description: 'Revoked.' }, 307: redirectAnswer },
  errors: [...writeErrors, 'token-not-found', 'last-admin'],
}
