import { limits } from '../limits.ts'
import { awaited } from './awaited.ts'

/** How a request waits for its turn. */
export interface Waiting {
  readonly msMax: number
  /** Another server may be asked in place of this one. */
  readonly mayGoElsewhere: boolean
  readonly signals: readonly AbortSignal[]
}

interface Waiter {
  readonly mayGoElsewhere: boolean
  readonly settle: (hasTurn: boolean) => void
}

/**
 * The requests that are under way on each server, and those that wait for one of them to end. A request waits here and not at the connections,
 * because a wait has an end here: nothing of the request has been sent, so that it can go to another server without any doubt.
 */
export class RequestQueues {
  private readonly queues = new Map<string, Queue>()

  /** Resolves with whether it is the request's turn; `release` has to follow then. */
  async take(place: string, waiting: Waiting): Promise<boolean> {
    let queue = this.queues.get(place)
    if (queue === undefined) this.queues.set(place, (queue = new Queue()))
    return await queue.take(waiting)
  }

  release(place: string): void {
    const queue = this.queues.get(place)
    queue?.release()
    if (queue?.isIdle === true) this.queues.delete(place)
  }

  /** The server does not answer. Requests that wait for it and may go elsewhere do so at once. */
  turnAway(place: string): void {
    this.queues.get(place)?.turnAway()
  }
}

class Queue {
  private underWay = 0
  /** In the order in which they came. */
  private readonly waiting = new Set<Waiter>()

  get isIdle(): boolean {
    return this.underWay === 0
  }

  async take({ msMax, signals, mayGoElsewhere }: Waiting): Promise<boolean> {
    if (this.underWay < limits.clientSocketsMax) {
      this.underWay += 1
      return true
    }
    const hasTurn = await awaited<boolean>(msMax, signals, (settle) => {
      const waiter: Waiter = { mayGoElsewhere, settle }
      this.waiting.add(waiter)
      return () => void this.waiting.delete(waiter)
    })
    return hasTurn === true
  }

  /** The turn passes on to the first that waits. */
  release(): void {
    const [next] = this.waiting
    if (next === undefined) this.underWay -= 1
    else next.settle(true)
  }

  turnAway(): void {
    for (const { mayGoElsewhere, settle } of this.waiting) if (mayGoElsewhere) settle(false)
  }
}
