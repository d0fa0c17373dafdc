import { useEffect, useRef, useState } from 'preact/hooks'

export type Reading<Value> =
  | { readonly kind: 'reading' }
  | { readonly kind: 'failed'; readonly failure: unknown }
  | { readonly kind: 'read'; readonly value: Value; readonly since: Outdated | null }

/** The value may be old: the looks since then have failed. */
export interface Outdated {
  /** When it was read, by the clock of the browser. */
  readonly at: number
  readonly failure: unknown
}

export interface Read<Value> {
  readonly reading: Reading<Value>
  /** Reads again, now. */
  readonly again: () => void
}

type Ask<Value> = (signal: AbortSignal, before: Value | null) => Promise<Value>

interface ReadingOptions {
  /** Reads again and again, while somebody sees the page. */
  readonly everyMs?: number
}

/**
 * Reads something, anew for another `subject`, and perhaps again and again. What was read stays until there is something newer. `ask` is given
 * what was read of the same subject before.
 */
export function useReading<Value>(subject: string, ask: Ask<Value>, options: ReadingOptions = {}): Read<Value> {
  const { everyMs } = options
  const [state, setState] = useState<{ subject: string; reading: Reading<Value> }>({ subject, reading: READING })
  const [turn, setTurn] = useState(0)
  const asking = useRef(ask)
  asking.current = ask
  const known = useRef<{ subject: string; value: Value; at: number } | null>(null)

  useEffect(() => {
    const leaving = new AbortController()
    const { signal } = leaving
    let timer: ReturnType<typeof setTimeout> | null = null
    const read = async (): Promise<void> => {
      try {
        const before = known.current?.subject === subject ? known.current.value : null
        const value = await asking.current(signal, before)
        if (signal.aborted) return
        known.current = { subject, value, at: Date.now() }
        setState({ subject, reading: { kind: 'read', value, since: null } })
      } catch (failure) {
        if (signal.aborted) return
        const { current } = known
        // A look that fails leaves what was seen.
        if (everyMs === undefined || current?.subject !== subject)
          setState({ subject, reading: { kind: 'failed', failure } })
        else setState({ subject, reading: { kind: 'read', value: current.value, since: { at: current.at, failure } } })
      }
      if (everyMs !== undefined) timer = setTimeout(next, everyMs)
    }
    const next = (): void => {
      if (document.hidden) timer = setTimeout(next, everyMs)
      else void read()
    }
    void read()
    return () => {
      leaving.abort()
      if (timer !== null) clearTimeout(timer)
    }
  }, [subject, turn, everyMs])

  const reading = state.subject === subject ? state.reading : READING
  return { reading, again: () => setTurn((before) => before + 1) }
}

const READING = { kind: 'reading' } as const
