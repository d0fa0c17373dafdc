import { bounds } from '../bounds.ts'
import { Button } from './button.tsx'
import { Store, useStore } from '../lib/store.ts'

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

function add(tone: Message['tone'], text: string): Message {
  const message = { number: numbers++, tone, text }
  messages.set([...messages.value, message].slice(-bounds.messagesMax))
  return message
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
