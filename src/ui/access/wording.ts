import type { GrantView, RoleView, TokenView } from '../../client/api-types.ts'
import { quoted } from '../data/key-text.tsx'
import { bytes, count, list } from '../lib/format.ts'

/** What a grant allows: `read-write keys that begin with “app/”`. */
export function grantText({ access, key, prefix, start, end }: GrantView): string {
  if (key !== undefined) return `${access} the key ${quoted(key)}`
  if (prefix !== undefined)
    return prefix === '' ? `${access} every key` : `${access} keys that begin with ${quoted(prefix)}`
  const from = start === undefined ? 'from the first' : `from ${quoted(start)}`
  return `${access} keys ${from} ${end === undefined ? 'to the last' : `up to ${quoted(end)}`}`
}

/** When a token ends. `now`: by the clock of a node, which decides it. */
export function endText({ expiresAt }: Pick<TokenView, 'expiresAt'>, now: number): string {
  if (expiresAt === null) return 'never'
  const day = expiresAt.slice(0, 16).replace('T', ' ')
  return Date.parse(expiresAt) <= now ? `${day} UTC, over` : `${day} UTC`
}

/** What else there is to know of a token; empty: nothing. */
export function restText({ certificateName, requestsPerSecond, bytesPerSecond }: TokenView): string {
  const words: string[] = []
  if (certificateName !== null) words.push(`certificates named ${quoted(certificateName)} stand for it`)
  if (requestsPerSecond !== null) words.push(`at most ${count(requestsPerSecond)} requests per second and node`)
  if (bytesPerSecond !== null) words.push(`at most ${bytes(bytesPerSecond)} per second and node`)
  return words.join('; ')
}

/** What happens when `token` is revoked, and why one may not want it. */
export function effectsOfRevoking(
  { id, name, certificateName }: TokenView,
  { roles, others, isOwn }: { readonly roles: readonly RoleView[]; readonly others: number; readonly isOwn: boolean },
): { readonly effects: readonly string[]; readonly warnings: readonly string[] } {
  const what = certificateName === null ? 'its secret' : `certificates named ${quoted(certificateName)}`
  const effects = [
    `Token ${id} of ${name} ends now, on every node: requests with ${what} are refused, and its watches, exports and backups break off.`,
    others === 0
      ? `${name} has no other token. Its leases and locks end when nobody keeps them alive.`
      : `${name} has ${others === 1 ? 'another token' : `${count(others)} other tokens`}, and keeps its leases and locks through ${others === 1 ? 'it' : 'them'}.`,
  ]
  const admin = roles.filter(({ rights }) => rights.includes('auth:admin')).map((role) => role.name)
  const warnings = [
    ...(isOwn ? ['It is the token of this page: you will be asked for another one.'] : []),
    ...(admin.length > 0 ? [`Its ${admin.length === 1 ? 'role' : 'roles'} ${list(admin)} may change tokens.`] : []),
    'It cannot be taken back: its holder needs a new token.',
  ]
  return { effects, warnings }
}
