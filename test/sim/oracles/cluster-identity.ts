import type { LogWrite } from '../../../src/ports/log-store.ts'
import type { Machine } from '../machines/machine.ts'
import { Violation } from '../world/violation.ts'
import type { Oracle } from './oracle.ts'

/** A node belongs to one cluster for as long as it has its data, and writes nothing before it knows which cluster. */
export class ClusterIdentity implements Oracle {
  private readonly joined = new Map<Machine, string>()

  onSubmit(machine: Machine, write: LogWrite): void {
    if (write.type === 'hard-state') {
      const before = this.joined.get(machine)
      const { clusterId } = write.state
      if (clusterId === null && write.state.vote.leaderId.term > 0)
        fail(machine, 'votes without belonging to a cluster')
      if (before !== undefined && clusterId !== before) fail(machine, `goes from cluster ${before} to ${clusterId}`)
      if (clusterId !== null) this.joined.set(machine, clusterId)
      return
    }
    if (write.type === 'append' && machine.clusterId === '')
      fail(machine, 'writes entries without belonging to a cluster')
  }

  onStart(machine: Machine): void {
    // A cluster id that was not synced when the process died was never told to anybody.
    const { clusterId, vote } = machine.log.durable.hardState
    // A cluster id alone, without an entry or a vote, promises nothing to anybody.
    const isBound = machine.log.durable.last !== null || vote.leaderId.term > 0
    if (clusterId === null || !isBound) this.joined.delete(machine)
    else this.joined.set(machine, clusterId)
  }

  onWipe(machine: Machine): void {
    this.joined.delete(machine)
  }
}

function fail(machine: Machine, what: string): never {
  throw new Violation('cluster-identity', `n${machine.id} ${what}`)
}
