import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import { parseHostPort } from '../../../src/lib/host-port.ts'

/** PEM. */
export interface CallerTls {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

async function call(address: string, tls: CallerTls): Promise<TLSSocket> {
  const { host = '', port = 0 } = parseHostPort(address) ?? {}
  const socket = connect({ host, port, ...tls })
  await once(socket, 'secureConnect')
  return socket
}

/** The common name in the certificate that is shown at `address` (`HOST:PORT`). Rejects when `tls.ca` has not issued it. */
export async function nameShownAt(address: string, tls: CallerTls): Promise<string> {
  const socket = await call(address, tls)
  const { CN } = socket.getPeerCertificate().subject
  socket.destroy()
  return String(CN)
}

/** What a caller that says nothing is told at `address` before the connection ends. */
export async function answerAt(address: string, tls: CallerTls): Promise<string> {
  const socket = await call(address, tls)
  let said = ''
  socket.on('data', (chunk) => (said += String(chunk)))
  const closed = once(socket, 'close')
  await once(socket, 'end')
  socket.end()
  await closed
  return said
}
