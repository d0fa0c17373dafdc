import { textOf } from '../history/operation.ts'

/** Makes buffers comparable as bytes, whatever their class. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return textOf(value)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]))
}
