import type { NodeOptions } from '../../../src/node/options.ts'
import type { PeerMessage } from '../../../src/ports/transport.ts'
import { TestCluster, type Harness } from './cluster.ts'

/** A cluster of the nodes `ids`, all of them voters, with its leader. */
export async function formed(t: Harness, ids: readonly number[] = [1, 2, 3], options: Partial<NodeOptions> = {}) {
  const c = new TestCluster(t, ids, options)
  const leader = await c.form()
  return { c, leader, followers: ids.filter((id) => id !== leader) }
}

/** Loses every message for which `drops` is true, until `passAll`. */
export function drop(c: TestCluster, drops: (message: PeerMessage) => boolean): void {
  c.interference.intercept = (message) => (drops(message) ? [] : [message])
}

export function passAll(c: TestCluster): void {
  c.interference.intercept = (message) => [message]
}
