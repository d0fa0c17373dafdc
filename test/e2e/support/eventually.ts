import { setTimeout as delay } from 'node:timers/promises'

/** Long enough for a machine that does other work besides; what is waited for comes much sooner. */
export const patienceMs = 60_000

const pollMs = 20

/** Asks until `ask` gives something other than null. Throws after `deadlineMs`, saying what never came and why not. */
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
