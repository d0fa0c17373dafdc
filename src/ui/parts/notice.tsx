import type { ComponentChildren } from 'preact'
import { ProblemError, UnreachableError } from '../api/problem.ts'
import { sentence } from '../lib/sentence.ts'
import { Words } from './words.tsx'

export type Tone = 'info' | 'good' | 'warn' | 'bad'

interface NoticeProps {
  readonly tone: Tone
  readonly title?: string
  readonly code?: string
  readonly children?: ComponentChildren
  /** What one may do about it. */
  readonly action?: ComponentChildren
}

const words: Readonly<Record<Tone, string>> = { info: 'Note', good: 'Done', warn: 'Warning', bad: 'Error' }

/** A box with something to know. The tone is a word as well as a colour. */
export function Notice({ tone, title, code, children, action }: NoticeProps) {
  return (
    <div class={`notice ${tone}`} role={tone === 'bad' ? 'alert' : 'note'}>
      <span class="mark" aria-hidden="true" />
      <div class="body">
        <p class="head">
          <span class="unseen">{words[tone]}: </span>
          {title !== undefined && <strong>{title}</strong>}
          {code !== undefined && <code>{code}</code>}
        </p>
        {children !== undefined && <div class="text">{children}</div>}
      </div>
      {action !== undefined && <div class="action">{action}</div>}
    </div>
  )
}

/** What a failed request said, in its own words. */
export function FailureNotice({ failure, action }: { readonly failure: unknown; readonly action?: ComponentChildren }) {
  if (failure instanceof ProblemError) {
    const { title, detail, code, ambiguous } = failure.problem
    return (
      <Notice tone="bad" title={title} code={code} action={action}>
        <p>
          <Words text={sentence(detail)} />
        </p>
        <Issues problem={failure.problem} />
        {ambiguous && <p>The change may have taken effect, or may still do so: look before you try again.</p>}
      </Notice>
    )
  }
  if (failure instanceof UnreachableError) {
    return (
      <Notice tone="bad" title="No answer" action={action}>
        <p>{sentence(failure.message)}</p>
        {failure.isAmbiguous && <p>Whether the change has taken effect is not known: look before you try again.</p>}
      </Notice>
    )
  }
  return (
    <Notice tone="bad" title="The page failed" action={action}>
      <p>{sentence(failure instanceof Error ? failure.message : String(failure))}</p>
    </Notice>
  )
}

/** Each mistake in a request, where the problem lists them and the detail does not say it already. */
function Issues({ problem }: { readonly problem: ProblemError['problem'] }) {
  const { issues } = problem
  if (!Array.isArray(issues) || issues.length < 2) return null
  const lines = (issues as readonly { readonly path?: unknown; readonly message?: unknown }[]).map(
    ({ path, message }) => `${String(path)} ${String(message)}`,
  )
  return (
    <ul>
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  )
}
