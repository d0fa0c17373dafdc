import { limits } from '../limits.ts'

/**
 * Resolves with what `settle` is called with, or with null once `ms` have passed or one of the signals aborts. `begin` returns a function that is
 * called when the wait is over, before anything else can happen.
 */
export async function awaited<T>(
  ms: number,
  signals: readonly AbortSignal[],
  begin: (settle: (value: T) => void) => () => void,
): Promise<T | null> {
  if (ms <= 0 || signals.some(({ aborted }) => aborted)) return null
  return await new Promise((resolve) => {
    const end = (value: T | null): void => {
      clearTimeout(timer)
      for (const signal of signals) signal.removeEventListener('abort', giveUp)
      forget()
      resolve(value)
    }
    const giveUp = (): void => end(null)
    const timer = setTimeout(giveUp, Math.min(ms, limits.timerMsMax))
    for (const signal of signals) signal.addEventListener('abort', giveUp)
    const forget = begin(end)
  })
}

/** Waits until `ms` have passed, or one of the signals aborts. */
export async function pause(ms: number, signals: readonly AbortSignal[]): Promise<void> {
  await awaited(ms, signals, () => () => undefined)
}
