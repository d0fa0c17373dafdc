import type { Owner } from '../support/temporary-directory.ts'
import { soakOptions, USAGE, type SoakOptions } from './options.ts'
import { soak } from './soak.ts'

/** `npm run soak`: what the short form in the tests does in seconds, for as long as one likes. */
async function main(options: SoakOptions): Promise<number> {
  const handlers: (() => Promise<void>)[] = []
  const owner: Owner = { teardown: (handler) => void handlers.unshift(handler) }
  try {
    const { lines, complaints } = await soak(owner, options)
    for (const line of lines) console.log(line)
    return complaints.length === 0 ? 0 : 1
  } finally {
    for (const handler of handlers) await handler()
  }
}

try {
  process.exitCode = await main(soakOptions(process.argv.slice(2)))
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error))
  console.error(USAGE)
  process.exitCode = 2
}
