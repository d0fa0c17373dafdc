import { useState } from 'preact/hooks'
import { token, tokenMistake } from '../api/token.ts'
import { bounds } from '../bounds.ts'
import { sentence } from '../lib/sentence.ts'
import { useStore } from '../lib/store.ts'
import { Button } from './button.tsx'
import { Field } from './field.tsx'
import { Words } from './words.tsx'

/** Asks for a token when the node wants one. The readings that were refused for it are sent again. */
export function TokenForm() {
  const asked = useStore(token.asked)
  const [secret, setSecret] = useState('')
  if (asked === null) return null
  const mistake = tokenMistake(secret.trim())
  const isReady = secret.trim() !== '' && mistake === null
  const onSubmit = (event: Event): void => {
    event.preventDefault()
    if (!isReady) return
    token.enter(secret.trim())
    setSecret('')
  }
  return (
    <form class="card token" onSubmit={onSubmit}>
      <h2>{asked.wasGiven ? 'Another token, please' : 'A token, please'}</h2>
      <p>
        <Words text={sentence(asked.detail)} /> The page keeps it until this tab is closed, and sends it to this node
        alone.
      </p>
      <Field
        label="Token"
        secret
        value={secret}
        onInput={setSecret}
        maxLength={bounds.tokenCharactersMax}
        mistake={mistake}
        mono
        autoFocus
      />
      <div class="buttons">
        <Button type="submit" kind="primary" disabled={!isReady}>
          Go on
        </Button>
      </div>
    </form>
  )
}
