import { bounds } from '../bounds.ts'
import { Button } from './button.tsx'
import { Store, useStore } from '../lib/store.ts'

interface Message {
  readonly number: number
  readonly text: string
}

const messages = new Store<readonly Message[]>([])
let numbers = 0

/** Says at the edge of the page that something is done. */
export function say(text: string): void {
  const message = { number: numbers++, text }
  messages.set([...messages.value, message].slice(-bounds.messagesMax))
  setTimeout(() => drop(message.number), bounds.messageMs)
}

function drop(number: number): void {
  messages.set(messages.value.filter((message) => message.number !== number))
}

export function Messages() {
  return (
    <div class="messages" role="status" aria-live="polite">
      {useStore(messages).map(({ number, text }) => (
        <div class="message" key={number}>
          <span>{text}</span>
          <Button kind="quiet" small label="Dismiss" onClick={() => drop(number)}>
            ×
          </Button>
        </div>
      ))}
    </div>
  )
}
