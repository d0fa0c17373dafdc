import type { AuthAccess, Guard, Watch } from '../../../src/api/services.ts'
import { RequestError } from '../../../src/lib/errors.ts'

/** A watch that ends when its client may not have it any more, as the HTTP server ends one: what was not sent by then is not sent. */
export function guardedWatch(watch: Watch, guard: Guard, auth: Pick<AuthAccess, 'onChange'>): Watch {
  let denied: RequestError | null = null
  const look = (): void => {
    if (denied !== null) return
    try {
      guard.check()
    } catch (error) {
      if (!(error instanceof RequestError)) throw error
      denied = error
      watch.close()
    }
  }
  const end = auth.onChange(look)
  // What has changed between the beginning of the watch and now.
  look()
  return {
    context: watch.context,
    next: async (bytesMax) => {
      const items = await watch.next(bytesMax)
      if (denied === null) return items
      end()
      throw denied
    },
    close: () => {
      end()
      watch.close()
    },
  }
}
