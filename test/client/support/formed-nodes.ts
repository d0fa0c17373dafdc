import type { Test } from 'tap'
import { QuorateClient } from '../../../src/client/index.ts'
import type { Server } from '../../../src/server.ts'
import { startTestNode } from '../../support/test-node.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

/** Three nodes in this process that are a cluster, and the origins of their API. */
export async function formedNodes(
  t: Test,
): Promise<{ readonly origins: readonly string[]; readonly nodes: readonly Server[] }> {
  const nodes = await Promise.all([1, 2, 3].map(async (id) => await startTestNode(t, id, await temporaryDirectory(t))))
  const members = nodes.map(({ addresses: { raft, api } }, at) => ({ id: at + 1, raft, api }))
  const origins = members.map(({ api }) => api)
  const client = new QuorateClient({ servers: origins })
  t.teardown(() => client.close())
  await client.cluster.initialize(members, 'committed', { timeoutMs: 30_000 })
  return { origins, nodes }
}
