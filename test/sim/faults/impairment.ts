import type { Membership } from '../../../src/raft/index.ts'
import type { Machine } from '../machines/machine.ts'

/** Whether a machine's data is lost or incomplete, so that it does not count as a voter at present. */
export function isImpaired(machine: Machine): boolean {
  if (machine.lost !== null || machine.log.lostUpTo !== null || machine.log.voteUnreadable || machine.state.damaged)
    return true
  if (!machine.wiped) return false
  // A node that was added again is in a membership with its new incarnation. One that was only initialized again is not.
  const self = machine.view?.effective.membership.nodes.get(machine.id)
  return self?.incarnation !== machine.incarnation
}

/**
 * Whether the data of `machine` may be damaged or lost without losing what the cluster has acknowledged: no other machine is
 * impaired, every known configuration can spare it, and everybody who may count its vote knows its incarnation: every member, and whoever has
 * no cluster, since it may be told to initialize again after it was removed.
 *
 * The incarnation is the cluster's defence against a voter that comes back without its data: a member that never met the voter
 * cannot tell.
 */
export function mayDamage(machine: Machine, machines: readonly Machine[]): boolean {
  // Before anything is committed, the first entry may exist only on this machine.
  if (machine.clusterId === '' || (machine.view?.committed ?? -1) < 0) return false
  if (machines.some((other) => other !== machine && isImpaired(other))) return false
  const memberships = machines.flatMap((other) => {
    const view = other.view
    return view === null ? [] : [view.effective.membership, view.committedMembership.membership]
  })
  if (machines.some((other) => other.view === null)) return false
  if (!memberships.every((membership) => canSpare(membership, machine))) return false
  const isMember = ({ id }: Machine): boolean => memberships.some(({ nodes }) => nodes.has(id))
  const mayCount = machines.filter((other) => isMember(other) || other.clusterId === '')
  return mayCount.every((other) => other === machine || other.remembers(machine.id) === machine.incarnation)
}

function canSpare(membership: Membership, machine: Machine): boolean {
  return membership.configs.every((config) => {
    const others = config.filter((id) => id !== machine.id).length
    return others * 2 > config.length
  })
}
