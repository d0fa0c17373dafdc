import type { FastifyInstance } from 'fastify'

/** While the front closes, connections that have become idle are closed at this interval. */
const IDLE_CHECK_MS = 50

/**
 * Stops listening, lets running requests finish, and cuts off the rest after `graceMs`. Node closes only the connections that
 * are idle when closing starts; those that become idle later would delay the close until they time out.
 */
export async function closeGracefully(app: FastifyInstance, graceMs: number): Promise<void> {
  const idle = setInterval(() => app.server.closeIdleConnections(), IDLE_CHECK_MS)
  const cut = setTimeout(() => app.server.closeAllConnections(), graceMs)
  try {
    await app.close()
  } finally {
    clearInterval(idle)
    clearTimeout(cut)
  }
}
