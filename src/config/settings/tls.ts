import type { Setting, SettingsOf } from '../setting.ts'
import { path } from '../values.ts'

/** Paths of PEM files. Null: without TLS, or without demanding certificates of clients. */
export interface TlsConfig {
  readonly tlsCert: string | null
  readonly tlsKey: string | null
  readonly tlsClientCa: string | null
  readonly peerTlsCert: string | null
  readonly peerTlsKey: string | null
  readonly peerTlsCa: string | null
}

function file(flag: string, summary: string): Setting<string | null> {
  const allowed = 'the path of a PEM file'
  return { flag, placeholder: 'FILE', summary, allowed, initial: null, required: false, parse: path }
}

export const tlsSettings: SettingsOf<TlsConfig> = {
  tlsCert: file('tls-cert', 'the API speaks https with this certificate, followed by those between it and its CA'),
  tlsKey: file('tls-key', 'the private key of --tls-cert, not encrypted'),
  tlsClientCa: file('tls-client-ca', 'clients of the API have to show a certificate of one of these CAs'),
  peerTlsCert: file('peer-tls-cert', 'peers speak TLS, and this node shows this certificate, as server and as client'),
  peerTlsKey: file('peer-tls-key', 'the private key of --peer-tls-cert, not encrypted'),
  peerTlsCa: file('peer-tls-ca', 'peers have to show a certificate of one of these CAs'),
}
