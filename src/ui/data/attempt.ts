import { useState } from 'preact/hooks'
import { ProblemError } from '../api/problem.ts'

/**
 * An attempt to change something. It has a name, the `Idempotency-Key` of its requests: a change whose outcome is not known is sent again under
 * the same name, so that it does not happen twice. What was refused, or asks for something else, is another attempt.
 */
class Attempt {
  private name = drawName()

  async run<Answer>(change: (name: string) => Promise<Answer>): Promise<Answer> {
    try {
      const answer = await change(this.name)
      this.renew()
      return answer
    } catch (error) {
      if (error instanceof ProblemError && !error.problem.ambiguous) this.renew()
      throw error
    }
  }

  /** What is to be changed is something else by now. */
  renew(): void {
    this.name = drawName()
  }
}

export function useAttempt(): Attempt {
  const [attempt] = useState(() => new Attempt())
  return attempt
}

/** `crypto.randomUUID` is there on secure pages alone. */
function drawName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return `ui-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}
