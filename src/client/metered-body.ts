import type { StreamedBody } from './exchange.ts'

/**
 * A body that is made while one server is sent it, and how long that server has taken none of it: neither the time in which it takes pieces
 * counts, nor the time that they take to be made.
 */
export class MeteredBody implements StreamedBody {
  readonly isRepeatable: boolean
  private readonly body: StreamedBody
  /** Since when a server has had a piece, or the end, to take; null: the next piece is being made. */
  private offeredAt: number | null

  /** `at`: when the attempt to send it begins. */
  constructor(body: StreamedBody, at: number) {
    this.body = body
    this.offeredAt = at
    this.isRepeatable = body.isRepeatable
  }

  /** How long the server has taken nothing, at `now`. */
  untakenMs(now: number): number {
    return this.offeredAt === null ? 0 : now - this.offeredAt
  }

  async *begin(): AsyncGenerator<Uint8Array> {
    this.offeredAt = null
    // Whoever sends it asks for a piece once the one before is taken.
    for await (const piece of this.body.begin()) {
      this.offeredAt = performance.now()
      yield piece
      this.offeredAt = null
    }
    this.offeredAt = performance.now()
  }
}
