import type { WarningView } from '../../api/warnings.ts'
import { dropOldest } from '../../lib/drop-oldest.ts'
import { limits } from '../../limits.ts'
import type { Refusal } from '../../ports/transport.ts'
import type { NodeAddresses, NodeId } from '../../raft/index.ts'
import type { Logger } from '../options.ts'

/** Shown by `GET /cluster`, and logged when it comes up. */
export type Warning = WarningView

/** The warnings at present, each identified by its code and by the node it is about. */
export class Warnings {
  private readonly current = new Map<string, Warning>()
  private readonly logger: Logger

  constructor(logger: Logger) {
    this.logger = logger
  }

  get all(): readonly Warning[] {
    // Several peers may say the same.
    return [...new Map([...this.current.values()].map((warning) => [warning.detail, warning])).values()]
  }

  /** The text of a warning whose subject begins with `about`, or null. */
  detailOf(code: Warning['code'], about: string): string | null {
    for (const [name, { detail }] of this.current) if (name.startsWith(`${code} ${about}`)) return detail
    return null
  }

  raise(code: Warning['code'], about: string, detail: string): void {
    const name = `${code} ${about}`
    if (this.current.get(name)?.detail === detail) return
    const isNews = this.all.every((warning) => warning.detail !== detail)
    this.current.set(name, { code, detail })
    dropOldest(this.current, limits.warningsMax)
    if (isNews) this.logger.warn({ code, detail }, 'warning')
  }

  /** What a peer says about this node. */
  onRefusedBy(peer: NodeId, { code, detail }: Refusal): void {
    if (code === 'wrong-incarnation') this.raise('wiped-voter', `self-${peer}`, `node ${peer}: ${detail}`)
    if (code === 'same-id') this.raise(code, `self-${peer}`, `this node is not heard: ${detail}`)
    if (code === 'wrong-cluster') this.raise('foreign-cluster', `self-${peer}`, `node ${peer}: ${detail}`)
  }

  clear(code: Warning['code'], about: string): void {
    this.current.delete(`${code} ${about}`)
  }

  /** Node `id` is the one it should be, or no longer concerns anybody. */
  clearOf(id: NodeId): void {
    this.clearAll(String(id))
  }

  /** Node `id` takes this node for the one it should be, or its word no longer counts. */
  clearBy(id: NodeId): void {
    this.clearAll(`self-${id}`)
  }

  private clearAll(about: string): void {
    for (const code of ['wiped-voter', 'foreign-cluster', 'wrong-node', 'same-id'] as const) this.clear(code, about)
  }
}

/** The text about a member that announces `said` while the membership lists `listed`. */
export function wrongAddress(id: NodeId, listed: NodeAddresses, said: NodeAddresses): string {
  return (
    `node ${id} says that it is at ${said.raft} and ${said.api}, but the membership lists ${listed.raft} and ${listed.api}: ` +
    `run \`quorate cluster set-addresses ${id} --raft ${said.raft} --api ${said.api}\`, or start the node with the listed addresses`
  )
}

/** The text for when this node was started with another token than the one its cluster was formed with. */
export function wrongToken(clusterId: string): string {
  return (
    `cluster ${clusterId} was formed with another --cluster-token than this node has now. This node stays in it, but new nodes with this ` +
    'token will not find it. Start this node with the token that the others have'
  )
}
