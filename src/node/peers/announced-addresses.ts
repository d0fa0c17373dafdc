import type { NodeAddresses, NodeId } from '../../raft/index.ts'
import { type Warnings, wrongAddress } from './warnings.ts'

/** The node that answers at an address, by what it says about itself. */
export interface Found {
  readonly id: NodeId
  readonly clusterId: string | null
  readonly incarnation: string
  readonly raft: string
}

export interface AnnouncedAddressesDependencies {
  readonly warned: Warnings
  /** Whether a member is connected, or is this node. */
  readonly isThere: (id: NodeId) => boolean
}

/** Compares the addresses that members announce with those that the membership lists. */
export class AnnouncedAddresses {
  private readonly deps: AnnouncedAddressesDependencies
  private listed: ReadonlyMap<NodeId, NodeAddresses> = new Map()
  /** Members that announce other addresses than the membership lists, with the announced addresses. */
  private readonly elsewhere = new Map<NodeId, NodeAddresses>()
  /** Former addresses of members that an operator has listed elsewhere and that have not moved yet. */
  private readonly formerAddresses = new Map<NodeId, string>()

  constructor(dependencies: AnnouncedAddressesDependencies) {
    this.deps = dependencies
  }

  /** Everything that was said about a member's addresses was said about the old ones. */
  onMembership(listed: ReadonlyMap<NodeId, NodeAddresses>): void {
    const before = this.listed
    this.listed = listed
    for (const [id, { raft, api }] of before) {
      const now = listed.get(id)
      if (now?.raft === raft && now.api === api) continue
      this.deps.warned.clear('wrong-address', String(id))
      const said = this.elsewhere.get(id)
      if (now === undefined || (said?.raft === now.raft && said.api === now.api)) this.elsewhere.delete(id)
      if (now === undefined) this.formerAddresses.delete(id)
      else if (now.raft !== raft && said?.raft !== now.raft) this.formerAddresses.set(id, raft)
    }
  }

  /** A member announces other addresses than the membership lists: one of the two has to be corrected. */
  compare(id: NodeId, { raft, api }: NodeAddresses): void {
    const listed = this.listed.get(id)
    if (listed === undefined || raft === '') return
    if (this.formerAddresses.get(id) !== raft) this.formerAddresses.delete(id)
    if (listed.raft === raft && listed.api === api) {
      this.elsewhere.delete(id)
      this.deps.warned.clear('wrong-address', String(id))
      return
    }
    this.elsewhere.set(id, { raft, api })
    this.deps.warned.raise('wrong-address', String(id), wrongAddress(id, listed, { raft, api }))
  }

  /** That a process of `id` is at `raft` says nothing of where `id` should be listed. */
  withdraw(id: NodeId, raft: string): void {
    if (this.elsewhere.get(id)?.raft !== raft) return
    this.elsewhere.delete(id)
    this.deps.warned.clear('wrong-address', String(id))
  }

  /** Members that are reachable at other addresses than the membership lists, and were not told to leave those. */
  get moved(): readonly (NodeAddresses & { readonly id: NodeId })[] {
    return [...this.elsewhere].flatMap(([id, { raft, api }]) =>
      this.formerAddresses.get(id) === raft || !this.deps.isThere(id) ? [] : [{ id, raft, api }],
    )
  }
}
