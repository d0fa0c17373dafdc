import type { Random } from './random.ts'

/** The place of a request in a trace (W3C Trace Context, level 2). The ids are hexadecimal digits: 32 of the trace, 16 of a span. */
export interface TraceContext {
  readonly traceId: string
  /** The work of its sender. */
  readonly spanId: string
  /** Whether the trace is recorded (1), and whether its id is random (2). Other flags have no meaning yet, and are not passed on. */
  readonly flags: number
}

/** The work of a node on a request of a trace: a span of its own below that of the sender. */
export interface Span extends TraceContext {
  readonly parentId: string
}

const KNOWN_FLAGS = 0b11
const HEADER = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-?)$/

/**
 * Reads the header `traceparent` (section 2.2.2); null when it is none that the standard knows, and then the request belongs to no trace. A
 * later version may say more after a dash. Two headers arrive as one text with a comma, which is none.
 */
export function traceContextOf(header: string): TraceContext | null {
  // The additions of a later version are not looked at, however long they are.
  const [, version, traceId = '', spanId = '', flags = '', dash] = HEADER.exec(header.slice(0, 56)) ?? []
  if (version === undefined || version === 'ff' || isZero(traceId) || isZero(spanId)) return null
  if (version === '00' && dash !== '') return null
  return { traceId, spanId, flags: Number.parseInt(flags, 16) & KNOWN_FLAGS }
}

/** A span with the id `spanId` below that of the sender. */
export function spanBelow({ traceId, spanId: parentId, flags }: TraceContext, spanId: string): Span {
  return { traceId, spanId, parentId, flags }
}

/** A new id of a span, which is never zero. */
export function newSpanId(random: Random): string {
  return hexadecimal(random.integer(1, 2 ** 32)) + hexadecimal(random.integer(0, 2 ** 32))
}

/** The span as facts of a log line, under the names that OpenTelemetry has for them; nothing without one. */
export function traceFacts(span: Span | null | undefined): Readonly<Record<string, string>> {
  if (span === null || span === undefined) return {}
  return { trace_id: span.traceId, span_id: span.spanId, parent_id: span.parentId }
}

function hexadecimal(value: number): string {
  return value.toString(16).padStart(8, '0')
}

function isZero(digits: string): boolean {
  return /^0*$/.test(digits)
}
