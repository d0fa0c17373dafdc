/** So many pieces are kept as they come, and the larger ones always. */
const AS_THEY_COME = 16
const SMALL_BYTES = 4 * 1024
const TOGETHER_BYTES = 16 * 1024

/**
 * Bytes that arrive in pieces. Each piece takes some hundred bytes of memory beside its own, and a sender may cut them as small as it likes. So when
 * there are many, the small ones are copied together: what they take follows their bytes, not their number.
 */
export class Gathering {
  private pieces: Buffer[] = []
  private total = 0
  private together: Buffer | null = null
  private togetherBytes = 0

  get bytes(): number {
    return this.total
  }

  add(piece: Buffer): void {
    this.total += piece.length
    if (piece.length < SMALL_BYTES && this.pieces.length >= AS_THEY_COME) return this.addSmall(piece)
    this.closeTogether()
    this.pieces.push(piece)
  }

  /** Everything that was added, as one buffer of its own; nothing is left. */
  take(): Buffer {
    this.closeTogether()
    const whole = Buffer.concat(this.pieces, this.total)
    this.pieces = []
    this.total = 0
    this.together = null
    return whole
  }

  private addSmall(piece: Buffer): void {
    if (this.togetherBytes + piece.length > TOGETHER_BYTES) this.closeTogether()
    this.together ??= Buffer.allocUnsafeSlow(TOGETHER_BYTES)
    piece.copy(this.together, this.togetherBytes)
    this.togetherBytes += piece.length
  }

  private closeTogether(): void {
    if (this.together === null || this.togetherBytes === 0) return
    this.pieces.push(Buffer.from(this.together.subarray(0, this.togetherBytes)))
    this.togetherBytes = 0
  }
}
