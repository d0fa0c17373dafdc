import type { Caller } from '../../api/services.ts'
import type { ForwardedSpan } from '../../ports/transport.ts'

/** The spans of requests that go to the leader together. The leader's own spans lie below them. */
export function spansOf(requests: readonly { readonly caller: Caller | null }[]): readonly ForwardedSpan[] {
  const spans: ForwardedSpan[] = []
  for (const [at, { caller }] of requests.entries()) {
    const span = caller?.span ?? null
    if (span !== null) spans.push({ at, traceId: span.traceId, spanId: span.spanId, flags: span.flags })
  }
  return spans
}
