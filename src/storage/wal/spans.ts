import { assert } from '../../lib/assert.ts'
import { limits } from '../../limits.ts'
import type { LogIndex } from '../../raft/index.ts'

/** The position of consecutive entries: the records in `[offset, end)` of one segment. */
export interface Span {
  readonly segment: number
  readonly offset: number
  end: number
  readonly first: LogIndex
  /** The last valid entry. Later entries in the last record were truncated. */
  last: LogIndex
  /** Bytes of the bodies; not valid when `cut` is true. */
  bytes: number
  /** A truncation removed its tail, so nothing may be added to it. */
  cut: boolean
}

/** A sparse map from index to position: one span for every 32 KiB of log or more, at most `limits.logSpansMax` of them. */
export class SpanIndex {
  private spans: Span[] = []
  private head = 0
  private strideBytes = limits.logSpanBytes

  /** Notes that the batch `[first, last]` is at `offset`. */
  add(segment: number, offset: number, length: number, first: LogIndex, last: LogIndex, bodyBytes: number): void {
    const tail = this.tail
    // A large record gets a span of its own: the entries of a span are counted as equally large (raft/size-list).
    const isSmall = length < this.strideBytes && tail !== undefined && tail.end - tail.offset < this.strideBytes
    if (isSmall && follows(tail, segment, offset)) {
      tail.end = offset + length
      tail.last = last
      tail.bytes += bodyBytes
      return
    }
    this.spans.push({ segment, offset, end: offset + length, first, last, bytes: bodyBytes, cut: false })
    if (this.spans.length - this.head > limits.logSpansMax) this.merge()
  }

  truncate(from: LogIndex): void {
    for (let tail = this.tail; tail !== undefined && tail.first >= from; tail = this.tail) this.spans.pop()
    const { tail } = this
    if (tail === undefined || tail.last < from) return
    tail.last = (from - 1) as LogIndex
    tail.cut = true
  }

  clear(): void {
    this.spans = []
    this.head = 0
  }

  dropThrough(index: LogIndex): void {
    while ((this.spans[this.head]?.last ?? Infinity) <= index) this.head += 1
    if (this.head * 2 < this.spans.length) return
    this.spans = this.spans.slice(this.head)
    this.head = 0
  }

  /** The spans that hold `[first, last]`, ascending, up to `bytesMax` of bodies. */
  covering(first: LogIndex, last: LogIndex, bytesMax: number): readonly Span[] {
    let low = this.head
    let high = this.spans.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const span = this.spans[middle]
      assert(span !== undefined, 'a search stays inside the index')
      if (span.last < first) low = middle + 1
      else high = middle
    }
    const found: Span[] = []
    let bytes = 0
    for (let i = low; i < this.spans.length && bytes <= bytesMax; i++) {
      const span = this.spans[i]
      if (span === undefined || span.first > last) break
      // Perhaps only a part of the first span is wanted, so its bytes do not count.
      if (found.length > 0) bytes += span.bytes
      found.push(span)
    }
    return found
  }

  all(): readonly Span[] {
    return this.spans.slice(this.head)
  }

  private get tail(): Span | undefined {
    return this.spans.length > this.head ? this.spans.at(-1) : undefined
  }

  /** Halves the number of spans, at the price of longer reads. */
  private merge(): void {
    this.strideBytes *= 2
    const merged: Span[] = []
    for (const span of this.all()) {
      const before = merged.at(-1)
      if (
        before === undefined ||
        !follows(before, span.segment, span.offset) ||
        span.end - before.offset > this.strideBytes
      ) {
        merged.push(span)
        continue
      }
      before.end = span.end
      before.last = span.last
      before.bytes += span.bytes
      before.cut = span.cut
    }
    this.spans = merged
    this.head = 0
  }
}

function follows(before: Span, segment: number, offset: number): boolean {
  return !before.cut && before.segment === segment && before.end === offset
}
