import { parseArgs } from 'node:util'
import { watchThroughKills } from '../e2e/support/watch-run.ts'
import type { Owner } from '../support/temporary-directory.ts'

const CALM_MS = 1_500

/** `npm run soak:watches -- --minutes 10`: watches that are resumed through kills every few seconds, for as long as one likes. */
async function main(minutes: number): Promise<number> {
  const handlers: (() => Promise<unknown>)[] = []
  const owner: Owner = { teardown: (handler) => void handlers.unshift(handler) }
  try {
    const options = { durationMs: minutes * 60_000, calmMs: CALM_MS, writers: 4, pauseMs: 5 }
    const { complaints, ...counts } = await watchThroughKills(owner, options)
    console.log(
      Object.entries(counts)
        .map(([name, count]) => `${count} ${name}`)
        .join(', '),
    )
    for (const complaint of complaints) console.log(complaint)
    return complaints.length === 0 ? 0 : 1
  } finally {
    for (const handler of handlers) await handler()
  }
}

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } })
const minutes = Number(values.minutes)
if (minutes > 0) process.exitCode = await main(minutes)
else {
  console.error(`--minutes ${values.minutes} is no number above 0`)
  process.exitCode = 2
}
