// The container's health check: exits 0 when the node's API answers GET /livez with 200. node:http starts faster than
// fetch. Liveness, not readiness: a node that has lost its quorum must not be restarted for it.
import { get } from 'node:http'

const [host, port] = splitAddress(process.env['QUORATE_API'] ?? '127.0.0.1:7001')

/** `host:port` or `[host]:port`; a node that listens everywhere is asked on the loopback. */
function splitAddress(address) {
  const colon = address.lastIndexOf(':')
  const name = address.slice(0, colon).replace(/^\[|\]$/g, '')
  return [name === '' || name === '0.0.0.0' || name === '::' ? '127.0.0.1' : name, Number(address.slice(colon + 1))]
}

const request = get({ host, port, path: '/livez', timeout: 2_000 }, (answer) => {
  answer.resume()
  process.exitCode = answer.statusCode === 200 ? 0 : 1
})
request.on('timeout', () => request.destroy(new Error('timeout')))
request.on('error', () => {
  process.exitCode = 1
})
