const HEAD_END = Buffer.from('\r\n\r\n')
const STATUS_AT = 'HTTP/1.1 '.length
const LENGTH = /\r\ncontent-length: *(\d+)/i

/** Finds the answers in what one HTTP/1.1 connection receives. All that is kept of them is their status. */
export class AnswerReader {
  private rest: Buffer | null = null
  /** Bytes of the present body that have not arrived. */
  private missing = 0
  private readonly onAnswer: (status: number) => void
  private status = 0

  constructor(onAnswer: (status: number) => void) {
    this.onAnswer = onAnswer
  }

  /** Throws when the bytes are no answer with a stated length: then nothing that follows can be read either. */
  push(bytes: Buffer): void {
    const all = this.rest === null ? bytes : Buffer.concat([this.rest, bytes])
    this.rest = null
    let at = 0
    while (at < all.length) {
      if (this.status === 0) {
        const end = all.indexOf(HEAD_END, at)
        if (end < 0) {
          this.rest = all.subarray(at)
          return
        }
        this.readHead(all.toString('latin1', at, end))
        at = end + HEAD_END.length
      }
      const taken = Math.min(this.missing, all.length - at)
      at += taken
      this.missing -= taken
      if (this.missing > 0) return
      const { status } = this
      this.status = 0
      this.onAnswer(status)
    }
  }

  private readHead(head: string): void {
    const status = Number(head.slice(STATUS_AT, STATUS_AT + 3))
    const length = LENGTH.exec(head)?.[1]
    const hasNoBody = status === 204 || status === 304
    if (!(status >= 200 && status < 600) || (length === undefined && !hasNoBody)) {
      throw new Error(`not an answer with a content-length: ${head.slice(0, 200)}`)
    }
    this.status = status
    this.missing = hasNoBody ? 0 : Number(length)
  }
}
