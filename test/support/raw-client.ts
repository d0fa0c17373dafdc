import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

const DEADLINE_MS = 10_000

export async function listen(app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  const address = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address.port
}

/** A connection on which a test writes arbitrary bytes and reads the answers. */
export class RawConnection {
  readonly socket: Socket
  private readonly chunks: Buffer[] = []
  private ended = false
  private wake: () => void = () => {}

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('data', (bytes) => {
      this.chunks.push(bytes)
      this.wake()
    })
    const end = (): void => {
      this.ended = true
      this.wake()
    }
    // A reset is an end too: the bytes before it count.
    this.socket.on('error', end)
    this.socket.on('close', end)
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(bytes)
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  get closed(): boolean {
    return this.ended
  }

  /** The received text, once `enough` accepts it or the other side has closed. */
  async until(enough: (text: string) => boolean): Promise<string> {
    const deadline = Date.now() + DEADLINE_MS
    for (let text = this.text; !this.ended && !enough(text); text = this.text) {
      const left = deadline - Date.now()
      if (left <= 0) throw new Error(`nothing more came in ${DEADLINE_MS} ms after: ${text.slice(0, 500)}`)
      await this.change(left)
    }
    return this.text
  }

  async untilClosed(): Promise<string> {
    await eventually(() => this.ended, 'the other side closes')
    return this.text
  }

  async connected(): Promise<void> {
    if (this.socket.connecting) await once(this.socket, 'connect')
  }

  destroy(): void {
    this.socket.destroy()
  }

  private async change(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

export interface RawAnswer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** The first answer in `text`. Everything after its headers is its body. */
export function answerIn(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n')
  const [line = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = lines.map((header) => {
    const colon = header.indexOf(':')
    return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()] as const
  })
  return { status: Number(line.split(' ')[1]), headers: new Map(headers), body: text.slice(end + 4) }
}

/** Polls `condition` until it is true. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${DEADLINE_MS} ms`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
