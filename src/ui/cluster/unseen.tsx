import { asksForToken } from '../api/problem.ts'
import { FailureNotice } from '../parts/notice.tsx'

/** In the place of the cluster before it is seen: why not. That a token is asked for says the form for it. */
export function Unseen({ failure }: { readonly failure: unknown }) {
  if (failure === null || asksForToken(failure)) return <p class="empty">Asking the node…</p>
  return <FailureNotice failure={failure} />
}
