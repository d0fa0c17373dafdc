import { setTimeout as delay } from 'node:timers/promises'

/** Long enough for a busy machine. What is waited for usually comes much sooner. */
export const patienceMs = 60_000

const pollMs = 20

/** Repeats `ask` until it returns something other than null. After `deadlineMs` it throws, and says what was missing and why. */
export async function eventually<Answer>(
  what: string,
  ask: () => Promise<Answer | null> | Answer | null,
  deadlineMs: number = patienceMs,
): Promise<Answer> {
  const deadline = performance.now() + deadlineMs
  let failure = ''
  for (;;) {
    try {
      const answer = await ask()
      if (answer !== null) return answer
      failure = ''
    } catch (error) {
      failure = `; the last try failed: ${error instanceof Error ? error.message : String(error)}`
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${deadlineMs} ms${failure}`)
    await delay(pollMs)
  }
}
