import type { ComponentChildren } from 'preact'
import { useEffect, useErrorBoundary, useRef } from 'preact/hooks'
import { cluster, otherClusters } from './api/cluster.ts'
import { metrics } from './api/metrics.ts'
import { asksForToken, ProblemError } from './api/problem.ts'
import { token } from './api/token.ts'
import { bounds } from './bounds.ts'
import { dashboardOf } from './cluster/members.ts'
import type { PageEntry } from './lib/page-entry.ts'
import { groups } from './pages.ts'
import { Button } from './parts/button.tsx'
import { duration, timeOfDay } from './lib/format.ts'
import { openDialogs } from './parts/dialog.tsx'
import { complain, Messages } from './parts/messages.tsx'
import { FailureNotice, Notice } from './parts/notice.tsx'
import { Page } from './parts/page.tsx'
import { hrefOf, useRoute } from './lib/route.ts'
import { sentence } from './lib/sentence.ts'
import { useStore } from './lib/store.ts'
import { chooseTheme, theme } from './lib/theme.ts'
import { Toggle } from './parts/toggle.tsx'
import { TokenForm } from './parts/token-form.tsx'

const pages = groups.flatMap((group) => group.pages)

/** The frame around every page. */
export function App() {
  const route = useRoute()
  const page = pages.find(({ name }) => name === route.page) ?? pages[0]
  useEffect(() => cluster.start(), [])
  // Charts begin where the page was opened, whichever part of it is looked at.
  useEffect(() => metrics.start(), [])
  useEffect(() => otherClusters.follow(tellOfOtherCluster), [])
  useTitle(page)
  const View = page?.view
  // A dialog asks by itself: nobody reaches what is behind it.
  const isBehind = useStore(openDialogs) > 0
  // Nothing that a page holds of one cluster is meant for another.
  const others = useStore(otherClusters)
  return (
    <>
      <a class="skip" href="#main" onClick={skipToMain}>
        Skip to the content
      </a>
      <div class="shell">
        <Side current={page?.name ?? ''} />
        <main id="main" tabIndex={-1}>
          <Gone />
          {!isBehind && <TokenForm />}
          <OtherVersion />
          {page !== undefined && View !== undefined && (
            <Guarded key={`${page.name} ${others}`} title={page.text}>
              <View />
            </Guarded>
          )}
        </main>
      </div>
      <Messages />
    </>
  )
}

interface GuardedProps {
  readonly title: string
  readonly children: ComponentChildren
}

/** A page that fails leaves the way to the others. */
function Guarded({ title, children }: GuardedProps) {
  const [error, tryAgain] = useErrorBoundary() as readonly [unknown, () => void]
  if (error === undefined) return <>{children}</>
  const action = (
    <div class="tools">
      <Button small onClick={tryAgain}>
        Try again
      </Button>
      <LoadAgain />
    </div>
  )
  return (
    <Page title={title}>
      <FailureNotice failure={error} action={action} />
    </Page>
  )
}

/** A node that was upgraded has another page than this one, which may not understand what it says. */
function OtherVersion() {
  const { value } = useStore(cluster.seen)
  const first = useRef<string | null>(null)
  if (value === null) return null
  const { id, version } = value.node
  first.current ??= version
  if (first.current === version) return null
  return (
    <Notice tone="info" title={`Node ${id} runs version ${version} by now`} action={<LoadAgain />}>
      <p>This page is of version {first.current}. Edits that are not saved are dropped when it is loaded again.</p>
    </Notice>
  )
}

function LoadAgain() {
  return (
    <Button small onClick={() => location.reload()}>
      Load the page again
    </Button>
  )
}

function tellOfOtherCluster(): void {
  complain(
    'Another cluster answers at this address now. All of it is read anew; edits that were not saved are dropped.',
  )
}

/** Whatever the token has opened ends with the page: watches, downloads, and what they have brought. */
function forgetToken(): void {
  token.forget()
  location.reload()
}

/** The address is that of the page, so it stays as it is. */
function skipToMain(event: Event): void {
  event.preventDefault()
  document.getElementById('main')?.focus()
}

