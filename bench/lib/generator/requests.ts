import { MIXED_GETS, type Load } from '../load.ts'

export type Shape = Pick<Load, 'method' | 'keys' | 'valueBytes' | 'inOrder' | 'query'>

/** Makes one request after the other. A value is the same letter throughout, so one string serves for all. */
export class Requests {
  private readonly shape: Shape
  private readonly putTail: string
  private readonly getTail: string
  private sent = 0

  constructor(shape: Shape) {
    this.shape = shape
    const length = `content-length: ${shape.valueBytes}\r\n\r\n`
    this.putTail = ` HTTP/1.1\r\nhost: bench\r\n${length}${'v'.repeat(shape.valueBytes)}`
    this.getTail = `${shape.query ?? ''} HTTP/1.1\r\nhost: bench\r\n\r\n`
  }

  next(): string {
    const { method, keys, inOrder } = this.shape
    const n = inOrder === true ? (this.sent++ % keys) + 1 : 1 + Math.floor(Math.random() * keys)
    const isGet = method === 'GET' || (method === 'MIXED' && Math.random() < MIXED_GETS)
    return isGet ? `GET /kv/key-${n}${this.getTail}` : `PUT /kv/key-${n}${this.putTail}`
  }
}
