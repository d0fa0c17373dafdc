/* What failures of TLS mean, in words. The codes are those of Node and OpenSSL. */

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

/**
 * What the other side says, or lets see, when it does not go on: words that follow "the other side". Null: the code is no failure of TLS.
 * OpenSSL has several names for one alert, so the end of the code counts.
 */
export function handshakeFault(code: string): string | null {
  if (/ALERT_UNKNOWN_CA$/.test(code)) return 'does not trust the CA of the certificate that it was shown'
  if (/ALERT_CERTIFICATE_EXPIRED$/.test(code)) return 'says that the certificate that it was shown has expired'
  if (/ALERT_(BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED)$/.test(code))
    return 'does not accept the certificate that it was shown'
  if (/ALERT_CERTIFICATE_REQUIRED$/.test(code)) return 'demands a certificate, and was shown none'
  if (/(ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW)$/.test(code))
    return 'speaks no version of TLS from 1.2 on'
  if (/(WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE)$/.test(code))
    return 'does not speak TLS'
  if (/(NO_SHARED_CIPHER|ALERT_HANDSHAKE_FAILURE)$/.test(code)) return 'shares no cipher with this one'
  return code.startsWith('ERR_SSL_') ? `broke off the TLS handshake (${code})` : null
}
