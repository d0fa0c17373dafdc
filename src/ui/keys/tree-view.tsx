import { useEffect, useRef, useState } from 'preact/hooks'
import { KeyText } from '../data/key-text.tsx'
import { ReadFailure } from '../data/shown.tsx'
import { plainText } from '../data/visible-text.ts'
import { useStore } from '../lib/store.ts'
import type { KeyTree, TreeRow } from './key-tree.ts'

interface TreeViewProps {
  readonly tree: KeyTree
  /** The key or the branch that is open beside the tree. */
  readonly chosen: string | null
  readonly onKey: (key: string) => void
  readonly onBranch: (prefix: string) => void
}

/**
 * The tree as the ARIA practices have it: one stop for the Tab key; the arrow keys move, Right and Left open and close, Enter chooses.
 */
export function TreeView({ tree, chosen, onKey, onBranch }: TreeViewProps) {
  const rows = useStore(tree.rows)
  const [active, setActive] = useState<string | null>(null)
  const element = useRef<HTMLDivElement>(null)
  const at = activeAt(rows, active, chosen)
  const row = rows[at]

  useEffect(() => {
    if (active === null) return
    element.current?.querySelector('[data-active]')?.scrollIntoView({ block: 'nearest' })
  }, [active])

  const act = (one: TreeRow): void => {
    setActive(one.id)
    if (one.kind === 'key') onKey(one.key.key)
    else if (one.kind === 'branch') {
      toggle(tree, one)
      onBranch(one.prefix)
    } else void readOn(tree, one)
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    // A button within the tree has the focus: the key is for that.
    if (event.target !== event.currentTarget) return
    // With these it is for the browser: Alt and Left go back.
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const next = row === undefined ? null : moved(tree, rows, at, event.key)
    if (next === null || row === undefined) return
    event.preventDefault()
    if (next === 'act') act(row)
    else setActive(rows[next]?.id ?? null)
  }

  return (
    <div
      ref={element}
      class="tree"
      role="tree"
      aria-label="Keys"
      tabIndex={0}
      aria-activedescendant={row === undefined ? undefined : idOf(at)}
      onKeyDown={onKeyDown}
    >
      {rows.map((one, index) => (
        <Row
          key={one.id}
          row={one}
          id={idOf(index)}
          isActive={index === at}
          isChosen={isChosen(one, chosen)}
          onAct={() => act(one)}
        />
      ))}
    </div>
  )
}

interface RowProps {
  readonly row: TreeRow
  readonly id: string
  readonly isActive: boolean
  readonly isChosen: boolean
  readonly onAct: () => void
}

function Row({ row, id, isActive, isChosen: chosen, onAct }: RowProps) {
  if (row.kind === 'failed') {
    return (
      <div class="tree-notice" role="treeitem" id={id} aria-level={row.depth} data-active={isActive || undefined}>
        <ReadFailure failure={row.failure} onAgain={onAct} ofKeys />
      </div>
    )
  }
  const { kind, depth } = row
  return (
    <div
      id={id}
      class={`tree-row ${kind}`}
      role="treeitem"
      aria-level={depth}
      aria-expanded={kind === 'branch' ? row.isOpen : undefined}
      aria-selected={chosen}
      data-active={isActive || undefined}
      style={{ '--depth': String(Math.min(depth, 12)) }}
      title={row.kind === 'key' || row.kind === 'branch' ? plainText(row.label) : undefined}
      onClick={onAct}
    >
      <span class="twig" aria-hidden="true" />
      <RowText row={row} />
    </div>
  )
}

function RowText({ row }: { readonly row: TreeRow }) {
  switch (row.kind) {
    case 'key':
      return (
        <>
          <KeyText text={row.label} empty="(no further name)" />
          {row.key.lease !== 0 && <span class="leased" title="It goes with a lease" aria-label="goes with a lease" />}
        </>
      )
    case 'branch':
      return <KeyText text={row.label} />
    case 'more':
      return <span class="link">Show more</span>
    case 'first':
      return <span class="link">Back to the first</span>
    case 'loading':
      return <span class="faint">Reading …</span>
    case 'empty':
      return <span class="faint">{row.depth === 1 && row.level === '' ? 'The store is empty.' : 'No keys.'}</span>
    case 'failed':
      return null
  }
}

const idOf = (at: number): string => `tree-row-${at}`

function isChosen(row: TreeRow, chosen: string | null): boolean {
  return (row.kind === 'key' && row.id === chosen) || (row.kind === 'branch' && row.id === chosen)
}

/** The row that the keys act on: the one that was active, else the one that is chosen, else the first. */
function activeAt(rows: readonly TreeRow[], active: string | null, chosen: string | null): number {
  const at = rows.findIndex(({ id }) => id === active)
  return at >= 0
    ? at
    : Math.max(
        0,
        rows.findIndex(({ id }) => id === chosen),
      )
}

function toggle(tree: KeyTree, row: TreeRow & { readonly kind: 'branch' }): void {
  if (row.isOpen) tree.close(row.prefix)
  else void tree.open(row.prefix)
}

async function readOn(tree: KeyTree, { kind, level }: TreeRow): Promise<void> {
  if (kind === 'more') await tree.more(level)
  else if (kind === 'first' || kind === 'failed') await tree.first(level)
}

/** Where a key of the keyboard leads: to another row, to the action of this one, or nowhere. */
function moved(tree: KeyTree, rows: readonly TreeRow[], at: number, key: string): number | 'act' | null {
  const row = rows[at]
  if (row === undefined) return null
  switch (key) {
    case 'ArrowDown':
      return Math.min(at + 1, rows.length - 1)
    case 'ArrowUp':
      return Math.max(at - 1, 0)
    case 'PageDown':
      return Math.min(at + 15, rows.length - 1)
    case 'PageUp':
      return Math.max(at - 15, 0)
    case 'Home':
      return 0
    case 'End':
      return rows.length - 1
    case 'Enter':
    case ' ':
      return 'act'
    case 'ArrowRight':
      if (row.kind !== 'branch') return null
      if (row.isOpen) return Math.min(at + 1, rows.length - 1)
      toggle(tree, row)
      return at
    case 'ArrowLeft':
      if (row.kind === 'branch' && row.isOpen) {
        toggle(tree, row)
        return at
      }
      return parentAt(rows, at)
    default:
      return null
  }
}

function parentAt(rows: readonly TreeRow[], at: number): number {
  const depth = rows[at]?.depth ?? 1
  for (let above = at - 1; above >= 0; above--) if ((rows[above]?.depth ?? 0) < depth) return above
  return at
}
