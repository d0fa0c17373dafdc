import { useState } from 'preact/hooks'
import { KeyText, quoted } from '../data/key-text.tsx'
import { keysHref, watchHref } from '../data/places.ts'
import { useAction } from '../data/use-action.ts'
import { count, plural } from '../lib/format.ts'
import { Button } from '../parts/button.tsx'
import { FailureNotice } from '../parts/notice.tsx'
import { countKeys } from './keys-api.ts'

/** What one can do with all keys that begin alike. */
export function BranchPane({ prefix }: { readonly prefix: string }) {
  const [counted, setCounted] = useState<{ readonly count: number; readonly revision: number } | null>(null)
  const { isBusy, failure, run } = useAction(`Counting the keys of ${quoted(prefix)}`)
  const countAll = async (): Promise<void> => {
    setCounted(await countKeys(prefix, new AbortController().signal))
  }
  return (
    <>
      <h2 class="pane-title long-text mono">
        <KeyText text={prefix} />
        <span class="faint"> …</span>
      </h2>
      <div class="tools">
        <a class="button" href={keysHref({ prefix, new: prefix })}>
          New key here
        </a>
        <a class="button" href={watchHref({ prefix })}>
          Watch
        </a>
        <a class="button" href={keysHref({ prefix })}>
          Show only these
        </a>
        <Button busy={isBusy} onClick={() => run(countAll)}>
          Count
        </Button>
      </div>
      {counted !== null && (
        <p role="status">
          {plural(counted.count, 'key')} at revision {count(counted.revision)}.
        </p>
      )}
      {failure !== null && <FailureNotice failure={failure} />}
    </>
  )
}
