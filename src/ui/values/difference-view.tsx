import { useMemo, useState } from 'preact/hooks'
import { count, plural } from '../lib/format.ts'
import { compareValues, type DiffBlock, type DiffLine } from './difference.ts'

interface DifferenceViewProps {
  /** Null: the key was absent. */
  readonly older: Uint8Array | null
  readonly newer: Uint8Array | null
  readonly olderName: string
  readonly newerName: string
}

/** What the newer value has that the older one has not, and the other way round. */
export function DifferenceView({ older, newer, olderName, newerName }: DifferenceViewProps) {
  const comparison = useMemo(() => compareValues(older, newer), [older, newer])
  if (comparison.kind === 'equal') return <p class="empty">Both are the same.</p>
  if (comparison.kind === 'unlike')
    return <p class="empty">They are too large, or have too little in common, to be compared line by line.</p>
  const { form, added, removed, blocks, hidden } = comparison.difference
  return (
    <figure class="difference">
      <figcaption>
        <span class="removed">
          − {olderName}
          {older === null ? ' (absent)' : ''}
        </span>
        <span class="added">
          + {newerName}
          {newer === null ? ' (absent)' : ''}
        </span>
        <span class="faint">
          {plural(removed, 'line')} out, {plural(added, 'line')} in{form === 'hex' ? ', compared as hex' : ''}
          {form === 'json' ? ', compared as JSON' : ''}
        </span>
      </figcaption>
      {blocks.length === 0 ? (
        <p class="empty">One of them is an empty value, the other is none.</p>
      ) : (
        <div class="difference-lines" role="group" aria-label="Difference" tabIndex={0}>
          {blocks.map((block, at) => (
            <Block block={block} key={at} />
          ))}
        </div>
      )}
      {hidden > 0 && <p class="faint">{count(hidden)} more lines are not shown.</p>}
    </figure>
  )
}

function Block({ block }: { readonly block: DiffBlock }) {
  const [isFolded, setFolded] = useState(block.isFolded)
  if (isFolded) {
    return (
      <button type="button" class="fold" onClick={() => setFolded(false)}>
        {plural(block.lines.length, 'line')} that are the same
      </button>
    )
  }
  return (
    <>
      {block.lines.map((line, at) => (
        <Line line={line} key={at} />
      ))}
    </>
  )
}

const signs: Readonly<Record<DiffLine['kind'], string>> = { same: ' ', removed: '−', added: '+' }
const words: Readonly<Record<DiffLine['kind'], string>> = { same: '', removed: 'removed: ', added: 'added: ' }

function Line({ line: { kind, number, parts } }: { readonly line: DiffLine }) {
  return (
    <div class={`difference-line ${kind}`}>
      <span class="number" aria-hidden="true">
        {number}
      </span>
      <span class="sign" aria-hidden="true">
        {signs[kind]}
      </span>
      <span class="line">
        <span class="unseen">{words[kind]}</span>
        {parts.map(({ text, isChanged }, at) => (isChanged ? <mark key={at}>{text}</mark> : text))}
      </span>
    </div>
  )
}
