import type { Operation } from '../history/operation.ts'
import type { Draw } from '../world/draw.ts'
import type { Drawn } from './client.ts'

/** So many that the names of some are forgotten by the time they are sent again. */
const REMEMBERED_MAX = 30

/** The named writes of a client that were answered, which it sends again later: when their names are known still, or forgotten. */
export class AnsweredWrites {
  private readonly share: number
  private readonly random: Draw
  private readonly writes: Drawn[] = []

  /** `share`: of the requests of the client. */
  constructor(share: number, random: Draw) {
    this.share = share
    this.random = random
  }

  add({ request, outcome, mark, repeats }: Operation): void {
    if (this.share === 0 || repeats === true || outcome.kind !== 'answered') return
    if (request.type !== 'write' || request.command.idempotency === null) return
    this.writes.push({ request, mark, repeats: true })
    if (this.writes.length > REMEMBERED_MAX) this.writes.shift()
  }

  /** Null: the next request is a new one. */
  draw(): Drawn | null {
    if (this.share === 0 || this.writes.length === 0 || !this.random.chance(this.share)) return null
    return this.random.pick(this.writes)
  }
}
