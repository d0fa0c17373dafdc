import type { GrantView } from '../../client/api-types.ts'
import { ProblemError } from '../api/problem.ts'
import { bounds } from '../bounds.ts'
import { count } from '../lib/format.ts'
import { quoted } from './key-text.tsx'
import { readableIn, useSelf } from './own-access.ts'

interface ReadableProps {
  /** Why something could not be read. */
  readonly failure: unknown
  /** Where what a grant names is shown; null: on no page. */
  readonly hrefFor: (grant: GrantView) => string | null
}

/** After a refusal: what the token of this page may read, with the way to it. Nothing after any other failure. */
export function Readable({ failure, hrefFor }: ReadableProps) {
  const isRefused = failure instanceof ProblemError && failure.code === 'forbidden'
  return isRefused ? <ReadableGrants hrefFor={hrefFor} /> : null
}

function ReadableGrants({ hrefFor }: Pick<ReadableProps, 'hrefFor'>) {
  const self = useSelf()
  if (self === null) return null
  // Several roles may grant the same.
  const places = new Map(readableIn(self).map((grant) => [reachText(grant), hrefFor(grant)]))
  if (places.size === 0) return <p class="soft">The token of this page may read nothing of it.</p>
  const shown = [...places].slice(0, bounds.grantsShownMax)
  return (
    <div class="soft">
      <p>The token of this page may read:</p>
      <ul>
        {shown.map(([text, href]) => (
          <li key={text}>{href === null ? text : <a href={href}>{text}</a>}</li>
        ))}
      </ul>
      {places.size > shown.length && <p>{count(places.size - shown.length)} more are not shown.</p>}
    </div>
  )
}

/** The keys of a grant, or the locks of these names: `what begins with “app/”`. */
function reachText({ key, prefix, start, end }: GrantView): string {
  if (key !== undefined) return `${quoted(key)} alone`
  if (prefix !== undefined) return prefix === '' ? 'everything' : `what begins with ${quoted(prefix)}`
  const from = start === undefined ? 'from the first' : `from ${quoted(start)}`
  return `what is ${from} ${end === undefined ? 'to the last' : `up to ${quoted(end)}`}`
}
