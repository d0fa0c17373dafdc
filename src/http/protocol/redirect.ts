import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ClusterControl } from '../../api/services.ts'

/**
 * Answers `307` with the leader's address for what needs the leader. False, and nothing is sent, when this node leads or
 * knows no leader: then the request takes its usual way, which waits for one.
 */
export function redirectToLeader(cluster: ClusterControl, request: FastifyRequest, reply: FastifyReply): boolean {
  const leader = cluster.leader()
  if (leader === null || leader.id === cluster.id) return false
  // Only the path is the client's: the origin is an address that the membership holds.
  const target = request.url.startsWith('/') ? request.url : '/'
  void reply
    .code(307)
    .header('location', leader.api + target)
    .header('quorate-leader', leader.id)
    .send()
  return true
}
