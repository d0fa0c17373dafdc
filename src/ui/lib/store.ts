import { useEffect, useState } from 'preact/hooks'

type Listener = () => void

/** A value that components follow. */
export class Store<Value> {
  private current: Value
  private readonly listeners = new Set<Listener>()

  constructor(first: Value) {
    this.current = first
  }

  get value(): Value {
    return this.current
  }

  set(next: Value): void {
    if (Object.is(next, this.current)) return
    this.current = next
    for (const listener of this.listeners) listener()
  }

  /** Gives what ends it. */
  follow(listener: Listener): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }
}

/** The value of the store; the component is drawn again when it changes. */
export function useStore<Value>(store: Store<Value>): Value {
  const [, redraw] = useState({})
  useEffect(() => {
    // The value may have changed between the first drawing and now.
    redraw({})
    return store.follow(() => redraw({}))
  }, [store])
  return store.value
}
