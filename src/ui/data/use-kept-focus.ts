import { useEffect, useRef } from 'preact/hooks'

/** Gives the focus to the title of the page when what had it has gone away together with `what` was shown before. */
export function useKeptFocus(what: string | number | boolean | null): void {
  const before = useRef(what)
  useEffect(() => {
    if (before.current === what) return
    before.current = what
    if (document.activeElement === document.body) document.querySelector('h1')?.focus()
  }, [what])
}
