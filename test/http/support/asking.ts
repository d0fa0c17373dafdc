import type { Test } from 'tap'
import { openCheckedApi, type CheckedApi, type CheckedApiOptions } from '../../support/checked-api.ts'

export type Json = Record<string, unknown>

/** The form of a secret. */
export const SECRET = /^quorate_[A-Za-z0-9_-]{43}$/

/** The API of a node, and those who ask it. */
export class Asking {
  readonly api: CheckedApi
  admin = ''

  constructor(api: CheckedApi) {
    this.api = api
  }

  async ask(
    secret: string | null,
    method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    body?: unknown,
    given: Readonly<Record<string, string>> = {},
  ) {
    const isText = typeof body === 'string'
    const response = await this.api.inject({
      method,
      url,
      ...(body === undefined ? {} : { payload: isText ? body : JSON.stringify(body) }),
      headers: {
        ...(body === undefined || isText ? {} : { 'content-type': 'application/json' }),
        ...(secret === null ? {} : { authorization: `Bearer ${secret}` }),
        ...given,
      },
    })
    const { statusCode: status, headers, body: text } = response
    return { status, headers, text, body: text.startsWith('{') ? response.json<Json>() : {} }
  }

  async bootstrap(body?: object): Promise<Json> {
    const made = await this.ask(null, 'POST', '/auth/bootstrap', body)
    this.admin = String(made.body['secret'])
    return made.body
  }

  /** Makes a role and a token of the same name; returns its secret and its id. */
  async admit(
    name: string,
    role: object,
    more: object = {},
  ): Promise<{ readonly secret: string; readonly id: number }> {
    await this.ask(this.admin, 'PUT', `/auth/roles/${name}`, role)
    const made = await this.ask(this.admin, 'POST', '/auth/tokens', { name, roles: [name], ...more })
    return { secret: String(made.body['secret']), id: Number(made.body['id']) }
  }
}

export async function open(t: Test, options: CheckedApiOptions = {}): Promise<Asking> {
  return new Asking(await openCheckedApi(t, options))
}

/** A node that has its first token. */
export async function secured(t: Test, options: CheckedApiOptions = {}): Promise<Asking> {
  const asking = await open(t, options)
  await asking.bootstrap()
  return asking
}

export const grants = (...given: readonly [access: string, prefix: string][]) => ({
  grants: given.map(([access, prefix]) => ({ access, prefix })),
})
