import type { Load, OpenLoad } from '../load.ts'
import { Generator } from './generator.ts'

/** A generator in a process of its own: the parent sends the load, then perhaps `stop`, and is sent the report. */
let generator: Generator | null = null

process.on('message', (message: Load | OpenLoad | 'stop') => {
  if (message === 'stop') return generator?.stop()
  generator = new Generator(message)
  void generator.run().then(
    (report) => process.send?.({ report }, () => process.exit(0)),
    (error: unknown) => process.send?.({ error: String(error) }, () => process.exit(1)),
  )
})
process.on('disconnect', () => process.exit(1))
