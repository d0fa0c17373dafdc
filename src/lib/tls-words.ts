/* What failures of TLS mean, in words. The codes are those of Node and OpenSSL. */

/** The other side has answered in clear. */
export const NO_TLS = 'does not speak TLS'

/** What is wrong with a certificate, by the code of its verification: words that follow "its certificate". Null: the code is about something else. */
export function certificateFault(code: string): string | null {
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return 'has expired'
    case 'CERT_NOT_YET_VALID':
      return 'is not valid yet (compare the clocks of both machines)'
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
    case 'HOSTNAME_MISMATCH':
      return 'is for other names'
    case 'INVALID_PURPOSE':
      return 'is not for this use (its extended key usage)'
    case 'INVALID_CA':
      return 'was issued by a certificate that is not one of a CA'
    case 'CERT_SIGNATURE_FAILURE':
    case 'CERT_UNTRUSTED':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return 'was not issued by a CA that is trusted here'
    default:
      return null
  }
}

/** The part of an error that tells what became of a handshake. */
interface Failure {
  readonly code?: string | undefined
  readonly message: string
}

/**
 * What the other side says, or lets see, when it does not go on: words that follow "the other side". Null: it is no failure of TLS.
 * OpenSSL has several names for one alert, and some errors carry it in their message alone.
 */
export function handshakeFault({ code = '', message }: Failure): string | null {
  if (code !== 'EPROTO' && !code.startsWith('ERR_SSL_')) return null
  const said = `${code} ${message}`.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_')
  return faults.find(([pattern]) => pattern.test(said))?.[1] ?? `broke off the TLS handshake (${code})`
}

const faults: readonly (readonly [RegExp, string])[] = [
  [/ALERT_UNKNOWN_CA/, 'does not trust the CA of the certificate that it was shown'],
  [/ALERT_CERTIFICATE_EXPIRED/, 'says that the certificate that it was shown has expired'],
  [/ALERT_CERTIFICATE_REQUIRED/, 'demands a certificate, and was shown none'],
  [
    /ALERT_(BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED)/,
    'does not accept the certificate that it was shown',
  ],
  [/ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW/, 'speaks no version of TLS from 1.2 on'],
  [/WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG/, NO_TLS],
  [/NO_SHARED_CIPHER|ALERT_HANDSHAKE_FAILURE/, 'shares no cipher with this one'],
]
