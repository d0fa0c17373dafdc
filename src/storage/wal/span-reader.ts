import { assert } from '../../lib/assert.ts'
import type { LogBatch, LogIndex } from '../../raft/index.ts'
import { clipBatch } from '../clip.ts'
import type { LogFiles } from './files.ts'
import { batchesIn } from './record.ts'
import type { Segment } from './segments.ts'
import type { Span, SpanIndex } from './spans.ts'

/** Reads entries back from the segments. */
export class SpanReader {
  private readonly salt: number
  private readonly files: LogFiles
  private readonly spans: SpanIndex
  private readonly segments: readonly Segment[]

  /** `segments` is the writer's own list: contiguous numbers, ascending. */
  constructor(salt: number, files: LogFiles, spans: SpanIndex, segments: readonly Segment[]) {
    this.salt = salt
    this.files = files
    this.spans = spans
    this.segments = segments
  }

  /**
   * The batches that hold `[first, last]`, all of it durable: as many whole ones as fit `bytesMax`, but at least one. Null when
   * the disk does not hold what was written there; also when it was overwritten or freed meanwhile.
   */
  async read(first: LogIndex, last: LogIndex, bytesMax: number): Promise<LogBatch[] | null> {
    const batches: LogBatch[] = []
    let bytes = 0
    let next = first
    for (const group of groupContiguous(this.spans.covering(first, last, bytesMax))) {
      // These limits may move in the index while the group is being read.
      const ends = group.map((span) => Math.min(span.last, last) as LogIndex)
      const content = await this.load(group)
      if (content === null) return null
      for (const [i, span] of group.entries()) {
        const end = ends[i] ?? last
        for (const batch of batchesIn(content[i] ?? Buffer.alloc(0), span.segment, this.salt)) {
          if (batch.last < next || batch.first > end) continue
          if (batch.first > next) return null
          const clipped = clipBatch(batch, next, end)
          bytes += clipped.body.length
          if (batches.length > 0 && bytes > bytesMax) return batches
          batches.push(clipped)
          next = (clipped.last + 1) as LogIndex
        }
        if (next <= end) return null
      }
    }
    return batches.length > 0 ? batches : null
  }

  /** The bytes of the spans, read with one call; null when their segment is no longer in use. */
  private async load(group: readonly Span[]): Promise<Buffer[] | null> {
    const front = group[0]
    const back = group.at(-1)
    assert(front !== undefined && back !== undefined, 'a group has a span')
    const segment = this.segments[front.segment - (this.segments[0]?.number ?? 0)]
    if (segment === undefined) return null
    assert(segment.number === front.segment, 'segments have contiguous numbers')
    const { offset } = front
    const pieces = group.map((span) => [span.offset - offset, span.end - offset] as const)
    const content = Buffer.allocUnsafeSlow(back.end - offset)
    segment.beginRead()
    try {
      const count = await this.files.read(segment.fd, content, offset)
      return pieces.map(([begin, end]) => content.subarray(begin, Math.min(end, count)))
    } finally {
      segment.endRead()
    }
  }
}

function groupContiguous(spans: readonly Span[]): Span[][] {
  const groups: Span[][] = []
  for (const span of spans) {
    const group = groups.at(-1)
    const before = group?.at(-1)
    if (before !== undefined && before.segment === span.segment && before.end === span.offset) group?.push(span)
    else groups.push([span])
  }
  return groups
}
