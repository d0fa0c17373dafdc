import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ClusterControl } from '../../api/services.ts'

/**
 * Answers an operation that needs the leader with `307` and the leader's address. Returns false, and sends nothing, when this
 * node leads or knows no leader. The request then takes its usual path, which waits for a leader.
 */
export function redirectToLeader(cluster: ClusterControl, request: FastifyRequest, reply: FastifyReply): boolean {
  const leader = cluster.leader()
  if (leader === null || leader.id === cluster.id) return false
  // Only the path comes from the client. The origin is an address from the membership.
  const target = request.url.startsWith('/') ? request.url : '/'
  void reply
    .code(307)
    .header('location', leader.api + target)
    .header('quorate-leader', leader.id)
    .send()
  return true
}
