import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { bounds } from '../bounds.ts'
import { keysHref, keysPlaceIn, type KeysPlace } from '../data/places.ts'
import { Readable } from '../data/readable.tsx'
import { OwnReadsNotice } from '../data/shown.tsx'
import { goTo, replaceRoute, useRoute } from '../lib/route.ts'
import { useStore } from '../lib/store.ts'
import { Button } from '../parts/button.tsx'
import { Field } from '../parts/field.tsx'
import { Page } from '../parts/page.tsx'
import { BranchPane } from './branch-pane.tsx'
import { KeyPane } from './key-pane.tsx'
import { KeyTree } from './key-tree.ts'
import { NodeListing } from './keys-api.ts'
import { NewKeyPane } from './new-key-pane.tsx'
import { rememberSeparator, rememberedSeparator } from './separator.ts'
import { TreeView } from './tree-view.tsx'

/** The keys of the store as a tree, and the one that is open beside it. */
export function KeysPage() {
  const place = keysPlaceIn(useRoute().query)
  const [separator, setSeparator] = useState(rememberedSeparator)
  const tree = useTree(place.prefix ?? '', separator)
  useEffect(() => {
    if (place.key !== undefined) void tree.reveal(place.key)
  }, [tree, place.key])
  const isOpen = place.key !== undefined || place.new !== undefined
  const root = place.prefix === undefined ? {} : { prefix: place.prefix }
  return (
    <Page
      title="Keys"
      tools={
        <>
          <Button onClick={() => void tree.reload()}>Read again</Button>
          <a class="button primary" href={keysHref({ ...root, new: place.branch ?? place.prefix ?? '' })}>
            New key
          </a>
        </>
      }
    >
      <OwnReadsNotice onChange={() => void tree.reload()} />
      <div class={`browser${isOpen ? ' open' : ''}`}>
        <section class="card browser-tree" aria-label="All keys">
          <TreeHead place={place} separator={separator} onSeparator={setSeparator} />
          <TreeView
            tree={tree}
            chosen={chosenId(place)}
            onKey={(key) => goTo(keysHref({ ...root, key }))}
            onBranch={(branch) => replaceRoute(keysHref({ ...root, branch }))}
          />
          <Refused tree={tree} />
        </section>
        <section class="card browser-pane" aria-label="What is open">
          {isOpen && (
            <a class="back" href={keysHref(root)}>
              ‹ All keys
            </a>
          )}
          <Pane place={place} root={root} tree={tree} />
        </section>
      </div>
    </Page>
  )
}

/** Where all of the tree was refused: which parts of it were not. */
function Refused({ tree }: { readonly tree: KeyTree }) {
  const [row] = useStore(tree.rows)
  return (
    <Readable
      failure={row?.kind === 'failed' ? row.failure : null}
      hrefFor={({ key, prefix }) => {
        if (key !== undefined) return keysHref({ key })
        return prefix === undefined ? null : keysHref({ prefix })
      }}
    />
  )
}

function useTree(prefix: string, separator: string): KeyTree {
  const [leaving, tree] = useMemo(() => {
    const controller = new AbortController()
    return [controller, new KeyTree({ prefix, separator }, new NodeListing(controller.signal))] as const
  }, [prefix, separator])
  useEffect(() => {
    void tree.load()
    return () => leaving.abort()
  }, [tree])
  return tree
}

function chosenId({ key, branch }: KeysPlace): string | null {
  if (key !== undefined) return `key ${key}`
  return branch === undefined ? null : `branch ${branch}`
}

interface TreeHeadProps {
  readonly place: KeysPlace
  readonly separator: string
  readonly onSeparator: (separator: string) => void
}

/** What the tree shows: the keys with a prefix, parted at a separator. */
function TreeHead({ place, separator, onSeparator }: TreeHeadProps) {
  const { prefix = '' } = place
  const [typed, setTyped] = useState(prefix)
  /** Where the address leads when nobody else changes it. The person may have typed on since it was changed from here. */
  const own = useRef(prefix)
  useEffect(() => {
    if (prefix === own.current) return
    own.current = prefix
    setTyped(prefix)
  }, [prefix])
  useEffect(() => {
    if (typed === prefix) return
    const timer = setTimeout(() => {
      own.current = typed
      replaceRoute(keysHref({ ...place, prefix: typed }))
    }, bounds.typingMs)
    return () => clearTimeout(timer)
  }, [typed, place.key, place.branch, place.new, place.tab])
  return (
    <div class="tree-head">
      <Field label="Prefix" value={typed} onInput={setTyped} placeholder="all keys" mono />
      <Field
        label="Separator"
        value={separator}
        onInput={(text) => {
          rememberSeparator(text)
          onSeparator(text)
        }}
        placeholder="none"
        maxLength={bounds.separatorCharactersMax}
        mono
      />
    </div>
  )
}

interface PaneProps {
  readonly place: KeysPlace
  readonly root: KeysPlace
  readonly tree: KeyTree
}

function Pane({ place, root, tree }: PaneProps) {
  const reload = (): void => void tree.reload()
  if (place.new !== undefined) {
    return (
      <NewKeyPane
        key={place.new}
        start={place.new}
        onWritten={(key, isThere) => {
          reload()
          if (isThere) goTo(keysHref({ ...root, key }))
        }}
        onOpen={(key) => goTo(keysHref({ ...root, key }))}
        onBegun={(start) => goTo(keysHref({ ...root, new: start }))}
        onClose={() => goTo(keysHref(root))}
      />
    )
  }
  if (place.key !== undefined) return <KeyPane place={place} name={place.key} onChanged={reload} />
  if (place.branch !== undefined) return <BranchPane key={place.branch} prefix={place.branch} />
  return (
    <p class="empty">
      Choose a key to see its value, its history and what it goes with. With the keyboard: the arrow keys move in the
      tree, Enter opens.
    </p>
  )
}
