import type { Socket } from 'node:net'

/**
 * Why a connection is not read: as many requests as it may have are open, it rests after a refusal, or the turn of the event loop was long
 * enough without it.
 */
export type Obstacle = 'full' | 'rest' | 'turn'

/** Whether a connection is read: as long as there is no reason against it. Unread bytes wait in its socket. */
export class Reading {
  private readonly socket: Socket
  private readonly obstacles = new Set<Obstacle>()

  constructor(socket: Socket) {
    this.socket = socket
  }

  get isStopped(): boolean {
    return this.obstacles.size > 0
  }

  isStoppedFor(obstacle: Obstacle): boolean {
    return this.obstacles.has(obstacle)
  }

  stop(obstacle: Obstacle): void {
    this.obstacles.add(obstacle)
    this.socket.pause()
  }

  /** To be called while a packet is parsed. Node resumes its socket at the end of each request, so the pause must follow the last one. */
  stopAfterPacket(obstacle: Obstacle): void {
    this.obstacles.add(obstacle)
    process.nextTick(() => {
      if (this.isStopped) this.socket.pause()
    })
  }

  /** The obstacle is gone. */
  goOn(obstacle: Obstacle): void {
    if (this.obstacles.delete(obstacle) && !this.isStopped) this.socket.resume()
  }
}
