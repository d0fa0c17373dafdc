import { textOf } from '../../../src/checker/operation.ts'

/** Makes buffers comparable as bytes, whatever their class. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return textOf(value)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]))
}

/** Whether all that two values consist of is equal, buffers by their bytes. */
export function isAlike(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b)
  if (a instanceof Uint8Array || b instanceof Uint8Array) return false
  const fields = Object.entries(a)
  const others = new Map<string, unknown>(Object.entries(b))
  return (
    fields.length === others.size &&
    fields.every(([name, field]) => others.has(name) && isAlike(field, others.get(name)))
  )
}