/** The name of the page and of the node in the tab of the browser. */
function useTitle(page: PageEntry | undefined): void {
  const { value } = useStore(cluster.seen)
  const id = value?.node.id
  useEffect(() => {
    document.title = [page?.text, id === undefined ? null : `node ${id}`, 'Quorate'].filter(Boolean).join(' · ')
  }, [page, id])
}

function Side({ current }: { readonly current: string }) {
  return (
    <header class="side">
      <Identity />
      <nav aria-label="Pages">
        {groups.map(({ title, pages: entries }) => (
          <div class="group" key={title}>
            <p class="group-title">{title}</p>
            {entries.map(({ name, text }) => (
              <a key={name} href={hrefOf(name)} aria-current={name === current ? 'page' : undefined}>
                {text}
              </a>
            ))}
          </div>
        ))}
      </nav>
      <div class="side-foot">
        <Toggle
          label="Theme"
          value={useStore(theme)}
          onChange={chooseTheme}
          choices={[
            { value: 'system', text: 'Auto', title: 'As the system has it' },
            { value: 'light', text: 'Light' },
            { value: 'dark', text: 'Dark' },
          ]}
        />
        {useStore(token.known) && (
          <Button kind="quiet" small onClick={forgetToken}>
            Forget the token
          </Button>
        )}
      </div>
    </header>
  )
}

/** Which node answers, and how it is. */
function Identity() {
  const { value, failure, failingSince } = useStore(cluster.seen)
  const silence = asksForToken(failure) ? 'needs a token' : failure instanceof ProblemError ? 'refuses' : 'no answer'
  const state = failingSince === null ? (value?.node.state ?? 'connecting') : silence
  const isServing = value !== null && value.leader !== null && value.node.state !== 'removed'
  const tone = failingSince !== null ? 'bad' : isServing ? 'good' : 'warn'
  return (
    <div class="identity">
      <span class="logo" aria-hidden="true" />
      <div>
        <strong>Quorate</strong>
        <p>
          <span class={`dot ${tone}`} aria-hidden="true" />
          {value === null ? state : `node ${value.node.id}, ${state}`}
        </p>
      </div>
    </div>
  )
}

/** Says that the node of this page is gone, or tells nothing more. It goes away by itself. */
function Gone() {
  const { value, at, failure, failingSince } = useStore(cluster.seen)
  if (failingSince === null) return null
  if (asksForToken(failure)) {
    // The form for the token says the rest.
    return value === null ? null : (
      <div class="gone" role="alert">
        <strong>Node {value.node.id} asks for a token.</strong> What you see is from {timeOfDay(at)}.
      </div>
    )
  }
  if (Date.now() - failingSince < bounds.goneAfterMs) return null
  const isRefusal = failure instanceof ProblemError
  // The page itself tells of a refusal where it has nothing else to show.
  if (isRefusal && value === null) return null
  const who = value === null ? 'The node' : `Node ${value.node.id}`
  return (
    <div class="gone" role="alert">
      <strong>{isRefusal ? `${who} tells nothing more.` : `${who} does not answer.`}</strong>{' '}
      {isRefusal && `${sentence(failure.message)} `}
      {value !== null && `What you see is from ${timeOfDay(at)}, ${duration(roundedSeconds(Date.now() - at))} ago. `}
      {!isRefusal && 'The page goes on by itself when it is back.'}
      {value !== null && !isRefusal && <OtherNodes />}
    </div>
  )
}

function roundedSeconds(ms: number): number {
  return Math.max(1, Math.round(ms / 1000)) * 1000
}

/** Links to the dashboards of the other nodes. */
function OtherNodes() {
  const { value } = useStore(cluster.seen)
  const others = Object.entries(value?.nodes ?? {}).flatMap(([id, member]) => {
    const href = Number(id) === value?.node.id ? null : dashboardOf(member)
    return href === null ? [] : [[id, href] as const]
  })
  if (others.length === 0) return null
  return (
    <span class="others">
      {' '}
      Meanwhile:{' '}
      {others.map(([id, href]) => (
        <a key={id} href={href}>
          node {id}
        </a>
      ))}
    </span>
  )
}
