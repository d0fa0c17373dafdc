import { useState } from 'preact/hooks'

export interface Action {
  readonly isBusy: boolean
  /** Why it failed last; null: it did not. */
  readonly failure: unknown
  /** Does something, one thing at a time. */
  readonly run: (act: () => Promise<void>) => void
}

/** Something that a person starts, which takes its time and may fail. */
export function useAction(): Action {
  const [isBusy, setBusy] = useState(false)
  const [failure, setFailure] = useState<unknown>(null)
  const start = async (act: () => Promise<void>): Promise<void> => {
    setBusy(true)
    setFailure(null)
    try {
      await act()
    } catch (error) {
      setFailure(error)
    } finally {
      setBusy(false)
    }
  }
  return {
    isBusy,
    failure,
    run: (act) => {
      if (!isBusy) void start(act)
    },
  }
}
