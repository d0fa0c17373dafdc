import { ProblemError, UnreachableError } from '../api/problem.ts'
import { bounds } from '../bounds.ts'
import { sentence } from '../lib/sentence.ts'
import { Store, useStore } from '../lib/store.ts'
import { Button } from './button.tsx'

interface Message {
  readonly number: number
  readonly tone: 'good' | 'bad'
  readonly text: string
}

const messages = new Store<readonly Message[]>([])
let numbers = 0

/** Says at the edge of the page that something is done. */
export function say(text: string): void {
  const { number } = add('good', text)
  setTimeout(() => drop(number), bounds.messageMs)
}

/** Says that something has failed of which nothing else on the page tells any more. It stays until it is dismissed. */
export function complain(text: string): void {
  add('bad', text)
}

/** Says that `what` has failed, after whoever began it has left. What the person ended by leaving is no failure. */
export function complainOf(what: string, error: unknown): void {
  if (error instanceof DOMException && error.name === 'AbortError') return
  const isAmbiguous =
    (error instanceof UnreachableError && error.isAmbiguous) ||
    (error instanceof ProblemError && error.problem.ambiguous)
  const rest = isAmbiguous ? ' Whether it has taken effect is not known: look before you try again.' : ''
  complain(`${what}: ${sentence(error instanceof Error ? error.message : String(error))}${rest}`)
}

function add(tone: Message['tone'], text: string): Message {
  const message = { number: numbers++, tone, text }
  messages.set(withRoom([...messages.value, message]))
  return message
}

/** What tells of a success makes room before what has to be dismissed. */
function withRoom(all: readonly Message[]): readonly Message[] {
  if (all.length <= bounds.messagesMax) return all
  const oldest = all.find(({ tone }) => tone === 'good') ?? all[0]
  return withRoom(all.filter((message) => message !== oldest))
}

function drop(number: number): void {
  messages.set(messages.value.filter((message) => message.number !== number))
}

export function Messages() {
  return (
    <div class="messages" role="status" aria-live="polite">
      {useStore(messages).map(({ number, tone, text }) => (
        <div class={`message ${tone}`} key={number}>
          <span>{text}</span>
          <Button kind="quiet" small label="Dismiss" onClick={() => drop(number)}>
            ×
          </Button>
        </div>
      ))}
    </div>
  )
}
