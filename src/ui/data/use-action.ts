import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { complainOf } from '../parts/messages.tsx'

export interface Action {
  readonly isBusy: boolean
  /** Why it failed last; null: it did not. */
  readonly failure: unknown
  /** Does something, one thing at a time. `act` is told whether the person is still there to see what follows. */
  readonly run: (act: (isThere: () => boolean) => Promise<void>) => void
}

/** Something that a person starts, which takes its time and may fail. `what`: of what it is said that it failed when the person has left by then. */
export function useAction(what: string): Action {
  const [isBusy, setBusy] = useState(false)
  const [failure, setFailure] = useState<unknown>(null)
  const isHere = useRef(true)
  useLayoutEffect(() => () => void (isHere.current = false), [])
  const start = async (act: (isThere: () => boolean) => Promise<void>): Promise<void> => {
    setBusy(true)
    setFailure(null)
    try {
      await act(() => isHere.current)
    } catch (error) {
      if (isHere.current) setFailure(error)
      else complainOf(what, error)
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
