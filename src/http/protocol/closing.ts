import type { FastifyInstance } from 'fastify'

/** How often connections that have fallen idle are closed while the front closes. */
const IDLE_CHECK_MS = 50

/**
 * Stops listening, lets requests that are under way finish, and cuts off what is left after `graceMs`. Node closes the
 * connections that are idle when closing starts; those that fall idle later would hold the close up until they time out.
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
