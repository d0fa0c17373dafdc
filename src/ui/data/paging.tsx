import { useState } from 'preact/hooks'
import { Button } from '../parts/button.tsx'

export interface Paging {
  /** Where the page that is looked at begins; null: at the first. */
  readonly cursor: string | null
  readonly back: () => void
  /** To the page that begins at `next`. */
  readonly on: (next: string) => void
}

/** The way through a listing, a page at a time. It begins anew with another `listing`. */
export function usePaging(listing = ''): Paging {
  /** `starts`: where each page after the first that was seen begins. */
  const [seen, setSeen] = useState<{ readonly listing: string; readonly starts: readonly string[] }>({
    listing,
    starts: [],
  })
  const starts = seen.listing === listing ? seen.starts : []
  return {
    cursor: starts.at(-1) ?? null,
    back: () => setSeen({ listing, starts: starts.slice(0, -1) }),
    on: (next) => setSeen({ listing, starts: [...starts, next] }),
  }
}

/** `next`: where the page after this one begins; undefined: this is the last. */
export function Pager({ paging, next }: { readonly paging: Paging; readonly next: string | undefined }) {
  const { cursor, back, on } = paging
  if (cursor === null && next === undefined) return null
  return (
    <div class="buttons start">
      <Button small disabled={cursor === null} onClick={back}>
        Back
      </Button>
      <Button small disabled={next === undefined} onClick={() => next !== undefined && on(next)}>
        On
      </Button>
    </div>
  )
}
