import { constants } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { certificateFault } from '../lib/tls-words.ts'
import { subjectOf } from './identity.ts'

/**
 * For servers that demand a certificate: without tickets, no session is taken up again. A session that was begun without a certificate
 * would count as authorized when it is taken up, and one whose CA has been taken away would go on counting.
 */
export const NO_SESSIONS = constants.SSL_OP_NO_TICKET

/** Why the caller has not proven who it is; null: it has. `subject` is null when it has shown no certificate. */
export function missingProof(secured: TLSSocket): { readonly subject: string | null; readonly fault: string } | null {
  const certificate = secured.getPeerX509Certificate()
  // Looked at first, whatever `authorized` says: see above.
  if (certificate === undefined) return { subject: null, fault: 'is missing' }
  if (secured.authorized) return null
  // Node has the code of the verification here, where its types have an error.
  const code = String(secured.authorizationError)
  return { subject: subjectOf(certificate), fault: certificateFault(code) ?? `is refused (${code})` }
}
