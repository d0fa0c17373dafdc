import type { ComponentChildren } from 'preact'

interface PageProps {
  readonly title: string
  /** One line below the title. */
  readonly lead?: ComponentChildren
  /** At the right of the title. */
  readonly tools?: ComponentChildren
  readonly children: ComponentChildren
}

export function Page({ title, lead, tools, children }: PageProps) {
  return (
    <div class="page">
      <header class="page-head">
        <div>
          <h1 tabIndex={-1}>{title}</h1>
          {lead !== undefined && <p class="lead">{lead}</p>}
        </div>
        {tools !== undefined && <div class="tools">{tools}</div>}
      </header>
      {children}
    </div>
  )
}

interface CardProps {
  readonly title?: string
  readonly tools?: ComponentChildren
  readonly children: ComponentChildren
  readonly class?: string
}

/** A part of a page with a frame. */
export function Card({ title, tools, children, class: name = '' }: CardProps) {
  return (
    <section class={`card ${name}`}>
      {(title !== undefined || tools !== undefined) && (
        <header>
          {title !== undefined && <h2>{title}</h2>}
          {tools}
        </header>
      )}
      {children}
    </section>
  )
}

/** A word with a frame: a role, a state. */
export function Badge({ tone = 'plain', children }: { readonly tone?: string; readonly children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>
}

/** Names and values, one beside the other. */
export function Facts({ facts }: { readonly facts: readonly (readonly [name: string, value: ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

/** How far something has come, in percent. */
export function Progress({ percent, label }: { readonly percent: number; readonly label: string }) {
  return <progress max={100} value={Math.min(100, Math.max(0, percent))} aria-label={label} />
}
