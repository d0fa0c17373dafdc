import { useEffect, useState } from 'preact/hooks'
import { KeyText } from '../data/key-text.tsx'
import { keysHref, watchHref, type WatchTarget } from '../data/places.ts'
import { bytes, count, plural, timeOfDay } from '../lib/format.ts'
import { goTo, useRoute } from '../lib/route.ts'
import { useStore } from '../lib/store.ts'
import { Button } from '../parts/button.tsx'
import { Field } from '../parts/field.tsx'
import { FailureNotice, Notice } from '../parts/notice.tsx'
import { Badge, Card, Page } from '../parts/page.tsx'
import { Toggle } from '../parts/toggle.tsx'
import { isCompacted, WatchFeed, type FeedState, type FeedView, type WatchedChange } from './watch-feed.ts'
import { nodeWatches } from './watch-source.ts'

/** Changes as they happen. */
export function WatchPage() {
  const { query } = useRoute()
  const target = targetIn(query)
  return (
    <Page title="Watch" lead="Changes of a key, of the keys with a prefix, or of all, as they happen.">
      <TargetForm target={target} place={query.toString()} />
      {target !== null && <Watch key={query.toString()} target={target} since={sinceIn(query)} />}
    </Page>
  )
}

function targetIn(query: URLSearchParams): WatchTarget | null {
  const [key, prefix] = [query.get('key'), query.get('prefix')]
  if (key !== null && key !== '') return { key }
  return prefix === null ? null : { prefix }
}

/** The revision that the address names; null: from now on. */
function sinceIn(query: URLSearchParams): number | null {
  const text = query.get('since') ?? ''
  return isRevision(text) ? Number(text) : null
}

function isRevision(text: string): boolean {
  return /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))
}

interface TargetFormProps {
  readonly target: WatchTarget | null
  /** The address, which may be changed from elsewhere. */
  readonly place: string
}

function TargetForm({ target, place }: TargetFormProps) {
  const named = namedBy(target)
  const [kind, setKind] = useState(named.kind)
  const [text, setText] = useState(named.text)
  const [since, setSince] = useState('')
  useEffect(() => {
    setKind(named.kind)
    setText(named.text)
    setSince('')
  }, [place])
  const mistake = since === '' || isRevision(since) ? null : 'A revision is a whole number.'
  const isReady = mistake === null && (kind === 'prefix' || text !== '')
  const submit = (event: Event): void => {
    event.preventDefault()
    if (isReady) goTo(watchHref(kind === 'key' ? { key: text } : { prefix: text }, since === '' ? undefined : since))
  }
  return (
    <form class="card watch-form" onSubmit={submit}>
      <Toggle
        label="What to watch"
        choices={[
          { value: 'prefix', text: 'Prefix' },
          { value: 'key', text: 'Key' },
        ]}
        value={kind}
        onChange={setKind}
      />
      <Field
        label={kind === 'key' ? 'Key' : 'Prefix'}
        value={text}
        onInput={setText}
        placeholder={kind === 'key' ? '' : 'all keys'}
        mono
      />
      <Field label="After revision" value={since} onInput={setSince} placeholder="from now on" mistake={mistake} />
      <Button type="submit" kind="primary" disabled={!isReady}>
        Watch
      </Button>
    </form>
  )
}

function namedBy(target: WatchTarget | null): { readonly kind: 'prefix' | 'key'; readonly text: string } {
  if (target === null) return { kind: 'prefix', text: '' }
  return 'key' in target ? { kind: 'key', text: target.key } : { kind: 'prefix', text: target.prefix }
}

function Watch({ target, since }: { readonly target: WatchTarget; readonly since: number | null }) {
  const [feed] = useState(() => new WatchFeed(target, since, nodeWatches))
  const view = useStore(feed.view)
  useEffect(() => {
    feed.start()
    return () => feed.stop()
  }, [feed])
  const { state, changes, dropped } = view
  const name = 'key' in target ? target.key : target.prefix
  const isStill = state.kind === 'paused' || state.kind === 'ended'
  return (
    <Card
      title={'key' in target ? 'A key' : target.prefix === '' ? 'All keys' : 'A prefix'}
      tools={
        <div class="tools">
          {!isCompacted(state) && (
            <Button small onClick={() => (isStill ? feed.start() : feed.pause())}>
              {isStill ? 'Go on' : 'Pause'}
            </Button>
          )}
          <Button small disabled={changes.length === 0} onClick={() => feed.clear()}>
            Clear
          </Button>
        </div>
      }
    >
      {name !== '' && (
        <p class="long-text mono">
          <KeyText text={name} />
        </p>
      )}
      <StateLine view={view} />
      {state.kind === 'ended' && <Ended state={state} onFromNow={() => feed.startFromNow()} />}
      <Changes changes={changes} />
      {dropped > 0 && <p class="faint">{plural(dropped, 'older change')} made room for these.</p>}
    </Card>
  )
}

/** How the watch stands. It is read out when the state changes, and not with each revision. */
function StateLine({ view: { state, revision } }: { readonly view: FeedView }) {
  const tone = { live: 'good', connecting: 'warn', paused: 'warn', lost: 'bad', ended: 'bad' }[state.kind]
  return (
    <p class="watch-state">
      <span class={`dot ${tone}`} aria-hidden="true" />
      <span role="status">{wordsFor(state)}</span>
      {revision !== null && <span class="faint">Nothing is missing up to revision {count(revision)}.</span>}
    </p>
  )
}

function wordsFor(state: FeedState): string {
  switch (state.kind) {
    case 'connecting':
      return 'Connecting …'
    case 'live':
      return 'Live.'
    case 'paused':
      return 'Paused. It goes on where it stopped.'
    case 'lost':
      return `Disconnected since ${timeOfDay(state.since)}: ${state.why}. Trying again …`
    case 'ended':
      return 'Ended.'
  }
}

function Ended({
  state,
  onFromNow,
}: {
  readonly state: FeedState & { readonly kind: 'ended' }
  readonly onFromNow: () => void
}) {
  const button = (
    <Button small onClick={onFromNow}>
      Watch from now on
    </Button>
  )
  if (!isCompacted(state)) return <FailureNotice failure={state.error} action={button} />
  return (
    <Notice tone="warn" title="What happened meanwhile is not kept any more" code="compacted" action={button}>
      <p>The watch can begin anew; the changes in between are missing then.</p>
    </Notice>
  )
}

function Changes({ changes }: { readonly changes: readonly WatchedChange[] }) {
  if (changes.length === 0) return <p class="empty">No change yet.</p>
  return (
    <ol class="changes" aria-label="Changes, the newest first" reversed>
      {changes.map((change) => (
        <li key={change.serial}>
          <Change change={change} />
        </li>
      ))}
    </ol>
  )
}

function Change({ change: { type, key, revision, version, size, preview, at } }: { readonly change: WatchedChange }) {
  return (
    <>
      <span class="change-head">
        <Badge tone={type === 'delete' ? 'bad' : version === 1 ? 'good' : 'info'}>
          {type === 'delete' ? 'deleted' : version === 1 ? 'created' : 'changed'}
        </Badge>
        <a class="mono" href={keysHref({ key, tab: 'history' })}>
          <KeyText text={key} />
        </a>
      </span>
      <span class="change-value mono">
        {preview === null ? (
          size !== null && <span class="faint">binary</span>
        ) : preview === '' ? (
          <span class="faint">empty</span>
        ) : (
          <KeyText text={preview} />
        )}
      </span>
      <span class="change-facts faint">
        {size !== null && `${bytes(size)} · `}revision {count(revision)} · {timeOfDay(at)}
      </span>
    </>
  )
}
